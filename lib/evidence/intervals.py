"""What chance explains: intervals for shares, for differences, and for shares of a difference.

Verdicts are arrays with a row for each network (or each draw of filters, if the network is one)
and a column for each test image, the same images in every row. Both were drawn by chance: with
other images, or other seeds, the mean would be another. No TensorFlow.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special, stats  # type: ignore[import-untyped]

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
        """Tell whether zero lies outside; without bounds it does not."""
        return self.excludes(0)

    def excludes(self, value: float) -> bool:
        """Tell whether a value lies outside; without bounds nothing does."""
        return value < self.low or self.high < value

    def within(self, margin: float) -> bool:
        """Tell whether the interval shows equivalence: no value in it is beyond the margin."""
        return -margin < self.low and self.high < margin


def wilson(share: float, count: int) -> Interval:
    """Return the interval of Wilson (1927) for a share of independent cases.

    Parameters
    ----------
    share
        Of the cases, 0 to 1.
    count
        Number of cases.
    """
    found = stats.binomtest(round(share * count), count).proportion_ci(CONFIDENCE, "wilson")
    return Interval(share, float(found.low), float(found.high))


def over_seeds(values: ArrayLike) -> Interval:
    """Return Student's interval for the mean of one value a seed.

    For a comparison give the paired differences. With one value there is no telling: the
    bounds are NaN.
    """
    of_seeds = np.asarray(values, float)
    mean = float(of_seeds.mean())
    if len(of_seeds) < 2:
        return Interval(mean, float("nan"), float("nan"))
    return _student(mean, float(stats.sem(of_seeds)), len(of_seeds) - 1)


def _student(centre: float, error: float, freedom: float) -> Interval:
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    ratio = abs(centre) / error if error else np.inf * bool(centre)
    p = 2 * float(stats.t.sf(ratio, freedom)) if not np.isnan(ratio) else 1.0
    return Interval(centre, centre - half, centre + half, p)


def wider(*found: Interval) -> Interval:
    """Return the widest of some intervals for one quantity, as that over images and networks.

    From few networks the spread between them is a guess, and from one there is none: bounds that
    are NaN give way, so that a single network has at least the interval over its images.
    """
    widest = max(found, key=lambda interval: np.nan_to_num(interval.high - interval.low, nan=-1.0))
    return widest._replace(p=float(np.fmax.reduce([interval.p for interval in found])))


def apart(one: Interval, other: Interval) -> Interval:
    """Return the interval for the difference of two estimates that share no chance.

    Each bound takes the half of either interval that it depends on, as Zou and Donner (2008) put
    it: :func:`newcombe` is the same for two shares. There is no p-value.

    Parameters
    ----------
    one, other
        Estimates with their intervals, as two differences that were found on different images.
    """
    difference = one.estimate - other.estimate
    below = np.hypot(one.estimate - one.low, other.high - other.estimate)
    above = np.hypot(one.high - one.estimate, other.estimate - other.low)
    return Interval(difference, float(difference - below), float(difference + above))


def newcombe(share: float, other: float, count: int) -> Interval:
    """Return the interval of Newcombe (1998) for the difference of two shares.

    For accuracies whose verdicts by image are not at hand. Where both judge the same images, as
    here, it is wider than :func:`paired` would be.

    Parameters
    ----------
    share, other
        Two shares, 0 to 1.
    count
        Images behind each.
    """
    return apart(wilson(share, count), wilson(other, count))


def gap(ours: ArrayLike, others: ArrayLike, images: int) -> Interval:
    """Return the interval for the mean difference of accuracies, one of each a network.

    Parameters
    ----------
    ours, others
        Accuracies, paired by network; both of the same images.
    images
        How many these are.

    Returns
    -------
    Interval
        The wider of Student's over the networks and Newcombe's over the images.
    """
    mine, theirs = np.asarray(ours, float), np.asarray(others, float)
    of_images = newcombe(float(mine.mean()), float(theirs.mean()), images)
    return wider(over_seeds(mine - theirs), of_images)


def mean_share(shares: ArrayLike, images: int) -> Interval:
    """Return an interval for the mean of shares, one a network, that stays between 0 and 1.

    Parameters
    ----------
    shares
        One a network, 0 to 1, of the same images.
    images
        How many these are.

    Returns
    -------
    Interval
        The wider of Wilson's over the images and Student's over the networks, that of their log
        odds with half an image added on each side.
    """
    values = np.asarray(shares, float)
    mean = float(values.mean())
    odds = over_seeds(special.logit((values * images + 0.5) / (images + 1)))
    bounds = special.expit([odds.low, odds.high])
    return wider(wilson(mean, images), Interval(mean, *map(float, bounds)))


def error_ratio(ours: ArrayLike, others: ArrayLike, images: int) -> Interval:
    """Return how many times as many errors one arm makes as another, and an interval.

    At 99 % one point of accuracy is the whole error: there a ratio says what a difference hides.

    Parameters
    ----------
    ours, others
        Accuracies, 0 to 1, paired by network; both of the same images.
    images
        How many these are.

    Returns
    -------
    Interval
        The geometric mean of the networks' ratios, each with half an error added on both sides.
        The wider of Student's interval over the networks, and that over the images by the delta
        method, in which other networks are no other images. ``p`` is for a ratio of 1.
    """
    errors = (1 - np.asarray([ours, others], float).reshape(2, -1)) * images + 0.5
    logs = np.log(errors[0] / errors[1])
    variance = float((1 / errors - 1 / (images + 1)).sum(axis=0).mean())
    found = wider(over_seeds(logs), _student(float(logs.mean()), variance**0.5, np.inf))
    estimate, low, high = (float(np.exp(value)) for value in found[:3])
    return Interval(estimate, low, high, found.p)


def verdict(found: Interval, margin: float) -> str:
    """Say what an interval for a difference shows.

    A difference that chance does not explain differs, be it ever so small; that it is smaller
    than the margin is said beside it and does not take its place.

    Parameters
    ----------
    found
        An interval for a difference of shares.
    margin
        What counts as little, 0 to 1.

    Returns
    -------
    str
        As "differs, by less than 1 point", "differs, by more than 1 point", "differs",
        "equal within 1 point" or "undecided".
    """
    size = f"{100 * margin:g} point" + "s" * (margin != 0.01)
    if not found.excludes_zero:
        return f"equal within {size}" if found.within(margin) else "undecided"
    if found.within(margin):
        return f"differs, by less than {size}"
    beyond = found.low >= margin or found.high <= -margin
    return f"differs, by more than {size}" if beyond else "differs"


class Trend(NamedTuple):
    """Which way values go over ordered conditions, and how easily chance brings it about."""

    rises: bool
    p: float

    @property
    def verdict(self) -> str:
        """Return ``rises``, ``falls`` or ``no trend seen``."""
        if not self.p < 1 - CONFIDENCE:
            return "no trend seen"
        return "rises" if self.rises else "falls"


def trend(table: ArrayLike) -> Trend:
    """Test whether values rise or fall over ordered conditions, by the test of Page (1963).

    Parameters
    ----------
    table
        Shape ``(networks, conditions)``, the conditions in their order.

    Returns
    -------
    Trend
        With the two-sided p-value: NaN from one network or from two conditions, which the test
        does not take.
    """
    values = np.atleast_2d(np.asarray(table, float))
    if values.shape[0] < 2 or values.shape[1] < 3:
        return Trend(False, float("nan"))
    rising, falling = (float(stats.page_trend_test(sign * values).pvalue) for sign in (1, -1))
    return Trend(rising < falling, min(1.0, 2 * min(rising, falling)))


def _limit(networks: int, comparisons: int) -> float:
    """Return the bound of Student's t, with Bonferroni's correction for several comparisons."""
    return float(stats.t.isf((1 - CONFIDENCE) / 2 / comparisons, networks - 1))


def half_width(spread: float, networks: int, comparisons: int = 1) -> float:
    """Return how far Student's interval reaches to either side, as :func:`smallest_difference`."""
    return _limit(networks, comparisons) * float(spread / networks**0.5)


