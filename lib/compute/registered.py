"""What can be named because there is a file of it: data sets, networks and attackers.

The files are listed, not imported, so that who checks a name needs no TensorFlow.
"""

import ast
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

from pydantic_core import CoreSchema, core_schema

STAGES = Path(__file__).parent.parent / "stages"

FOLDERS: Mapping[str, str] = {
    "dataset": "datasets",
    "architecture": "networks",
    "rung": "attackers",
}
"""Fields of experiments that name a file, and the folder of :mod:`lib.stages` that it lies in."""


@cache
def names(folder: str) -> tuple[str, ...]:
    """Return what can be named of a kind: one thing a file of a folder of :mod:`lib.stages`.

    A file says its place by ``ORDER = number``; those without come last.

    Parameters
    ----------
    folder
        One of :data:`FOLDERS`: ``datasets``, ``networks`` or ``attackers``.

    Returns
    -------
    tuple of str
        The files' names, with hyphens for underscores.
    """
    files = [path for path in (STAGES / folder).glob("*.py") if path.stem != "__init__"]
    return tuple(path.stem.replace("_", "-") for path in sorted(files, key=_place))


def _place(path: Path) -> tuple[float, str]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ORDER":
            return float(ast.literal_eval(node.value)), path.stem
    return float("inf"), path.stem


def module(folder: str, name: str) -> str:
    """Return the module of something that :func:`names` lists, without the ``lib.`` in front."""
    return f"stages.{folder}.{name.replace('-', '_')}"


def all_modules() -> list[str]:
    """Return the modules of everything that can be named, without the ``lib.`` in front."""
    return [module(folder, name) for folder in FOLDERS.values() for name in names(folder)]


def modules(experiment: object) -> Iterator[str]:
    """Yield the modules of all that an experiment names in its :data:`FOLDERS` fields.

    Parameters
    ----------
    experiment
        Of :func:`dataclasses.asdict`: the fields of nested experiments count, too.
    """
    if isinstance(experiment, list | tuple):
        for part in experiment:
            yield from modules(part)
    elif isinstance(experiment, Mapping):
        for field, value in experiment.items():
            if field in FOLDERS and value in names(FOLDERS[field]):
                yield module(FOLDERS[field], value)
            else:
                yield from modules(value)


class NameIn:
    """In ``Annotated[str, NameIn(folder)]``: allows what :func:`names` returns, and says so."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __get_pydantic_core_schema__(
        self, source: type, handler: Callable[[type], CoreSchema]
    ) -> CoreSchema:
        """Check as for ``Literal``, with the names that there are."""
        return core_schema.literal_schema(list(names(self.folder)))
