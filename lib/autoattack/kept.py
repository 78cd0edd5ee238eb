"""The networks that the book keeps, judged: what the command line runs."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from lib.autoattack import port, published, suite
from lib.compute.parameters import Count, Dataset, Epsilon, RefusedError
from lib.evidence import records
from lib.stages import submitted

RECORD = "autoattack"


def _sums(paths: Sequence[Path]) -> dict[str, str]:
    """Keep some networks, and return their sums by name.

    Raises
    ------
    RefusedError
        One cannot be judged, or two would be called the same: said before hours are spent.
    """
    sums: dict[str, str] = {}
    for name, path in records.named_networks(paths, [published.NAME]).items():
        try:
            sums[name] = submitted.keep(path)
            port.ported(suite.model_of(sums[name]))
        except RefusedError as error:
            raise RefusedError(f"{path}: {error}") from None
    return sums


def judge(
    networks: Sequence[Path],
    dataset: Dataset,
    images: Count,
    epsilon: Epsilon,
    *,
    record: bool = False,
) -> Iterator[str]:
    """Judge the network whose score is published, and then others.

    Parameters
    ----------
    networks
        Their files; those that the book keeps of the data set, if none is given.
    dataset, images, epsilon
        As in :func:`lib.autoattack.suite.score`.
    record
        Whether scores and logs replace those in ``book/results``, once all are there.

    Yields
    ------
    str
        What is left of each network after each attack.

    Raises
    ------
    RefusedError
        A network cannot be judged, or the published score does not come out.
    """
    sums = _sums(networks or records.networks_of(dataset))
    scores = {}
    for name in (published.NAME, *sums):
        scores[name] = (
            suite.score(sums[name], dataset, images, epsilon) if name in sums else suite.check()
        )
        rows = scores[name].rows
        left = ", ".join(f"{row['attack']} {row['value']:.2%}" for _, row in rows.iterrows())
        yield f"{name}: {left}"
    if record:
        os.environ["LIB_RESULTS"] = str(records.FULL_SCALE)
        frame = pd.concat(one.rows.assign(network=name) for name, one in scores.items())
        order = ["network", *(column for column in frame if column != "network")]
        yield str(records.save(RECORD, frame[order], code="autoattack.suite"))
        for name, one in scores.items():
            path = records.FULL_SCALE / "models" / f"{name}.autoattack.log"
            records.write(path, one.log)
            yield str(path)
