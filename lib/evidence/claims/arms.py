"""The arms that rules compare: networks before and after a defence, and under attack."""

from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from lib.evidence import contrasts as rules
from lib.evidence import runs, tables
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
ADAPTIVE = ("fresh PGD", "worst case", "small radius")
"""The tests of chapter 8 by attackers who adapt."""


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

    By the contrasts of chapter 8 in its three tests (fresh PGD, the worst case, and fresh PGD at
    a smaller radius), judged as there: by the wider of two intervals, corrected for their number.
    """
    judged = judged_contrasts(run)
    judged = judged[judged["arm"].eq("dominant filters") & judged["other"].isin(others)]
    if judged.empty:
        raise LookupError(f"contrasts with {others}")
    for row in judged[judged["test"].isin(ADAPTIVE)].to_dict("records"):
        apart = Interval(row["difference"], row["low"], row["high"])
        part = Part(
            f"{row['test']}, dominant filters and {row['other']}",
            tables.percent(row["arm_value"]),
            question(apart, run.margin),
            row["verdict"],
            tables.percent(row["other_value"]),
            tables.with_interval(apart, difference=True),
        )
        part = unless_idle(part, row["arm_value"], row["other_value"], row["undefended_value"])
        corrected_away = row["verdict"].startswith(rules.UNCORRECTED)
        yield part._replace(answer=Answer.OPEN) if corrected_away else part


def judged_contrasts(run: Recorded) -> pd.DataFrame:
    """Return the contrasts of chapter 8 with their verdicts."""
    found, controls = run.rows("controls_contrasts"), run.rows("controls")
    return rules.judge(found, controls, cell=["test"], family=["test"])


def unless_idle(part: Part, ours: float, others: float, undefended: float) -> Part:
    """Leave a comparison open where nobody is left, or both are worse than no defence."""
    if why := rules.nothing_to_compare(ours, others, undefended):
        why += f" ({tables.percent(undefended)})" if why == rules.BOTH_WORSE else ""
        return Part(part.what, part.found, Answer.OPEN, why, part.beside)
    return part


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
