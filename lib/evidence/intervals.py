"""What chance explains: intervals for shares, for differences, and for shares of a difference.

Verdicts are arrays with a row for each network (or each draw of filters, if the network is one)
and a column for each test image, the same images in every row. Both were drawn by chance: with
other images, or other seeds, the mean would be another. No TensorFlow.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats  # type: ignore[import-untyped]

CONFIDENCE = 0.95


class Interval(NamedTuple):
    """An estimate, the interval around it, and how easily chance brings it about.

    ``p`` is the two-sided p-value of the hypothesis that the true value is zero; NaN where
    that is no question.
    """

    estimate: float
    low: float
    high: float
    p: float = float("nan")

    @property
    def excludes_zero(self) -> bool:
        """Tell whether zero lies outside."""
        return not self.low <= 0 <= self.high

    def within(self, margin: float) -> bool:
        """Tell whether the interval shows equivalence: no value in it is beyond the margin."""
        return -margin < self.low and self.high < margin


def wilson(share: float, count: int, confidence: float = CONFIDENCE) -> Interval:
    """Return the interval of Wilson (1927) for a share of independent cases.

    Parameters
    ----------
    share
        Of the cases, 0 to 1.
    count
        Number of cases.
    confidence
        Probability with which such intervals hold what they claim.
    """
    found = stats.binomtest(round(share * count), count).proportion_ci(confidence, "wilson")
    return Interval(share, float(found.low), float(found.high))


def over_seeds(values: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """Return Student's interval for the mean of one value a seed.

    For a comparison give the paired differences. With one value there is no telling: the
    bounds are NaN.
    """
    of_seeds = np.asarray(values, float)
    count = len(of_seeds)
    if count < 2:
        return Interval(float(of_seeds.mean()), float("nan"), float("nan"))
    error = float(of_seeds.std(ddof=1)) / count**0.5
    return _student(float(of_seeds.mean()), float(of_seeds.mean()), error, count - 1, confidence)


def _student(
    estimate: float, centre: float, error: float, freedom: float, confidence: float
) -> Interval:
    half = float(stats.t.ppf((1 + confidence) / 2, freedom)) * error
    ratio = abs(centre) / error if error else np.inf * bool(centre)
    p = 2 * float(stats.t.sf(ratio, freedom)) if not np.isnan(ratio) else 1.0
    return Interval(estimate, centre - half, centre + half, p)


def by_network(verdicts: Sequence[Sequence[ArrayLike]]) -> NDArray[np.float64]:
    """Return an arm's verdicts as a table, as :func:`paired` takes its differences.

    Parameters
    ----------
    verdicts
        For each network, one array of verdicts for each draw from it.

    Returns
    -------
    ndarray
        A row for each network: the mean of its draws, whose chance is then part of that between
        networks. Of a single network, a row for each draw.
    """
    tables = [np.asarray(list(draws), np.float64) for draws in verdicts]
    return tables[0] if len(tables) == 1 else np.stack([table.mean(axis=0) for table in tables])


def paired(differences: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """Return the interval for the mean of paired verdicts, over networks and over images.

    The model is that of studies in which several readers judge the same cases: a difference is
    a mean, what is peculiar to the network, to the image, and to both together. The variances
    of the three come from the mean squares of a two-way table, none of them below 0, and the
    degrees of freedom from Satterthwaite's approximation (Obuchowski and Rockette 1995; Hillis
    2007). The same image in two rows is therefore not taken for two. With one row the network
    is given, and only the images are chance.

    Parameters
    ----------
    differences
        Shape ``(networks, images)`` or ``(images,)``: verdicts (0 or 1) of one arm minus those of
        another. For arms with several draws from a network see :func:`by_network`.
    confidence
        Probability with which such intervals hold what they claim.

    Returns
    -------
    Interval
        As Agresti and Min (2005) do for one row, the interval takes one more image with a
        difference each way for granted (half of each counted), so that it does not shrink to
        nothing where no image differs.
    """
    given = np.atleast_2d(np.asarray(differences, float))
    rows = len(given)
    # Two more images whose differences have sum 0 and sum of squares 1.
    taken_for_granted = np.tile([0.5**0.5, -(0.5**0.5)], (rows, 1))
    table = np.concatenate([given, taken_for_granted], axis=1)
    images, mean = table.shape[1], float(table.mean())
    by_network, by_image = table.mean(axis=1), table.mean(axis=0)
    of_images = rows * float(by_image.var(ddof=1))
    if rows == 1:
        estimate = float(given.mean())
        return _student(estimate, mean, (of_images / images) ** 0.5, images - 1, confidence)
    of_networks = images * float(by_network.var(ddof=1))
    rest = table - by_network[:, None] - by_image + mean
    of_both = float((rest**2).sum()) / ((rows - 1) * (images - 1))
    total = of_both + max(0.0, of_networks - of_both) + max(0.0, of_images - of_both)
    uncertain = (
        of_networks**2 / (rows - 1)
        + of_images**2 / (images - 1)
        + of_both**2 / ((rows - 1) * (images - 1))
    )
    error = (total / table.size) ** 0.5
    return _student(float(given.mean()), mean, error, total**2 / uncertain, confidence)


def share_of(part: ArrayLike, whole: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """Return which share of one gain another reaches, paired by network and image.

    Parameters
    ----------
    part, whole
        Gains of two arms over the same baseline, as :func:`paired` takes them.
    confidence
        Probability with which such intervals hold what they claim.

    Returns
    -------
    Interval
        By the delta method, which asks that the whole gain be well away from 0: look at
        ``paired(whole)`` first.
    """
    gains, all_gains = np.asarray(part, float), np.asarray(whole, float)
    mean = float(all_gains.mean())
    share = float(gains.mean()) / mean
    apart = paired(gains - share * all_gains, confidence)
    bounds = sorted((share + apart.low / mean, share + apart.high / mean))
    return Interval(share, *bounds)


def between_draws(values: Sequence[ArrayLike]) -> float:
    """Return the standard deviation between draws from the same network.

    Parameters
    ----------
    values
        One sequence a network: the accuracies of its draws.

    Returns
    -------
    float
        Pooled over the networks; NaN if none has two draws.
    """
    groups: list[NDArray[np.float64]] = [np.asarray(group, float) for group in values]
    freedom = sum(len(group) - 1 for group in groups)
    squares = sum(float(((group - group.mean()) ** 2).sum()) for group in groups)
    return (squares / freedom) ** 0.5 if freedom else float("nan")


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number by the method of Holm (1979).

    Those below 0.05 are together wrong in at most 5 of 100 repetitions. NaN stays NaN and is
    not counted.
    """
    values = np.asarray(p_values, float)
    adjusted = np.full(len(values), np.nan)
    counted = np.flatnonzero(~np.isnan(values))
    order = counted[np.argsort(values[counted], kind="stable")]
    factors = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(factors * values[order]))
    return [float(value) for value in adjusted]
