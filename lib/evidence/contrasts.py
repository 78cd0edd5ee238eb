"""Arms compared: by how much they differ, what could have been seen, and what that shows.

A contrast is a row with an ``arm`` and an ``other`` arm, and by how much the first is ahead:
``difference``, ``low``, ``high``, ``p``. Its interval is the wider of that over networks and
images and Student's over the networks. The first takes the verdicts on each image, which only a
run has. A record has its result, and each network's accuracy, from which comes everything else.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats  # type: ignore[import-untyped]

from lib.evidence import intervals, tables
from lib.evidence.intervals import Interval

MARGIN = 0.01
"""Differences of accuracy within it are none that would matter."""

FLOOR = 0.01
"""Accuracy below which an arm has nothing left to compare."""

FEWEST = 3
"""Starting networks that a verdict takes, where one is about trainings."""

BOTH_FALLEN = f"both below {FLOOR:.0%}"
BOTH_WORSE = "both worse than no defence"
UNCORRECTED = "undecided (uncorrected:"
TOO_FEW = "undecided: too few networks"
UNTESTED = "one network: untested"

_SEEN = ("difference", "low", "high", "p")


def _bounded(found: Interval) -> Interval:
    """Keep the interval for a difference of shares where such differences lie."""
    return found._replace(low=max(found.low, -1.0), high=min(found.high, 1.0))


def nothing_to_compare(arm: float, other: float, undefended: float = 0.0) -> str:
    """Return why a difference between two accuracies would say nothing, or an empty string."""
    highest = max(arm, other)
    if highest < FLOOR:
        return BOTH_FALLEN
    return BOTH_WORSE if highest < undefended - MARGIN else ""


def compare(arm: ArrayLike, other: ArrayLike) -> dict[str, float]:
    """Return by how much one arm is ahead of another.

    Parameters
    ----------
    arm, other
        Verdicts (0 or 1), shape ``(networks, images)``, paired in both.

    Returns
    -------
    dict
        ``difference``, ``low``, ``high`` and ``p``, for a row of contrasts.
    """
    ahead = np.atleast_2d(np.asarray(arm, float) - np.asarray(other, float))
    found = intervals.wider(intervals.paired(ahead), intervals.over_seeds(ahead.mean(axis=1)))
    return dict(zip(_SEEN, _bounded(found), strict=True))


def judge(
    contrasts: pd.DataFrame,
    values: pd.DataFrame,
    *,
    cell: Sequence[str],
    family: Sequence[str],
    margin: float = MARGIN,
    fewest: int = 1,
) -> pd.DataFrame:
    """Judge contrasts: each by its interval, and corrected for how many there are.

    Parameters
    ----------
    contrasts
        Rows with the columns of ``cell``, ``arm``, ``other`` and those of :func:`compare`. Where a
        column ``primary`` is true, nothing is corrected. Where both arms are below a column
        ``undefended_value``, by more than the margin, that is the verdict.
    values
        Accuracies: the columns of ``cell``, ``arm``, ``seed``, ``value``, and ``images``, how many
        they are of. Draws are averaged.
    cell
        Columns that name a cell of the experiment, in which arms are compared.
    family
        Columns whose values those comparisons share that are corrected together.
    margin
        Differences within it are none that would matter.
    fewest
        Networks that a verdict takes: with fewer there is none.

    Returns
    -------
    pandas.DataFrame
        The contrasts, with bounds no narrower than Student's over the networks, and with

        - ``networks``, and ``smallest``: the smallest true difference that four of five
          repetitions would see; of one network, the chance of its images alone counts;
        - ``arm_value`` and ``other_value``, the accuracies;
        - ``ratio``, ``ratio_low``, ``ratio_high``: how many times as many errors the arm makes;
        - ``corrected``, the p-value by Holm's method, and ``verdict``.
    """
    by_arm = values.groupby([*cell, "arm", "seed"])[["value", "images"]].mean()
    rows = []
    for row in contrasts.to_dict("records"):
        place = [row[name] for name in cell]
        arm, other = (by_arm.loc[(*place, row[side])] for side in ("arm", "other"))
        ahead, images = arm["value"] - other["value"], int(arm["images"].min())
        recorded = Interval(*(row[name] for name in _SEEN))
        found = _bounded(intervals.wider(recorded, intervals.over_seeds(ahead)))
        ratio = intervals.error_ratio(arm["value"], other["value"], images)
        row |= dict(zip(_SEEN, found, strict=True))
        row |= {"networks": len(ahead), "smallest": _smallest(found, ahead, images)}
        row |= {"arm_value": arm["value"].mean(), "other_value": other["value"].mean()}
        row |= {"ratio": ratio.estimate, "ratio_low": ratio.low, "ratio_high": ratio.high}
        rows.append(row)
    judged = pd.DataFrame(rows)
    fallen = judged[["arm_value", "other_value"]].max(axis=1) < FLOOR
    exempt = fallen | judged.get("primary", False)
    judged["corrected"] = _corrected(judged[~exempt], family).reindex(judged.index)
    judged["corrected"] = judged["corrected"].fillna(judged["p"])
    rows = judged.to_dict("records")
    return judged.assign(verdict=[_verdict(row, margin, fewest) for row in rows])


def _corrected(rows: pd.DataFrame, family: Sequence[str]) -> "pd.Series[float]":
    """Return the p-values, corrected within each family."""
    return rows.groupby(list(family))["p"].transform(lambda p: intervals.holm(list(p)))


def _smallest(found: Interval, ahead: "pd.Series[float]", images: int) -> float:
    half = (found.high - found.low) / 2
    if len(ahead) > 1:
        return max(half, intervals.smallest_difference(float(ahead.std()), len(ahead)))
    return intervals.smallest_difference(half * images**0.5 / float(stats.norm.ppf(0.975)), images)


def _verdict(row: Mapping[Any, Any], margin: float, fewest: int) -> str:
    found = Interval(*(row[name] for name in _SEEN))
    values = row["arm_value"], row["other_value"], row.get("undefended_value", 0.0)
    if idle := nothing_to_compare(*values):
        return idle
    if row["networks"] < fewest:
        return TOO_FEW
    alone = intervals.verdict(found, margin)
    if not found.excludes_zero or row["corrected"] < 1 - intervals.CONFIDENCE:
        return alone
    return f"{UNCORRECTED} {alone})"


def named(judged: pd.DataFrame) -> "pd.Series[str]":
    """Return the comparisons' names, as ``dominant - random``."""
    names = judged["arm"] + " \N{MINUS SIGN} " + judged["other"]
    return names.str.replace(" filters", "")


