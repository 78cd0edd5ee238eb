"""How far several choices of filters agree, and how far they would by chance."""

from collections.abc import Collection, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray


def agreement(choices: Sequence[Collection[int]]) -> float:
    """Return the mean Jaccard index over all pairs of choices; that of two empty ones is 0."""
    pairs = combinations(map(set, choices), 2)
    return float(np.mean([len(a & b) / max(1, len(a | b)) for a, b in pairs]))


def by_chance(
    filters: int, count: int, choices: int = 10, draws: int = 2_000
) -> NDArray[np.float64]:
    """Return the agreement of choices that are made at random, draw by draw.

    Parameters
    ----------
    filters
        Of the layer.
    count
        How many of them each choice has, at least one.
    choices
        How many there are; ten, if each class chooses.
    draws
        How often all of them are made.

    Returns
    -------
    ndarray
        Shape ``(draws,)``.
    """
    rng = np.random.default_rng(0)
    numbers = rng.random((draws, choices, filters))
    members = (numbers.argsort(axis=2).argsort(axis=2) < count).astype(float)
    common = members @ members.swapaxes(1, 2)
    pairs = np.triu_indices(choices, 1)
    index: NDArray[np.float64] = (common / (2 * count - common))[:, *pairs].mean(axis=1)
    return index
