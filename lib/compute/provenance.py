"""What determines a result: the code that computes it and the versions that run it."""

import ast
import hashlib
import importlib
import re
import sys
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path

PACKAGE = Path(__file__).parent.parent

CHECKOUT = PACKAGE.parent if (PACKAGE.parent / "_toc.yml").is_file() else None
"""The repository, where the package lies in one; None where it is installed without the book."""

KERAS_SETTINGS = (
    "backend",
    "floatx",
    "epsilon",
    "image_data_format",
    "max_epochs",
    "max_steps_per_epoch",
)
"""What Keras takes from a user's files, variables and calls, and what changes numbers."""

NUMERICAL_PACKAGES = {
    "tensorflow": "tensorflow",
    "keras": "keras",
    "numpy": "numpy",
    "sklearn": "scikit-learn",
    "cleverhans": "cleverhans",
    "art": "adversarial-robustness-toolbox",
    "foolbox": "foolbox",
    "torch": "torch",
    "pyautoattack": "pyautoattack",
}
"""What determines numbers: the name it is imported by, and the one it is installed by.

Bundled images are not among them: :mod:`lib.stages.data` knows their digests.
"""

OPTIONAL = {"torch", "pyautoattack"}
"""What may not be installed: it counts only where it is imported."""

NO_NUMBERS = "compute"
"""The room that stores numbers, checks parameters and passes both on, but computes none."""

WORDS = ("desc", "help", "meaning", "title")
"""Keyword arguments that are read by people only."""

_MODULE_IN_A_STRING = re.compile(r"lib(\.\w+)+(?=:\w+$|$)")


def _path(module: str) -> Path | None:
    """Return the file of a module or package of ours, or None if there is no such."""
    base = PACKAGE.joinpath(*module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


class ChangedError(RuntimeError):
    """A file was changed between the start of this process and the import of its module."""


_AT_START = {path: path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}
"""The sources when this process began to import them: what runs here, whatever becomes of them."""

_imported_here: set[Path] = set()
"""The files whose modules run here as they were at the start; later changes do not count."""


def _source(module: str) -> str:
    path = _path(module)
    if path is None:
        raise ValueError(f"lib has no module {module}")
    return _AT_START[path] if path in _imported_here else path.read_text(encoding="utf-8")


@cache
def _names_in(source: str, importer: str) -> frozenset[str]:
    return frozenset(_imports(ast.parse(source), importer))


def imported_modules(tree: ast.AST, importer: str = "") -> set[str]:
    """Return the names of the modules of this package that some code imports.

    A module brings the packages that it lies in. A module that is named in a string, as for
    :func:`pkgutil.resolve_name`, counts as imported.

    Parameters
    ----------
    tree
        The parsed code, of a module of the package or of a chapter.
    importer
        The name of that module, from which relative imports start; that of a package ends with
        ``.__init__``.

    Returns
    -------
    set of str
        Names without the ``lib.`` in front.
    """
    return _of_this_package(_imports(tree, importer))


def _of_this_package(names: Iterable[str]) -> set[str]:
    imported = {name for name in names if name.startswith("lib.")}
    return {part for name in imported for part in _with_packages(name.removeprefix("lib."))}


def _with_packages(module: str) -> set[str]:
    parts = module.split(".")
    names = (".".join(parts[: count + 1]) for count in range(len(parts)))
    return {name for name in names if _path(name)}


def _imports(tree: ast.AST, importer: str = "") -> set[str]:
    """Return the full names that some code imports; of other packages, perhaps too many."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                here = ["lib", *importer.split(".")][: -node.level]
                origin = ".".join([*here, *([node.module] if node.module else [])])
            names.add(origin)
            names |= {f"{origin}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and (
            found := _MODULE_IN_A_STRING.match(str(node.value))
        ):
            names.add(found[0])
    return names


def _imported_by(module: str) -> set[str]:
    path = _path(module)
    in_package = path is not None and path.name == "__init__.py"
    importer = f"{module}.__init__" if in_package else module
    return _of_this_package(_names_in(_source(module), importer)) | _with_packages(module)


def code_closure(modules: Iterable[str]) -> set[str]:
    """Return the modules given and all modules of this package that they import, to any depth."""
    found: set[str] = set()
    to_visit = set(modules)
    while to_visit:
        found |= to_visit
        to_visit = {name for module in to_visit for name in _imported_by(module)} - found
    return found


class _WithoutWords(ast.NodeTransformer):
    """Drops what people read: a better sentence must not cost a night of training."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        """Drop docstrings, and what is only said."""
        value = node.value
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            return None
        if isinstance(value, ast.Call) and ast.unparse(value.func) == "print":
            return None
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        """Drop messages."""
        return ast.Raise(exc=None, cause=None)

    def visit_keyword(self, node: ast.keyword) -> ast.AST | None:
        """Drop titles and the like."""
        return None if node.arg in WORDS else self.generic_visit(node)


def _decides_numbers(module: str) -> bool:
    return module.partition(".")[0] != NO_NUMBERS


@cache
def _without_words(source: str) -> str:
    return ast.dump(_WithoutWords().visit(ast.parse(source)))


def code_digest(*modules: str) -> str:
    """Return a digest of what some modules, and all that they import here, compute.

    It is that of the files as they are now: for code that another process is going to run.
    Comments, docstrings, messages and layout do not count, nor do those of
    :data:`NO_NUMBERS`; everything else does.

    Parameters
    ----------
    *modules
        Names of modules of this package, without the ``lib.`` in front.

    Returns
    -------
    str
        Sixteen hexadecimal digits.
    """
    text = hashlib.sha256()
    for module in sorted(filter(_decides_numbers, code_closure(modules))):
        text.update(f"{module}\n{_without_words(_source(module))}\n".encode())
    return text.hexdigest()[:16]


@cache
def running_digest(*modules: str) -> str:
    """Return :func:`code_digest` of the code that runs in this process.

    All those modules are imported first, so that an edit or an update of the checkout, from now
    on, changes neither what is computed here nor what it is taken for.

    Raises
    ------
    ChangedError
        One of the files was changed before its module was imported.
    """
    for module in sorted(filter(_decides_numbers, code_closure(modules))):
        path = _path(module)
        if path is None or path not in _AT_START or path in _imported_here:
            continue
        importlib.import_module(f"lib.{module}")
        if path.read_text(encoding="utf-8") != _AT_START[path]:
            raise ChangedError(
                f"{path} has changed since this process started, which may run the old code or "
                "the new: start it again"
            )
        _imported_here.add(path)
    return code_digest(*modules)


_version = cache(metadata.version)


@cache
def versions(*modules: str) -> dict[str, str]:
    """Return the versions of the packages that determine the numbers of some modules.

    As with :func:`running_digest`, what was found once stays so while this process runs.

    Parameters
    ----------
    *modules
        As for :func:`code_digest`; without any, all those packages count that everybody has.
    """
    closure = filter(_decides_numbers, code_closure(modules))
    names = (name for module in closure for name in _names_in(_source(module), module))
    imported = {name.partition(".")[0] for name in names}
    return {
        installed: _version(installed)
        for name, installed in NUMERICAL_PACKAGES.items()
        if name in imported or not (modules or name in OPTIONAL)
    }


def settings() -> dict[str, object]:
    """Return the settings of Keras under which this process computes; none if it has no Keras."""
    keras = sys.modules.get("keras")
    if keras is None:
        return {}
    found = {name: getattr(keras.config, name)() for name in KERAS_SETTINGS}
    return {**found, "dtype_policy": keras.config.dtype_policy().name}
