"""A certificate: the share of images that is robust, enclosed by a proof and by attacks."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lib.compute import sweeps
from lib.compute.parameters import Count, Dataset, Epsilon, RefusedError, Rung
from lib.evidence import records
from lib.stages import adaptive, certified, data, submitted
from lib.stages.adaptive import Evaluation
from lib.stages.certified import Certification
from lib.stages.submitted import Submitted

RECORD = "certified"

RUNGS: tuple[Rung, ...] = ("fgsm", "pgd", "apgd-ce", "apgd-dlr")
"""The attackers that enclose the share from above: at small radii, gradients do not mislead."""

AT_ONCE = 20
"""Images of a unit: a quarter of a minute to a minute of one core."""


def enclosed(
    networks: Mapping[str, Submitted],
    images: Count,
    radii: Sequence[Epsilon],
    run: Callable[..., Iterable[Any]] = sweeps.run,
) -> pd.DataFrame:
    """Enclose the share of the first test images that networks read whoever attacks.

    Returns
    -------
    pandas.DataFrame
        One row a network and radius: ``network``, ``epsilon``, ``images``, and as shares of them
        ``clean``, ``certified`` (no attack can take them) and ``withstood`` (none of :data:`RUNGS`
        took them). What is robust is between the last two.

    Raises
    ------
    RuntimeError
        An attack took an image that is certified: one of the two is wrong.
    """
    cases = list(product(networks.items(), radii))
    starts = range(0, images, AT_ONCE)
    parts = [
        Certification(network, epsilon, first, min(AT_ONCE, images - first))
        for (_, network), epsilon in cases
        for first in starts
    ]
    attacks = [
        Evaluation(network, rung, epsilon, images, budget)
        for (_, network), epsilon in cases
        for budgets in [adaptive.patient_budgets(epsilon, 50, 2, 1)]
        for rung, budget in [("clean", None), *((rung, budgets.get(rung)) for rung in RUNGS)]
    ]
    proofs = np.concatenate(list(run(certified.certified, parts))).reshape(len(cases), images)
    reads = np.array(list(run(adaptive.withstood, attacks))).reshape(len(cases), -1, images)
    left = reads.all(axis=1)
    for (name, _), epsilon, wrong in zip(*zip(*cases, strict=True), proofs & ~left, strict=True):
        if wrong.any():
            raise RuntimeError(
                f"{name}: test image {np.flatnonzero(wrong)[0]} is certified at {epsilon:g}, "
                "and an attack took it"
            )
    shares = {"clean": reads[:, 0], "certified": proofs, "withstood": left}
    return pd.DataFrame(
        {
            "network": [name for (name, _), _ in cases],
            "epsilon": [epsilon for _, epsilon in cases],
            "images": images,
            **{name: verdicts.mean(axis=1) for name, verdicts in shares.items()},
        }
    )


def certify(
    networks: Sequence[Path],
    dataset: Dataset,
    images: Count,
    radii: Sequence[Epsilon],
    *,
    record: bool = False,
) -> Iterator[str]:
    """Enclose what is robust of some networks, radius by radius.

    Parameters
    ----------
    networks
        Their files; those that the book keeps of the data set, if none is given.
    dataset, images, radii
        Its first test images, and the radii to certify them at.
    record
        Whether the rows replace those in ``book/results``, once all are there.

    Yields
    ------
    str
        A line for each network and radius.

    Raises
    ------
    RefusedError
        A network cannot be certified, or the data set has fewer images: said before anything runs.
    """
    there = len(data.load(dataset).test.images)
    if there < images:
        raise RefusedError(f"images: {dataset} has {there:,} test images, not {images:,}")
    kept: dict[str, Submitted] = {}
    for name, path in records.named_networks(networks or records.networks_of(dataset)).items():
        try:
            kept[name] = Submitted(submitted.keep(path), dataset, "test")
            certified.blocks_of(submitted.network(kept[name].sha256).model)
        except RefusedError as error:
            raise RefusedError(f"{path}: {error}") from None
    rows = enclosed(kept, images, radii)
    for _, row in rows.iterrows():
        yield (
            "{network} at {epsilon:g}: {certified:.1%} certified, {withstood:.1%} withstood the "
            "attacks, {clean:.1%} clean"
        ).format_map(row)
    if record:
        os.environ["LIB_RESULTS"] = str(records.FULL_SCALE)
        code = ("stages.certified", "stages.adaptive")
        yield str(records.save(RECORD, rows, code=code))
