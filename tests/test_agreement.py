"""How far choices of filters agree, against what chance is known to give."""

import numpy as np
import pytest
from scipy.stats import hypergeom

from lib.evidence.agreement import agreement, by_chance


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ([[0, 1], [1, 0], [0, 1]], 1),
        ([[0, 1], [2, 3]], 0),
        ([[0, 1], [1, 2], [0, 1]], (1 / 3 + 1 + 1 / 3) / 3),
        ([[], []], 0),
    ],
)
def test_the_agreement_is_the_mean_over_pairs(choices: list[list[int]], expected: float) -> None:
    assert agreement(choices) == pytest.approx(expected)


@pytest.mark.parametrize(("filters", "count"), [(32, 4), (64, 7), (16, 8)])
def test_chance_gives_what_the_hypergeometric_distribution_says(filters: int, count: int) -> None:
    common = np.arange(count + 1)
    expected = (hypergeom.pmf(common, filters, count, count) * common / (2 * count - common)).sum()
    drawn = by_chance(filters, count)
    assert drawn.mean() == pytest.approx(expected, rel=0.03)
    assert by_chance(filters, count, choices=2).std() > 3 * drawn.std() > 0
