"""What determines a result: the code that computes it and the versions that run it."""

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path

PACKAGE = Path(__file__).parent

NUMERICAL_PACKAGES = {
    "tensorflow": "tensorflow",
    "keras": "keras",
    "numpy": "numpy",
    "sklearn": "scikit-learn",
    "cleverhans": "cleverhans",
    "art": "adversarial-robustness-toolbox",
    "foolbox": "foolbox",
}
"""What determines numbers: the name it is imported by, and the one it is installed by.

Bundled images are not among them: :mod:`lib.data` knows their digests.
"""


def _parsed(module: str) -> ast.Module:
    return ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))


def imported_modules(tree: ast.AST) -> set[str]:
    """Return the names of the modules of this package that some code imports.

    Parameters
    ----------
    tree
        The parsed code, of a module of the package or of a chapter.

    Returns
    -------
    set of str
        Names without the ``lib.`` in front.
    """
    names = {name.removeprefix("lib.") for name in _imports(tree)}
    return {name for name in names if (PACKAGE / f"{name}.py").is_file()}


def _imports(tree: ast.AST) -> set[str]:
    """Return the full names that some code imports; of other packages, perhaps too many."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            if node.module == "lib":
                names |= {f"lib.{alias.name}" for alias in node.names}
    return names


def code_closure(modules: Iterable[str]) -> set[str]:
    """Return the modules given and all modules of this package that they import, to any depth."""
    found: set[str] = set()
    to_visit = set(modules)
    while to_visit:
        found |= to_visit
        to_visit = {name for module in to_visit for name in imported_modules(_parsed(module))}
        to_visit -= found
    return found


def _without_docstrings(tree: ast.Module) -> ast.Module:
    # A better docstring or comment must not cost a night of training.
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            node.body = [
                statement
                for statement in node.body
                if not (
                    isinstance(statement, ast.Expr)
                    and isinstance(statement.value, ast.Constant)
                    and isinstance(statement.value.value, str)
                )
            ]
    return tree


@cache
def code_digest(*modules: str) -> str:
    """Return a digest of what some modules, and all that they import here, compute.

    Comments, docstrings and layout do not count; everything else does.

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
    for module in sorted(code_closure(modules)):
        text.update(f"{module}\n{ast.dump(_without_docstrings(_parsed(module)))}\n".encode())
    return text.hexdigest()[:16]


def versions(*modules: str) -> dict[str, str]:
    """Return the versions of the packages that determine the numbers of some modules.

    Parameters
    ----------
    *modules
        As for :func:`code_digest`; without any, all those packages count.
    """
    names = (name for module in code_closure(modules) for name in _imports(_parsed(module)))
    imported = {name.partition(".")[0] for name in names}
    return {
        installed: metadata.version(installed)
        for name, installed in NUMERICAL_PACKAGES.items()
        if name in imported or not modules
    }
