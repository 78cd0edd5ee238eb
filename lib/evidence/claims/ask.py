"""What is asked of an interval: each question with its answers."""

from lib.evidence.claims.judging import Answer
from lib.evidence.intervals import Interval


def better(found: Interval, margin: float) -> Answer:
    """Answer if a difference shows the first to be better; in part if it may be by little."""
    if found.low > 0:
        return Answer.YES if found.low > margin else Answer.PARTLY
    return Answer.NO if found.high <= margin else Answer.OPEN


def ahead(found: Interval, margin: float) -> Answer:
    """Answer if a difference shows the first to be better, by however little."""
    return better(found, 0)


def as_good(found: Interval, margin: float) -> Answer:
    """Answer if the first is no worse; worse, but not beyond the margin, is in part."""
    if found.high < 0:
        return Answer.NO if found.high <= -margin else Answer.PARTLY
    return Answer.YES if found.low >= -margin else Answer.OPEN


def little_worse(found: Interval, margin: float) -> Answer:
    """Answer if the first is worse by less than the margin, if at all."""
    return (
        Answer.YES if found.low >= -margin else Answer.NO if found.high < -margin else Answer.OPEN
    )


def alike(found: Interval, margin: float) -> Answer:
    """Answer if two are the same; different, but not beyond the margin, is in part."""
    if found.excludes_zero:
        return Answer.NO if found.low >= margin or found.high <= -margin else Answer.PARTLY
    return Answer.YES if found.within(margin) else Answer.OPEN


def above(bar: float, found: Interval) -> Answer:
    """Answer if a number is above a bar."""
    return Answer.YES if found.low > bar else Answer.NO if found.high <= bar else Answer.OPEN


def below(bar: float, found: Interval) -> Answer:
    """Answer if a number is below a bar."""
    return Answer.YES if found.high < bar else Answer.NO if found.low >= bar else Answer.OPEN
