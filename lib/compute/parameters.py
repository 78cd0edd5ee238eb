"""The parameters of chapters and experiments: their names, types and ranges.

A chapter annotates each line of its parameters cell with one of these types; the builder
validates what the command line and the presets say against them, and the experiments
validate their fields with the same ones.
"""

import ast
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
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

    A file says its place by ``ORDER = number``; those without come last. Nothing is imported, so
    that who checks names needs no TensorFlow.

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


class _NameIn:
    """Allows the names of the files in a folder."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __get_pydantic_core_schema__(
        self, source: type, handler: Callable[[type], CoreSchema]
    ) -> CoreSchema:
        return core_schema.literal_schema(list(names(self.folder)))


Dataset = Annotated[str, _NameIn("datasets")]
"""A file of :mod:`lib.stages.datasets`."""

Architecture = Annotated[str, _NameIn("networks")]
"""A file of :mod:`lib.stages.networks`; ``shallow``, ``base`` and ``dense`` are the paper's."""

Method = Literal["fgsm", "pgd"]
"""The two attacks of the paper."""

Part = Literal["test", "validation"]
"""Which images choose filters: the paper's are test images; validation images leave those alone."""

Rung = Annotated[str, _NameIn("attackers")]
"""What an attacker does, a file of :mod:`lib.stages.attackers`: the weakest first.

Of every rung, an image counts as withstood only if its clean version is read correctly, too. So
``static`` is static *and clean*, and may be below the paper's static accuracy.
"""

Epsilon = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
"""L-infinity radius in pixel units, where 0 is black and 1 is white."""

Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
"""A share, 0 to 1."""

Seed = Annotated[int, Field(ge=0, lt=2**31)]
"""Seed of every random draw."""

Count = Annotated[int, Field(ge=1)]
"""A number of things of which there must be at least one."""

Architectures = Annotated[tuple[Architecture, ...], Field(min_length=1)]
Epsilons = Annotated[tuple[Epsilon, ...], Field(min_length=1)]
Fractions = Annotated[tuple[Fraction, ...], Field(min_length=1)]
Seeds = Annotated[tuple[Seed, ...], Field(min_length=1)]
Counts = Annotated[tuple[Count, ...], Field(min_length=1)]
Rungs = Annotated[tuple[Rung, ...], Field(min_length=1)]
