"""Intervals hold what they claim, also with few networks, and where no image differs."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from lib.evidence import intervals
from lib.evidence.intervals import Interval

REPETITIONS = 1_000


def coverage(draw: Callable[[np.random.Generator], Interval], truth: float) -> float:
    """Return how often the interval of a random experiment contains the truth."""
    random = np.random.default_rng(0)
    found = [draw(random) for _ in range(REPETITIONS)]
    return float(np.mean([one.low <= truth <= one.high for one in found]))


def judged(
    random: np.random.Generator, networks: int, images: int, by_network: float, by_image: float
) -> np.ndarray:
    """Draw paired differences (-1, 0, 1) that depend on the network and on the image."""
    network = random.normal(0, by_network, (networks, 1))
    difficulty = random.normal(0, by_image, images)
    one, other = (
        random.normal(0, 1, (networks, images)) + difficulty < limit for limit in (network, 0.0)
    )
    return one.astype(int) - other


@pytest.mark.parametrize(
    ("networks", "by_network", "by_image"),
    [
        *((networks, 0.0, by_image) for networks in (1, 2, 3) for by_image in (0.1, 1.0)),
        *((networks, 0.3, 1.0) for networks in (2, 3)),  # one says nothing about others
    ],
)
def test_paired_intervals_contain_the_truth(
    networks: int, by_network: float, by_image: float
) -> None:
    found = coverage(
        lambda random: intervals.paired(judged(random, networks, 150, by_network, by_image)), 0.0
    )
    assert 0.92 <= found <= 0.999


def test_pooling_the_verdicts_of_several_networks_would_not() -> None:
    """The experiment above tells a wrong interval from a right one."""
    found = coverage(
        lambda random: intervals.paired(judged(random, 3, 150, 0.3, 1.0).reshape(1, -1)), 0.0
    )
    assert found < 0.85


def test_the_same_images_in_another_network_are_no_new_images() -> None:
    once = np.random.default_rng(0).choice([-1, 0, 0, 0, 1], 200)
    alone, twice = intervals.paired(once), intervals.paired(np.tile(once, (4, 1)))
    assert twice.high - twice.low == pytest.approx(alone.high - alone.low, rel=0.05)
    pooled = intervals.paired(np.tile(once, 4))
    assert pooled.high - pooled.low < 0.6 * (alone.high - alone.low)


def test_where_networks_differ_and_images_do_not_it_is_students_interval() -> None:
    by_network = [0.1, 0.2, 0.4]
    images = np.random.default_rng(0).uniform(size=(3, 20_000))
    verdicts = (images < np.transpose([by_network])).astype(int)
    found, expected = intervals.paired(verdicts), intervals.over_seeds(verdicts.mean(axis=1))
    assert found == pytest.approx(expected, abs=0.01)


def test_one_row_is_the_interval_of_agresti_and_min() -> None:
    verdicts = np.array([1] * 9 + [-1] * 3 + [0] * 88)
    found = intervals.paired(verdicts)
    centre = 6 / 102  # half an image added to each of the four cells
    error = ((9.5 + 3.5 - 6**2 / 102) / 102**2) ** 0.5
    half = stats.norm.ppf(0.975) * error
    assert found.estimate == pytest.approx(0.06)
    assert (found.low, found.high) == pytest.approx((centre - half, centre + half), abs=2e-3)
    assert found.p == pytest.approx(2 * stats.norm.sf(centre / error), abs=5e-3)


@pytest.mark.parametrize("networks", [1, 3])
def test_where_no_image_differs_other_images_might(networks: int) -> None:
    found = intervals.paired(np.zeros((networks, 100)))
    assert found.estimate == 0
    assert 0.01 < found.high < 0.05
    assert found.low == pytest.approx(-found.high)
    assert found.p == pytest.approx(1)
    assert not found.excludes_zero
    assert found.within(0.05)
    assert not found.within(0.01)


def test_differences_over_seeds_have_students_interval() -> None:
    found = intervals.over_seeds([0.1, 0.2, 0.4])
    test = stats.ttest_1samp([0.1, 0.2, 0.4], 0)
    expected = test.confidence_interval()
    assert found == pytest.approx((0.7 / 3, expected.low, expected.high, test.pvalue))


def test_degenerate_seeds_have_degenerate_intervals() -> None:
    alone = intervals.over_seeds([0.3])
    assert alone.estimate == 0.3
    assert np.isnan(alone[1:]).all()
    assert intervals.over_seeds([0.0, 0.0, 0.0]) == (0, 0, 0, 1)
    assert intervals.over_seeds([0.5, 0.5]) == (0.5, 0.5, 0.5, 0)


def test_shares_have_wilsons_interval() -> None:
    found = intervals.wilson(0.0, 100)
    assert found.low == 0
    assert found.high == pytest.approx(0.0370, abs=1e-4)
    assert intervals.wilson(0.892, 1_000)[:3] == pytest.approx((0.892, 0.871, 0.910), abs=1e-3)


def test_the_share_of_a_gain_is_contained() -> None:
    def draw(random: np.random.Generator) -> Interval:
        difficulty = random.uniform(size=200)
        level = random.normal(0, 0.03, (3, 1))
        whole, part = (
            (difficulty + random.normal(0, 0.2, (3, 200)) < limit + level).astype(int)
            for limit in (0.8, 0.4)
        )
        return intervals.share_of(part, whole)

    assert 0.93 <= coverage(draw, 0.5) <= 0.999  # 0.8 and 0.4, but for what leaves the range


def test_a_share_of_itself_is_all_of_it() -> None:
    gains = np.random.default_rng(0).choice([0, 1], (3, 100))
    found = intervals.share_of(gains, gains)
    assert found.estimate == 1
    assert found.low < 1 < found.high


def test_draws_are_averaged_unless_the_network_is_one() -> None:
    one, other = [[1, 0, 0], [1, 1, 0]], [[0, 0, 1]]
    np.testing.assert_array_equal(intervals.by_network([one, other]), [[1, 0.5, 0], [0, 0, 1]])
    np.testing.assert_array_equal(intervals.by_network([one]), one)


def test_draws_differ_within_networks_not_between() -> None:
    assert intervals.between_draws([[0.1, 0.3], [0.7, 0.9]]) == pytest.approx(0.02**0.5)
    assert np.isnan(intervals.between_draws([[0.1], [0.9]]))


def test_holm_weighs_the_smallest_most_and_keeps_the_order() -> None:
    assert intervals.holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert intervals.holm([0.02, float("nan"), 0.6]) == pytest.approx(
        [0.04, float("nan"), 0.6], nan_ok=True
    )
    assert intervals.holm([0.6, 0.7]) == [1, 1]
    assert intervals.holm([]) == []


def test_the_wider_interval_is_taken_and_one_without_bounds_gives_way() -> None:
    images, networks = Interval(0.1, 0.0, 0.2, 0.06), Interval(0.1, 0.05, 0.15, 0.01)
    assert intervals.wider(networks, images) == images
    assert intervals.wider(images, networks) == images
    unbounded = intervals.over_seeds([0.1])
    assert not unbounded.excludes_zero  # of one network there is no telling
    assert intervals.wider(unbounded, images) == images
    assert intervals.wider(networks, networks._replace(low=-1, p=float("nan"))).p == 0.01


def test_one_network_has_at_least_the_interval_over_its_images() -> None:
    alone = intervals.gap([0.99], [0.98], 1_000)
    assert alone == pytest.approx(intervals.newcombe(0.99, 0.98, 1_000), nan_ok=True)
    assert alone.low < 0 < alone.high
    equal = intervals.gap([0.99] * 3, [0.99] * 3, 1_000)
    assert equal.high - equal.low > 0.01  # never of width zero
    apart = intervals.gap([0.9, 0.99, 0.95], [0.95, 0.9, 0.99], 1_000)
    assert apart.high == pytest.approx(intervals.over_seeds([-0.05, 0.09, -0.04]).high)


def test_newcombes_interval_is_as_published() -> None:
    """Newcombe (1998), Table II, method 10: 9 of 10 against 3 of 10."""
    found = intervals.newcombe(0.9, 0.3, 10)
    assert found[:3] == pytest.approx((0.6, 0.1705, 0.8090), abs=1e-4)


def test_estimates_without_common_chance_are_apart_by_the_halves_that_matter() -> None:
    one, other = intervals.Interval(0.5, 0.2, 0.6), intervals.Interval(0.1, 0.0, 0.5)
    found = intervals.apart(one, other)
    assert found[:3] == pytest.approx((0.4, 0.4 - 0.5, 0.4 + 0.02**0.5))
    back = intervals.apart(other, one)
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low))
    # As wide as that of two means: each apart by as much as its neighbour, together by root two.
    even = intervals.apart(intervals.Interval(0, -1, 1), intervals.Interval(0, -1, 1))
    assert even.high == pytest.approx(2**0.5)


@pytest.mark.parametrize(
    ("shares", "low", "high"),
    [([0.0, 0.0, 0.0], 0.0, 0.0038), ([1.0], 0.9962, 1.0), ([0.97, 0.99, 0.98], 0.9, 1.0)],
)
def test_intervals_for_shares_respect_the_bounds(
    shares: list[float], low: float, high: float
) -> None:
    found = intervals.mean_share(shares, 1_000)
    assert found.estimate == pytest.approx(np.mean(shares))
    assert low - 1e-3 <= found.low <= found.estimate <= found.high <= high + 1e-3
    assert 0 <= found.low < found.high <= 1
    if len(shares) == 3 and shares[0]:
        assert intervals.over_seeds(shares).high > 1  # Student's would not


def test_a_ratio_of_errors_says_what_a_difference_hides() -> None:
    mixed, more = [0.9897, 0.9893, 0.9898], [0.9957, 0.9959, 0.9958]
    found = intervals.error_ratio(mixed, more, 10_000)
    assert found.estimate == pytest.approx(2.47, abs=0.02)
    assert 1.5 < found.low < found.estimate < found.high < 4
    assert found.excludes(1)
    assert intervals.verdict(intervals.gap(mixed, more, 10_000), 0.01).startswith("differs")
    none = intervals.error_ratio([1.0], [1.0], 1_000)
    assert none.estimate == 1
    assert none.low < 0.2  # of no errors at all nothing follows
    assert none.high > 5


def test_ratios_of_errors_contain_the_truth_where_images_are_the_chance() -> None:
    def draw(random: np.random.Generator) -> Interval:
        ours, others = (random.binomial(1_000, share) / 1_000 for share in (0.98, 0.99))
        return intervals.error_ratio([ours], [others], 1_000)

    assert 0.93 <= coverage(draw, 2.0) <= 0.99


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (-0.005, 0.005, "equal within 1 point"),
        (0.001, 0.005, "differs, by less than 1 point"),
        (-0.005, -0.001, "differs, by less than 1 point"),
        (0.001, 0.05, "differs"),
        (-0.05, -0.02, "differs, by more than 1 point"),
        (-0.05, 0.02, "undecided"),
        (-0.02, 0.005, "undecided"),
        (float("nan"), float("nan"), "undecided"),
    ],
)
def test_a_verdict_says_that_it_differs_also_within_the_margin(
    low: float, high: float, said: str
) -> None:
    assert intervals.verdict(Interval((low + high) / 2, low, high), 0.01) == said


def test_a_margin_is_named() -> None:
    assert intervals.verdict(Interval(0, -0.01, 0.01), 0.05) == "equal within 5 points"


def test_a_trend_is_seen_where_no_single_step_would_be() -> None:
    steady = np.array([[1.04, 0.74, 0.42], [1.1, 0.8, 0.5], [0.9, 0.6, 0.3]])
    found = intervals.trend(steady)
    assert found.verdict == "falls"
    assert found.p == pytest.approx(2 * stats.page_trend_test(-steady).pvalue)
    assert intervals.trend(-steady).verdict == "rises"
    mixed = intervals.trend([[1, 2, 3], [3, 2, 1], [2, 3, 1]])
    assert mixed.verdict == "no trend seen"
    for few in ([[1, 2, 3]], [[1, 2], [1, 2], [1, 2]]):
        assert np.isnan(intervals.trend(few).p)
        assert intervals.trend(few).verdict == "no trend seen"


def test_the_smallest_difference_is_seen_as_often_as_promised() -> None:
    size = intervals.smallest_difference(0.05, 4)
    random = np.random.default_rng(0)
    seen = [
        intervals.over_seeds(random.normal(size, 0.05, 4)).excludes_zero for _ in range(REPETITIONS)
    ]
    assert np.mean(seen) == pytest.approx(0.8, abs=0.04)
    assert intervals.smallest_difference(0.05, 16) < size / 2
    assert intervals.smallest_difference(0.05, 1) == np.inf


def test_half_of_it_is_seen_as_often_as_the_power_says() -> None:
    half = intervals.smallest_difference(0.05, 3) / 2
    random = np.random.default_rng(0)
    seen = [intervals.over_seeds(random.normal(half, 0.05, 3)).low > 0 for _ in range(REPETITIONS)]
    assert np.mean(seen) == pytest.approx(intervals.power_to_see(half, 0.05, 3), abs=0.04)
    assert np.mean(seen) < 0.5


def test_a_comparison_among_several_sees_less_and_its_interval_is_wider() -> None:
    values = np.array([0.1, 0.2, 0.4, 0.5])
    width = intervals.half_width(values.std(ddof=1), 4)
    assert width == pytest.approx(values.mean() - intervals.over_seeds(values).low)
    by_tables = 4.857 * values.std(ddof=1) / 2  # Student's t of 3 degrees, 5%/3 two-sided
    assert intervals.half_width(values.std(ddof=1), 4, 3) == pytest.approx(by_tables, rel=1e-3)
    sizes = [intervals.smallest_difference(0.05, 10, comparisons=count) for count in (1, 3)]
    assert sizes[0] < sizes[1]


def test_the_networks_that_a_difference_needs_are_the_fewest() -> None:
    count = intervals.networks_needed(0.05, 0.05)
    assert count == 10  # as tables of power have it, for one standard deviation
    assert intervals.smallest_difference(0.05, count) <= 0.05
    assert intervals.smallest_difference(0.05, count - 1) > 0.05
