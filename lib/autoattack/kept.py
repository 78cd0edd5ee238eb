"""The networks that the book keeps, judged: what the command line runs."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from lib.autoattack import published, suite
from lib.compute.parameters import Count, Dataset, Epsilon
from lib.evidence import records
from lib.stages import submitted

RECORD = "autoattack"


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
        Their files; those that the book keeps, if none is given.
    dataset, images, epsilon
        As in :func:`lib.autoattack.suite.score`.
    record
        Whether scores and logs replace those in ``book/results``, once all are there.

    Yields
    ------
    str
        What is left of each network after each attack.
    """
    paths = networks or sorted((records.FULL_SCALE / "models").glob("*.keras"))
    sums = {path.stem: submitted.keep(path) for path in paths}
    scores = {}
    for name in (published.NAME, *sums):
        if name == published.NAME:
            scores[name] = suite.check()
        else:
            scores[name] = suite.score(sums[name], dataset, images, epsilon)
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
