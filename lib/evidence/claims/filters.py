"""Claims about the filters that attacks disturb (sections 1 and 3.4)."""

from collections.abc import Iterator

import pandas as pd

from lib.evidence import intervals, tables
from lib.evidence.claims import arms, ask
from lib.evidence.claims.arms import ATTACKS, KINDS, TENTH
from lib.evidence.claims.judging import Answer, Part, Recorded, times
from lib.evidence.intervals import Interval


def filters_differ(run: Recorded) -> Iterator[Part]:
    """Require that the dominant filters hold more than twice the places that chance would give.

    By the interval over networks.
    """
    yield from _concentrated(run.rows("filter_concentration"))


def _concentrated(record: pd.DataFrame, where: str = "") -> Iterator[Part]:
    for layer, rows in record.groupby("layer"):
        found = intervals.over_seeds(rows["held"] / rows["by_chance"])
        shown = f"{times(found)} times as many"
        held, chance = (tables.percent(rows[name].mean()) for name in ("held", "by_chance"))
        what = f"{where}layer {layer}, places held"
        yield Part(what, held, ask.above(2, found), shown, chance)


def same_for_all_classes(run: Recorded) -> Iterator[Part]:
    """Require a mean overlap of two classes, their Jaccard index, of at least one half.

    They then share two thirds of their dominant filters. Less, but above chance, counts in part.
    """
    yield from _alike(run.rows("filter_overlap", comparison="classes"))


def _alike(record: pd.DataFrame, where: str = "") -> Iterator[Part]:
    for layer, rows in record.groupby("layer"):
        means = rows[["jaccard", "chance", "chance_high"]].mean()
        beyond = means["jaccard"] > means["chance_high"]
        answer = Answer.YES if means["jaccard"] >= 0.5 else Answer.PARTLY if beyond else Answer.NO
        what = f"{where}layer {layer}, overlap of two classes, {rows['seed'].nunique()} network(s)"
        shown = "above chance" if beyond else "as by chance"
        yield Part(what, f"{means['jaccard']:.2f}", answer, shown, f"{means['chance']:.2f}")


def across_data_sets(run: Recorded) -> Iterator[Part]:
    """Require what the two claims before require, of every data set of chapter 11.

    Of its first network, which was trained from several seeds. From one data set nothing follows.
    """
    record = run.rows("across_filters")
    record = record[record["model"] == record["model"].iloc[0]]
    if record["dataset"].nunique() < 2:
        raise LookupError("a second data set")
    for dataset, rows in record.groupby("dataset", sort=False):
        yield from _concentrated(rows, f"{dataset}, ")
        yield from _alike(rows, f"{dataset}, ")


def errors_lie_in_a_tenth(run: Recorded) -> Iterator[Part]:
    """Require that more than half of the repair of static accuracy needs the dominant filters.

    That is what is lost where none of them trains, network by network. If it is less, and they
    might repair more than half alone, with all else frozen, then either part can do what the other
    can, and it is open.
    """
    alone = _repaired_alone(run)
    parts = [
        _needed(run, attack, kind)._replace(what=f"{name}, {images}: needed for")
        for attack, name in ATTACKS.items()
        for kind, images in KINDS.items()
    ]
    if any(part.answer != Answer.YES for part in parts):
        yield alone
        if alone.answer == Answer.OPEN:
            parts = [p.left_open("either may do it") if p.answer == "no" else p for p in parts]
    yield from parts


def _needed(run: Recorded, attack: str, kind: str) -> Part:
    before = arms.undefended(run, "static")["base", attack]
    of_fraction = arms.by_fraction(run, attack, kind, "static")
    tenth, none = of_fraction[TENTH], of_fraction[0.0]
    seeds = pd.concat([tenth.by_seed, none.by_seed, before.by_seed], axis=1, join="inner")
    if seeds.empty:
        raise LookupError("no seed in common")
    ours, others, at_first = seeds.to_numpy().T
    gain, means = ours - at_first, (ours.mean(), others.mean(), at_first.mean())
    over_images = intervals.newcombe(means[0], means[1], tenth.images)
    of_gain = Interval(*(float(end / gain.mean()) for end in over_images[:3]))
    found = intervals.wider(intervals.over_seeds((ours - others) / gain), of_gain)
    written = [tables.percent(mean, 2) for mean in means]
    shown = f"none {written[1]}, before {written[2]}"
    return Part("", tables.with_interval(found), ask.above(0.5, found), shown, f"to {written[0]}")


def _repaired_alone(run: Recorded) -> Part:
    what = "PGD, mixed images: repaired with all else frozen"
    try:
        rows = arms.judged_contrasts(run).query("test == 'static' and arm == 'dominant filters'")
        row = rows[rows["other"] == "dominant filters only"].iloc[0]
    except LookupError:
        return Part(what, tables.percent(float("nan")), Answer.OPEN, "not measured")
    gain = row["arm_value"] - row["undefended_value"]
    found = Interval(
        *(min(1.0, max(0.0, 1 - row[end] / gain)) for end in ("difference", "high", "low"))
    )
    answer = Answer.NO if found.high <= 0.5 else Answer.OPEN
    return Part(what, tables.with_interval(found), answer, "", "of the repair")


def a_tenth_rather_than_none(run: Recorded) -> Iterator[Part]:
    """Require more than of training the dense layers alone, by chapter 8's contrasts."""
    yield from arms.contrasts(run, ask.better, "dense layers only")
