"""The parameters of chapters and experiments: their names, types and ranges.

A chapter annotates each line of its parameters cell with one of these types; the builder
validates what the command line and the presets say against them, and the experiments
validate their fields with the same ones.
"""

from typing import Annotated, Literal

from pydantic import Field

Dataset = Literal["mnist-tiny", "mnist-5k", "mnist"]
"""``mnist-tiny`` and ``mnist-5k`` come with a package; ``mnist`` is the full set."""

Architecture = Literal["shallow", "base", "dense"]
"""The three networks of the paper (its Table 1 and section 4)."""

Method = Literal["fgsm", "pgd"]
"""The two attacks of the paper."""

Part = Literal["test", "validation"]
"""Which images choose filters: the paper's are test images; validation images leave those alone."""

Rung = Literal[
    "clean",
    "noise",
    "static",
    "transfer",
    "square",
    "fgsm",
    "pgd",
    "restarts",
    "targeted",
    "apgd-ce",
    "apgd-dlr",
    "fmn",
]
"""What an attacker does, the weakest first: see :data:`lib.stages.adaptive.MEANINGS`.

Of every rung, an image counts as withstood only if its clean version is read correctly, too. So
``static`` is static *and clean*, and may be below the paper's static accuracy.
"""

Epsilon = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
"""L-infinity radius in pixel units, where 0 is black and 1 is white."""

Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
"""A share, 0 to 1."""

Seed = Annotated[int, Field(ge=0, lt=2**31)]
"""Seed of every random draw."""

Label = Annotated[int, Field(ge=0, lt=10)]
"""A class of the images, 0 to 9."""

Count = Annotated[int, Field(ge=1)]
"""A number of things of which there must be at least one."""

Architectures = Annotated[tuple[Architecture, ...], Field(min_length=1)]
Epsilons = Annotated[tuple[Epsilon, ...], Field(min_length=1)]
Fractions = Annotated[tuple[Fraction, ...], Field(min_length=1)]
Seeds = Annotated[tuple[Seed, ...], Field(min_length=1)]
Counts = Annotated[tuple[Count, ...], Field(min_length=1)]
Rungs = Annotated[tuple[Rung, ...], Field(min_length=1)]