def power_to_see(difference: float, spread: float, networks: int, comparisons: int = 1) -> float:
    """Return the probability that an interval excludes zero, on the side of a true difference.

    Parameters
    ----------
    difference
        The true one, in the unit of the spread.
    spread, networks, comparisons
        As for :func:`smallest_difference`.
    """
    shift = difference / float(spread / networks**0.5)
    return float(stats.nct.sf(_limit(networks, comparisons), networks - 1, shift))


def smallest_difference(
    spread: float, networks: int, power: float = 0.8, comparisons: int = 1
) -> float:
    """Return the smallest true difference that a comparison would see.

    Parameters
    ----------
    spread
        Standard deviation, between networks, of the paired differences.
    networks
        How many are compared.
    power
        Probability of seeing it: that Student's 95 % interval excludes zero.
    comparisons
        For how many the interval is corrected, by Bonferroni (the strictest step of Holm's).

    Returns
    -------
    float
        In the unit of the spread; infinite from fewer than two networks.
    """
    if networks < 2:
        return float("inf")

    def missing(errors: float) -> float:
        return power - power_to_see(errors, networks**0.5, networks, comparisons)

    most = 20 * _limit(networks, comparisons)
    shift = float(optimize.brentq(missing, 0, most))
    return shift * float(spread / networks**0.5)


