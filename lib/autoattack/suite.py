"""Runs of AutoAttack: on some images at a time, so that they can be stopped and go on."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from io import StringIO
from typing import Any, Literal, NamedTuple

import keras
import numpy as np
import pandas as pd
import pyautoattack
import torch
from pydantic.dataclasses import dataclass

from lib.autoattack import port, published
from lib.compute import sweeps
from lib.compute.cache import cached
from lib.compute.parameters import Count, Dataset, Epsilon, RefusedError, Seed
from lib.stages import data, models, submitted

Name = Literal["apgd-ce", "apgd-t", "apgd-dlr", "fab-t", "square"]

STANDARD: tuple[Name, ...] = ("apgd-ce", "apgd-t", "fab-t", "square")
"""Its standard version, in its order; Square has 5,000 queries."""

AT_ONCE = 250
"""Images of a unit: about ten minutes of one core against a hardened network of the book."""


@dataclass(frozen=True)
class Assault:
    """One attack after another, on some test images of a data set.

    Attributes
    ----------
    network
        Sum under which :mod:`lib.stages.submitted` keeps it, or :data:`published.NAME`.
    dataset, first, count
        Its test images from number ``first`` on.
    epsilon
        L-infinity radius.
    attacks
        Each goes for what the ones before it have left.
    restarts
        Of APGD; the standard version starts once.
    seed
        Of all random draws.
    """

    network: str
    dataset: Dataset
    first: int
    count: Count
    epsilon: Epsilon
    attacks: tuple[Name, ...] = STANDARD
    restarts: Count = 1
    seed: Seed = 0


class Survivors(NamedTuple):
    """Which images are read correctly, ``clean`` and after each attack, and AutoAttack's log."""

    read: dict[str, list[bool]]
    difference: float
    """Between a logit of the ported network and that of the original, at most."""
    log: str


@lru_cache(maxsize=4)
def model_of(network: str) -> keras.Model:
    """Return the network that an assault names."""
    return published.network() if network == published.NAME else submitted.network(network).model


@contextmanager
def _logged() -> Iterator[StringIO]:
    """Collect what AutoAttack logs."""
    logger, log = logging.getLogger("auto-attack"), StringIO()
    handler = logging.StreamHandler(log)
    level, logger.propagate = logger.level, False
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield log
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


@cached
def survivors(assault: Assault) -> Survivors:
    """Run the attacks of an assault.

    Each is configured as in AutoAttack's standard version.
    """
    torch.set_num_threads(sweeps.threads())
    model = model_of(assault.network)
    network = port.ported(model)
    test = data.load(assault.dataset).test
    part = test.at(slice(assault.first, assault.first + assault.count))
    images, labels = port.to_torch(part.images), torch.from_numpy(part.labels.astype(np.int64))
    with _logged() as log:
        judge = pyautoattack.AutoAttack(
            network, norm="Linf", eps=assault.epsilon, seed=assault.seed, device="cpu"
        )
        judge.apgd.n_restarts = assault.restarts
        with torch.no_grad():
            left = network(images).argmax(1) == labels
        read = {"clean": left.tolist()}
        for attack in assault.attacks:
            if left.any():
                judge.attacks_to_run = [attack]
                changed, _ = judge.run_standard_evaluation(
                    images[left], labels[left], batch_size=AT_ONCE
                )
                with torch.no_grad():
                    left[left.clone()] = network(changed).argmax(1) == labels[left]
            read[attack] = left.tolist()
    return Survivors(read, port.largest_difference(model, network, part.images), log.getvalue())


class Score(NamedTuple):
    """What AutoAttack leaves of a network.

    ``rows`` has ``attack``, ``value`` (share of the images that withstood it and those before),
    ``images``, ``epsilon``, ``logits differ by`` and ``seed``.
    """

    rows: pd.DataFrame
    log: str


def score(
    network: str,
    dataset: Dataset,
    images: Count,
    epsilon: Epsilon,
    attacks: tuple[Name, ...] = STANDARD,
    restarts: Count = 1,
    run: Callable[..., Iterable[Any]] = sweeps.run,
) -> Score:
    """Attack the first test images with AutoAttack.

    Parameters
    ----------
    network, dataset, epsilon, attacks, restarts
        As in :class:`Assault`.
    images
        How many.
    run
        What computes the parts: :func:`lib.compute.sweeps.run`, or one after another.

    Raises
    ------
    RefusedError
        The data set has fewer.
    """
    there = len(data.load(dataset).test.images)
    if there < images:
        raise RefusedError(f"images: {dataset} has {there:,} test images, not {images:,}")
    parts = [
        Assault(network, dataset, first, min(AT_ONCE, images - first), epsilon, attacks, restarts)
        for first in range(0, images, AT_ONCE)
    ]
    found = list(run(survivors, parts))
    shares = {
        attack: np.mean([share for part in found for share in part.read[attack]])
        for attack in ("clean", *attacks)
    }
    rows = pd.DataFrame({"attack": shares.keys(), "value": shares.values()}).assign(
        images=images,
        epsilon=epsilon,
        **{"logits differ by": max(part.difference for part in found)},
        seed=parts[0].seed,
    )
    log = "".join(
        f"# test images {part.first} to {part.first + part.count - 1}\n{one.log}"
        for part, one in zip(parts, found, strict=True)
    )
    return Score(rows, log)


def check() -> Score:
    """Attack the network whose score is published, and hold ours against that.

    Returns
    -------
    Score
        Its rows have ``published`` too.

    Raises
    ------
    RefusedError
        They are further apart than :data:`published.TOLERANCE`: nothing that is measured here
        would be worth publishing.
    """
    test = data.load("mnist").test
    reads = models.predict(published.network(), test.images) == test.labels
    there = 1000 * len(published.LOST)  # of those that it reads
    images = int(np.flatnonzero(reads)[there - 1]) + 1
    found = score(
        published.NAME, "mnist", images, published.EPSILON, ("apgd-ce",), published.RESTARTS
    )
    rows = found.rows.assign(
        value=[reads.mean(), found.rows["value"].iloc[-1] * images / there],
        images=[len(reads), there],
        published=[published.CLEAN, 1 - sum(published.LOST) / there],
    )
    for attack, ours, theirs in zip(rows["attack"], rows["value"], rows["published"], strict=True):
        if abs(ours - theirs) > published.TOLERANCE:
            raise RefusedError(
                f"{attack}: {ours:.2%} of the images are left to a network of which others "
                f"published {theirs:.2%}: what is measured here is not to be trusted"
            )
    return Score(rows, found.log)
