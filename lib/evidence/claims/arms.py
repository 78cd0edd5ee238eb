"""The arms that rules compare: networks before and after a defence, and under attack."""

from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from lib.evidence import intervals, runs, tables
from lib.evidence.claims.judging import Answer, Part, Question, Recorded, Shares, Wanted, shares
from lib.evidence.intervals import Interval


class Network(NamedTuple):
    """A network of a ladder: its shape, what it was trained against, which filters trained."""

    model: str
    defence: str
    fraction: float

    def __str__(self) -> str:
        """Return its name."""
        return f"{self.model}, {ATTACKS[self.defence]}, {self.fraction:.0%} of the filters"

    @property
    def before(self) -> "Network":
        """The network without a defence."""
        return Network(self.model, "none", 1.0)


Arms = dict[tuple[str, str], Shares]
"""Accuracies by model and attack."""

KINDS = {"mixed": "mixed images", "adversarial": "adversarial images alone"}
ATTACKS = {"fgsm": "FGSM", "pgd": "PGD"}
TENTH = float(str(runs.USUAL["fraction"]))
FLOOR = 0.01
"""Of the images: below it nobody is left to compare."""


def by_cell(rows: pd.DataFrame) -> Arms:
    """Return the accuracies of each model and attack."""
    return {
        (str(model), str(attack)): shares(cell)
        for (model, attack), cell in rows.groupby(["model", "attack"], sort=False)
    }


def undefended(run: Recorded, test: str) -> Arms:
    """Return the accuracies before any defence, over the seeds on record."""
    tables: list[Wanted] = [
        (f"table_{n}", {"training": "none", "test": test}, {}) for n in ("06", "07")
    ]
    attacks = ATTACKS if test == "clean" else ["pgd"]  # of chapter 8's static images
    where = {"arm": "undefended", "test": test}
    return by_cell(run.first_of(*tables, *(("controls", where, {"attack": a}) for a in attacks)))


def defended(run: Recorded, *, whole: bool, kind: str, test: str) -> Arms:
    """Return the accuracies of the whole or the split network after training.

    Tables 10 and 11 have more seeds of the base network of Tables 6 to 9.
    """
    where: dict[str, object] = {"training": kind, "test": test}
    tables: list[Wanted] = [
        (f"table_{n}", where, {}) for n in (("06", "07") if whole else ("08", "09"))
    ]
    where = where | {"fraction": 1.0 if whole else TENTH}
    names = {"table_10": "fgsm", "table_11": "pgd"}.items()
    more = [(name, where, {"model": "base", "attack": attack}) for name, attack in names]
    return by_cell(run.first_of(*tables, *more))


def by_fraction(run: Recorded, attack: str, kind: str, test: str) -> dict[float, Shares]:
    """Return the base network's accuracies by the share of filters that trained."""
    rows = run.rows(f"table_{10 if attack == 'fgsm' else 11}", training=kind, test=test)
    return {float(str(fraction)): shares(cell) for fraction, cell in rows.groupby("fraction")}


def contrasts(run: Recorded, question: Question, *others: str) -> Iterator[Part]:
    """Compare the dominant filters with other choices against attackers who adapt.

    By the contrasts of chapter 8 in its three tests: fresh PGD, the worst case, and fresh PGD at
    a smaller radius. Their intervals are the wider of that over networks and images on record,
    and Student's over the networks.
    """
    for other in others:
        rows = run.rows("controls_contrasts", arm="dominant filters", other=other)
        for row in rows.to_dict("records"):
            if row["test"] not in ("fresh PGD", "worst case", "small radius"):
                continue
            what = f"{row['test']}, dominant filters and {other}"
            apart = Interval(row["difference"], row["low"], row["high"])
            apart = intervals.wider(apart, _over_networks(run, row["test"], other))
            part = Part(
                what,
                tables.percent(row["arm_value"]),
                question(apart, run.margin),
                intervals.verdict(apart, run.margin),
                tables.percent(row["other_value"]),
                tables.with_interval(apart, difference=True),
            )
            values = row["arm_value"], row["other_value"], row["undefended_value"]
            yield unless_fallen(part, *values)


def unless_fallen(part: Part, ours: float, others: float, undefended: float) -> Part:
    """Leave a comparison open where nobody is left, or both are worse than no defence."""
    if max(ours, others) <= FLOOR:
        why = "nobody is left to compare"
    elif max(ours, others) < undefended:
        why = f"both worse than no defence ({tables.percent(undefended)})"
    else:
        return part
    return Part(part.what, part.found, Answer.OPEN, why, part.beside)


def _over_networks(run: Recorded, test: str, other: str) -> Interval:
    """Return Student's interval for a contrast of chapter 8, without bounds if not on record."""
    try:
        rows = run.rows("controls", test=test)
    except LookupError:
        return Interval(float("nan"), float("nan"), float("nan"))
    values = rows.pivot_table("value", "seed", "arm")
    return intervals.over_seeds((values["dominant filters"] - values[other]).dropna())


def climbed(run: Recorded, column: str = "worst case", **where: object) -> dict[Network, Shares]:
    """Return what networks of chapter 7's ladders withstand.

    Parameters
    ----------
    run
        What was recorded.
    column
        ``worst case`` over all rungs, or ``accuracy`` on the rung that ``where`` names.
    **where
        Which rows, as ``defence="pgd"``.
    """
    networks = run.rows("ladder", **where).groupby([*Network._fields], sort=False)
    return {
        Network(str(model), str(defence), float(str(fraction))): shares(
            rows.groupby("seed", as_index=False).min(), column
        )
        for (model, defence, fraction), rows in networks
    }