def show(judged: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Return judged contrasts for a page: first what could have been seen, then what was.

    Parameters
    ----------
    judged
        Of :func:`judge`.
    keys
        Columns that name a row.

    Returns
    -------
    pandas.DataFrame
        The keys, and differences in percentage points, with 95% intervals. Where nobody is left,
        the verdict alone; where both arms are worse than no defence, too, unless the row is
        ``primary``: what was named first is reported in any case.
    """
    rows = []
    for row in judged.to_dict("records"):
        shown = {key: str(row[key]) for key in keys}
        secondary = not row.get("primary", False)
        if row["verdict"] != BOTH_FALLEN and not (secondary and row["verdict"] == BOTH_WORSE):
            # Rounded first, so that no zero has a sign.
            ahead = Interval(*(round(row[name], 4) + 0.0 for name in _SEEN))
            ratio, low, high = (row[name] for name in ("ratio", "ratio_low", "ratio_high"))
            shown["could see"] = _in_points(row["smallest"])
            digits = 1 if row["smallest"] > MARGIN else 2
            shown["ahead by"] = tables.with_interval(ahead, digits, difference=True)
            shown["times the errors"] = f"{ratio:.2g} ({low:.2g} to {high:.2g})"
        rows.append(shown | {"verdict": row["verdict"]})
    columns = [*keys, "could see", "verdict", "ahead by", "times the errors"]
    return pd.DataFrame(rows).reindex(columns=columns)


def _in_points(smallest: float) -> str:
    if smallest > 1:  # as far apart no two shares are
        return "none"
    return f"{100 * smallest:.{0 if smallest > 0.1 else 1 if smallest > 0.01 else 2}f}"


def trends(
    values: pd.DataFrame, *, cell: Sequence[str], along: str, family: Sequence[str] = ()
) -> pd.DataFrame:
    """Test whether errors rise or fall over an ordered condition, in every cell.

    Parameters
    ----------
    values
        Accuracies: the columns of ``cell``, that of the condition, ``seed`` and ``value``.
    cell
        Columns that name a cell of the experiment.
    along
        The column of the condition, as ``fraction``.
    family
        Columns whose values those cells share that are corrected together.

    Returns
    -------
    pandas.DataFrame
        A row for each cell: the two-sided ``p`` of Page's test, ``corrected`` by Holm's method,
        ``every``: whether the errors of every network fall at every step; and the ``verdict``.
    """
    rows = []
    for place, part in values.groupby(list(cell), sort=False):
        errors = 1 - part.pivot_table("value", "seed", along)
        steps = errors.diff(axis=1).iloc[:, 1:]
        trend = intervals.trend(errors)
        rows.append((*place, trend.rises, trend.p, bool((steps < 0).all(axis=None))))
    found = pd.DataFrame(rows, columns=[*cell, "rises", "p", "every"])
    found["corrected"] = _corrected(found, family) if family else intervals.holm(list(found["p"]))
    verdicts = [
        UNTESTED if np.isnan(p) else intervals.Trend(bool(rises), float(p)).verdict
        for rises, p in zip(found["rises"], found["corrected"], strict=True)
    ]
    return found.drop(columns="rises").assign(verdict=verdicts)
