"""Equal trainings in one process or in several: how a sweep uses the processors."""

import itertools
import os
from collections.abc import Iterable
from contextlib import ExitStack
from tempfile import TemporaryDirectory

import pandas as pd

from lib.bench.timing import compared, fresh_process, in_turn
from lib.compute.parameters import Dataset
from lib.stages import models


def train(dataset: Dataset, epochs: int, seeds: Iterable[int]) -> None:
    """Train a network a seed, all for as many epochs."""
    for seed in seeds:
        models.fit(
            models.Training(dataset, "shallow", seed=seed, max_epochs=epochs, patience=epochs)
        )


def compare_sweeps(dataset: Dataset, epochs: int, rounds: int) -> pd.DataFrame:
    """Compare one process that has all threads with as many processes as there are processors."""
    processors = os.cpu_count() or 1
    seeds = itertools.count()  # nothing twice, so nothing from the cache
    with TemporaryDirectory() as folder, ExitStack() as pools:
        together, *apart = (
            pools.enter_context(
                fresh_process(TF_NUM_INTRAOP_THREADS=str(threads), LIB_CACHE=folder)
            )
            for threads in (processors, *[1] * processors)
        )

        def train_together() -> None:
            some = list(itertools.islice(seeds, processors))
            together.submit(train, dataset, epochs, some).result()

        def train_apart() -> None:
            running = [pool.submit(train, dataset, epochs, [next(seeds)]) for pool in apart]
            for training in running:
                training.result()

        name = "one process, all threads"
        several = f"{processors} processes, one thread each"
        seconds = in_turn({name: train_together, several: train_apart}, rounds)
    return compared("sweeps", "equal trainings", seconds, name)
