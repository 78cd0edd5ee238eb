"""How a claim of the paper is judged: records in, parts with their answers out, a verdict.

A rule takes what a run recorded and returns parts; its docstring is the sentence that states it,
as the page shows it.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from enum import StrEnum
from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from lib.evidence import intervals, tables
from lib.evidence.intervals import Interval

HOLDS, IN_PART, FAILS = "holds", "holds in part", "does not hold"
UNTOLD, ABSENT = "cannot be told", "has no record yet"
MARKS = {HOLDS: "✓", IN_PART: "◐", FAILS: "✗", UNTOLD: "?", ABSENT: "\N{EN DASH}"}

MARGIN = 0.01
"""Accuracies that differ by less differ by little."""


class Answer(StrEnum):
    """What a part answers."""

    YES = "yes"
    PARTLY = "in part"
    NO = "no"
    OPEN = "open"
    SHOWN = "only shown"


class Part(NamedTuple):
    """One comparison that a claim rests on, its numbers as a table shows them."""

    what: str
    found: str
    answer: Answer
    shows: str = ""
    beside: str = ""
    """What it is compared with."""
    points: str = ""
    """Difference in percentage points, with its 95 % interval."""
    errors: str = ""
    """How many times the errors, with the 95 % interval."""

    def shown(self) -> "Part":
        """Return the part as one that is not judged."""
        return self._replace(answer=Answer.SHOWN)

    def left_open(self, why: str) -> "Part":
        """Return the part as one that cannot be told, and why."""
        return self._replace(answer=Answer.OPEN, shows="; ".join(filter(None, (self.shows, why))))


class Verdict(NamedTuple):
    """What the parts of a claim come to."""

    says: str
    parts: tuple[Part, ...] = ()

    @property
    def text(self) -> str:
        """Return the verdict with its mark, and how many parts are open."""
        answers = [part.answer for part in self.parts if part.answer != Answer.SHOWN]
        count = answers.count(Answer.OPEN)
        if not count or self.says == UNTOLD:
            return f"{MARKS[self.says]} {self.says}"
        where = "" if self.says == IN_PART else " where it could be told"
        return f"({MARKS[self.says]}) {self.says}{where}, {count} of {len(answers)} open"


def sum_up(parts: Iterable[Part]) -> Verdict:
    """Return the verdict on a claim from the answers of its parts.

    What cannot be told is not left out: the verdict says how much of it there is.

    Raises
    ------
    LookupError
        If there is no part: nothing was recorded that the claim rests on.
    """
    found = tuple(parts)
    if not found:
        raise LookupError("no part")
    answers = {part.answer for part in found} - {Answer.OPEN, Answer.SHOWN}
    if not answers:
        return Verdict(UNTOLD, found)
    if answers == {Answer.YES} or answers == {Answer.NO}:
        return Verdict(HOLDS if Answer.YES in answers else FAILS, found)
    return Verdict(IN_PART, found)


class Shares(NamedTuple):
    """Accuracies by seed, and the number of images behind each."""

    by_seed: "pd.Series[float]"
    images: int

    @property
    def mean(self) -> float:
        """Return their mean over the seeds."""
        return float(self.by_seed.mean())


def shares(rows: pd.DataFrame, column: str = "value") -> Shares:
    """Return accuracies by seed; of several rows a seed, the mean."""
    return Shares(rows.groupby("seed")[column].mean(), int(rows["images"].min()))


def _with_images(rows: pd.DataFrame | None) -> pd.DataFrame | None:
    """Return the rows of a record of accuracies with the images that they rest on."""
    if rows is not None and "images" not in rows and "value" in rows:
        with suppress(ValueError):  # not accuracies, or not these alone
            return rows.assign(images=fewest_images(rows["value"]))
    return rows


def fewest_images(accuracies: ArrayLike) -> int:
    """Return the fewest images of which recorded accuracies can be counts.

    Records of the paper's tables do not say how many images they rest on. As six digits are kept,
    the number follows, or one that is smaller, which makes intervals wider.

    Raises
    ------
    ValueError
        If no number up to 60,000 fits.
    """
    values, counts = np.unique(np.asarray(accuracies, float)), np.arange(1, 60_001)
    if values.min() < 0 or values.max() > 1:
        raise ValueError("accuracies are shares, 0 to 1")
    found = np.multiply.outer(values, counts)
    fits = (np.abs(found - np.round(found)) <= 1e-9 + 5e-7 * counts).all(axis=0)
    if not fits.any():
        raise ValueError("these accuracies are no counts of up to 60,000 images")
    return int(counts[fits.argmax()])


Wanted = tuple[str, Mapping[str, object], Mapping[str, str]]
"""The name of a record, entries that its rows have to have, and columns to add."""

Question = Callable[[Interval, float], Answer]

Find = Callable[[str], pd.DataFrame | None]
"""Returns the rows of a record by its name, or None."""


class Recorded:
    """What a run recorded, as rules ask for it.

    Parameters
    ----------
    find
        Returns the rows of a record by its name, or None.
    margin
        Accuracies that differ by less differ by little.
    """

    def __init__(self, find: Find, margin: float = MARGIN) -> None:
        self.find, self.margin = cache(lambda name: _with_images(find(name))), margin

    def rows(self, name: str, **where: object) -> pd.DataFrame:
        """Return the rows of a record with the given entries; none is a LookupError."""
        rows = self.find(name)
        if rows is None:
            raise LookupError(name)
        for column, wanted in where.items():
            rows = rows[rows[column] == wanted]
        if rows.empty:
            raise LookupError(f"{name}: {where}")
        return rows

    def first_of(self, *wanted: Wanted) -> pd.DataFrame:
        """Return the rows that several records have of the same networks, each seed once."""
        found = []
        for name, where, columns in wanted:
            with suppress(LookupError):
                found.append(self.rows(name, **where).assign(**columns))
        if not found:
            raise LookupError("none of the records")
        keys = [key for key in ("model", "attack", "seed") if all(key in rows for rows in found)]
        return pd.concat(found).drop_duplicates(keys)

    def compare(self, what: str, ours: Shares, others: Shares, question: Question) -> Part:
        """Compare the accuracies of two arms over the seeds that both have."""
        pairs = pd.concat([ours.by_seed, others.by_seed], axis=1, join="inner")
        if pairs.empty:
            raise LookupError(f"{what}: no seed in common")
        (mine, theirs), images = pairs.to_numpy().T, min(ours.images, others.images)
        found = intervals.gap(mine, theirs, images)
        return Part(
            what,
            tables.percent(mine.mean(), 2),
            question(found, self.margin),
            intervals.verdict(found, self.margin),
            tables.percent(theirs.mean(), 2),
            tables.with_interval(found, 2, difference=True),
            times(intervals.error_ratio(mine, theirs, images), 2),
        )

    def reaches(
        self, what: str, ours: Shares, bar: float, question: Question, sign: int = 1
    ) -> Part:
        """Compare accuracies with a number that the paper states; ``sign`` -1 asks for less."""
        share = intervals.mean_share(ours.by_seed, ours.images)
        apart = Interval(*(end - bar for end in share[:3]))
        turned = Interval(-apart.estimate, -apart.high, -apart.low) if sign < 0 else apart
        return Part(
            what,
            tables.percent(ours.mean, 2),
            question(turned, self.margin),
            intervals.verdict(apart, self.margin),
            tables.percent(bar, 2),
            tables.with_interval(apart, 2, difference=True),
        )


Rule = Callable[[Recorded], Iterable[Part]]


def fact(what: str, found: str, holds: bool, beside: str = "") -> Part:
    """Return a part that follows from counting, without chance."""
    return Part(what, found, Answer.YES if holds else Answer.NO, "", beside)


def times(found: Interval, digits: int = 1) -> str:
    """Return a ratio with its interval."""
    estimate, low, high = (f"{end:,.{digits}f}" for end in found[:3])
    return estimate if pd.isna(found.low) else f"{estimate} ({low} to {high})"


@cache
def judge(rule: Rule, run: Recorded) -> Verdict:
    """Return the verdict of a rule; that there is no record where the run lacks the rows."""
    try:
        return sum_up(rule(run))
    except LookupError:
        return Verdict(ABSENT)
