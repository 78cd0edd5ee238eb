"""The arms that rules compare: networks before and after a defence, and under attack."""

from collections.abc import Callable, Iterator
from functools import partial

import pandas as pd

from lib.evidence import intervals, runs, tables
from lib.evidence.claims.judging import Answer, Part, Question, Recorded, Shares, shares
from lib.evidence.intervals import Interval

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

    def of_table(number: int) -> pd.DataFrame:
        return run.rows(f"table_{number:02d}", training="none", test=test)

    def of_controls(attack: str) -> pd.DataFrame:
        return run.rows("controls", arm="undefended", test=test).assign(attack=attack)

    frames = [partial(of_table, 6), partial(of_table, 7), partial(of_controls, "pgd")]
    if test == "clean":  # static images of chapter 8 are PGD's
        frames.append(partial(of_controls, "fgsm"))
    return by_cell(run.first_of(*frames))


def defended(run: Recorded, *, whole: bool, kind: str, test: str) -> Arms:
    """Return the accuracies of the whole or the split network after training.

    Tables 10 and 11 have more seeds of the base network of Tables 6 to 9.
    """
    where = {"training": kind, "test": test}
    fraction = 1.0 if whole else TENTH

    def of_table(number: int) -> pd.DataFrame:
        return run.rows(f"table_{number:02d}", **where)

    def of_fractions(number: int) -> pd.DataFrame:
        rows = run.rows(f"table_{number}", fraction=fraction, **where)
        return rows.assign(model="base", attack="fgsm" if number == 10 else "pgd")

    frames: list[Callable[[], pd.DataFrame]]
    frames = [partial(of_table, number) for number in ((6, 7) if whole else (8, 9))]
    frames += [partial(of_fractions, number) for number in (10, 11)]
    return by_cell(run.first_of(*frames))


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
            found, beside = (tables.percent(x) for x in (row["arm_value"], row["other_value"]))
            none = row["undefended_value"]
            left = max(row["arm_value"], row["other_value"])
            if left <= FLOOR:
                yield Part(what, found, Answer.OPEN, "nobody is left to compare", beside)
            elif left < none:
                worse = f"both worse than no defence ({tables.percent(none)})"
                yield Part(what, found, Answer.OPEN, worse, beside)
            else:
                apart = Interval(row["difference"], row["low"], row["high"])
                apart = intervals.wider(apart, _over_networks(run, row["test"], other))
                shown = intervals.verdict(apart, run.margin)
                points = tables.with_interval(apart, difference=True)
                yield Part(what, found, question(apart, run.margin), shown, beside, points)


def _over_networks(run: Recorded, test: str, other: str) -> Interval:
    """Return Student's interval for a contrast of chapter 8, without bounds if not on record."""
    try:
        rows = run.rows("controls", test=test)
    except LookupError:
        return Interval(float("nan"), float("nan"), float("nan"))
    values = rows.pivot_table("value", "seed", "arm")
    return intervals.over_seeds((values["dominant filters"] - values[other]).dropna())


def climbed(run: Recorded, column: str = "worst case", **where: object) -> dict[str, Shares]:
    """Return what networks of chapter 7's ladders withstand, by a name for the network.

    Parameters
    ----------
    run
        What was recorded.
    column
        ``worst case`` over all rungs, or ``accuracy`` on the rung that ``where`` names.
    **where
        Which rows, as ``defence="pgd"``.
    """
    rows = run.rows("ladder", **where)
    return {
        name: shares(network.groupby("seed", as_index=False).min(numeric_only=True), column)
        for (model, defence, fraction), network in rows.groupby(
            ["model", "defence", "fraction"], sort=False
        )
        for name in [_named(str(model), str(defence), float(str(fraction)))]
    }


def _named(model: str, defence: str, fraction: float) -> str:
    if defence == "none":
        return f"{model}, undefended"
    return f"{model}, {ATTACKS[defence]}, {fraction:.0%} of the filters"