def networks_needed(difference: float, spread: float, power: float = 0.8) -> int:
    """Return how many networks a comparison needs to see a true difference.

    Parameters
    ----------
    difference
        That is to be seen, in the unit of the spread.
    spread, power
        As for :func:`smallest_difference`.
    """
    count = 2
    while smallest_difference(spread, count, power) > difference:
        count += 1
    return count


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


def paired(differences: ArrayLike) -> Interval:
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
        found = _student(mean, (of_images / images) ** 0.5, images - 1)
        return found._replace(estimate=float(given.mean()))
    of_networks = images * float(by_network.var(ddof=1))
    rest = table - by_network[:, None] - by_image + mean
    of_both = float((rest**2).sum()) / ((rows - 1) * (images - 1))
    total = of_both + max(0.0, of_networks - of_both) + max(0.0, of_images - of_both)
    uncertain = (
        of_networks**2 / (rows - 1)
        + of_images**2 / (images - 1)
        + of_both**2 / ((rows - 1) * (images - 1))
    )
    found = _student(mean, (total / table.size) ** 0.5, total**2 / uncertain)
    return found._replace(estimate=float(given.mean()))


def share_of(part: ArrayLike, whole: ArrayLike) -> Interval:
    """Return which share of one gain another reaches, paired by network and image.

    Parameters
    ----------
    part, whole
        Gains of two arms over the same baseline, as :func:`paired` takes them.

    Returns
    -------
    Interval
        By the delta method, which asks that the whole gain be well away from 0: look at
        ``paired(whole)`` first.
    """
    gains, all_gains = np.asarray(part, float), np.asarray(whole, float)
    mean = float(all_gains.mean())
    share = float(gains.mean()) / mean
    apart = paired(gains - share * all_gains)
    bounds = sorted((share + apart.low / mean, share + apart.high / mean))
    return Interval(share, *bounds)


def between_draws(values: Sequence[Sequence[float]]) -> float:
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
    freedom = sum(len(group) - 1 for group in values)
    squares = sum(float(np.var(group)) * len(group) for group in values)
    return (squares / freedom) ** 0.5 if freedom else float("nan")


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number by the method of Holm (1979).

    Those below 0.05 are together wrong in at most 5 of 100 repetitions. NaN stays NaN and is
    not counted.
    """
    values = pd.Series(p_values, dtype=float).reset_index(drop=True).sort_values()
    adjusted = (values * values.rank(ascending=False, method="max")).cummax().clip(upper=1)
    return adjusted.sort_index().to_list()
