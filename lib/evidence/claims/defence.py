"""Claims about the defence: what it gives, what it costs in accuracy (section 4)."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from lib.evidence import intervals, paper, runs, tables
from lib.evidence.claims import arms, ask
from lib.evidence.claims.arms import ATTACKS, KINDS, TENTH
from lib.evidence.claims.judging import Answer, Part, Question, Recorded, Shares, fact, shares

SPLIT = {True: "whole", False: "split"}
published = paper.quoted()
ENOUGH = published["accuracy after mixed training of any model"]


def _pairs(
    run: Recorded, name: str, ours: arms.Arms, others: arms.Arms, question: Question
) -> Iterator[Part]:
    """Compare two arms, network by network and attack by attack."""
    for model, attack in ours:
        what = f"{name}: {model}, {ATTACKS[attack]}"
        yield run.compare(what, ours[model, attack], others[model, attack], question)


def _both(run: Recorded, kind: str, test: str) -> tuple[arms.Arms, arms.Arms]:
    """Return the accuracies of the whole network and of the split one."""
    whole, split = (arms.defended(run, whole=w, kind=kind, test=test) for w in SPLIT)
    return whole, split


def static_images_are_learned(run: Recorded) -> Iterator[Part]:
    """Require that every network trained on the mixture reads 98% of static images, or near.

    Near is at most the margin below, by its interval.
    """
    for whole, name in SPLIT.items():
        after = arms.defended(run, whole=whole, kind="mixed", test="static")
        for (model, attack), ours in after.items():
            what = f"{name} network: {model}, {ATTACKS[attack]}"
            yield run.reaches(what, ours, ENOUGH, ask.little_worse)


def fresh_images_too(run: Recorded) -> Iterator[Part]:
    """Require the same of what defended networks read under every attack of chapter 7."""
    for network, worst in arms.climbed(run).items():
        if network != network.before:
            yield run.reaches(f"worst case: {network}", worst, ENOUGH, ask.little_worse)


def better_than_no_defence(run: Recorded) -> Iterator[Part]:
    """Require that the split network reads more static images than before, beyond the margin."""
    before = arms.undefended(run, "static")
    for kind, images in KINDS.items():
        after = arms.defended(run, whole=False, kind=kind, test="static")
        yield from _pairs(run, f"{images}, after and before", after, before, ask.better)


def better_against_all(run: Recorded) -> Iterator[Part]:
    """Require the same under attacks on the defended network itself, by chapter 8's contrasts."""
    yield from arms.contrasts(run, ask.better, "undefended")


def same_for_both_attacks(run: Recorded) -> Iterator[Part]:
    """Require that the whole network reads static images of both attacks the same.

    The same is within the margin and without a difference. An average needs several trainings: of
    a network that was trained once it is open.
    """
    for kind, images in KINDS.items():
        after = arms.defended(run, whole=True, kind=kind, test="static")
        for model in dict.fromkeys(model for model, _ in after):
            fgsm, pgd = (after[model, attack] for attack in ATTACKS)
            trainings = len({*fgsm.by_seed.index} & {*pgd.by_seed.index})
            what = f"{images}, FGSM and PGD: {model}, {trainings} training(s)"
            part = run.compare(what, fgsm, pgd, ask.alike)
            yield part if trainings > 1 else part.left_open("no average")


def mixing_brings_back(run: Recorded) -> Iterator[Part]:
    """Require that clean accuracy falls by more than the margin alone, and by no more mixed."""
    before = arms.undefended(run, "clean")
    for whole, name in SPLIT.items():
        mixed, alone = (arms.defended(run, whole=whole, kind=k, test="clean") for k in KINDS)
        at_first = {cell: before[cell] for cell in alone}
        yield from _pairs(run, f"{name} network, before and alone", at_first, alone, ask.better)
        yield from _pairs(run, f"{name} network, mixed and before", mixed, before, ask.little_worse)


def clean_accuracy_is_kept(run: Recorded) -> Iterator[Part]:
    """Require that the split network reads at most the margin fewer clean images than before.

    If it was trained on the mixture. That adversarial images alone cost more the paper concedes:
    they are only shown.
    """
    before = arms.undefended(run, "clean")
    for kind, images in KINDS.items():
        after = arms.defended(run, whole=False, kind=kind, test="clean")
        for part in _pairs(run, f"{images}, after and before", after, before, ask.little_worse):
            yield part if kind == "mixed" else part.shown()


def split_does_as_well(run: Recorded) -> Iterator[Part]:
    """Require that the split network is no worse than the whole one, by the difference's interval.

    Worse, but not shown to be so by more than the margin, counts in part.
    """
    for kind, images in KINDS.items():
        for test in ("clean", "static"):
            whole, split = _both(run, kind, test)
            yield from _pairs(run, f"{images}, {test}, split and whole", split, whole, ask.as_good)


def split_as_well_against_all(run: Recorded) -> Iterator[Part]:
    """Require the same under attacks on the defended network itself, by chapter 8's contrasts.

    Where nobody is left, or both are worse than no defence, it is open.
    """
    yield from arms.contrasts(run, ask.as_good, "whole network")


def a_tenth_is_enough(run: Recorded) -> Iterator[Part]:
    """Require that all filters and a tenth are the same, and that errors show no trend between.

    The trend over the shares from a tenth on is tested by Page's test, corrected by Holm for the
    number of settings. A trend is a change: if the interval stays within the margin it counts in
    part, else against.
    """
    cells = [(a, k, t) for a in ATTACKS for k in KINDS for t in ("clean", "static")]
    rows, trends = [], []
    for attack, kind, test in cells:
        of_fraction = arms.by_fraction(run, attack, kind, test)
        more = {share: cell for share, cell in of_fraction.items() if share >= TENTH}
        accuracy = pd.DataFrame({share: cell.by_seed for share, cell in more.items()}).dropna()
        trends.append(intervals.trend(1 - accuracy))
        what = f"{ATTACKS[attack]}, {KINDS[kind]}, {test}, all and a tenth"
        rows.append(run.compare(what, more[max(more)], more[TENTH], ask.alike))
    for part, found, p in zip(rows, trends, intervals.holm([t.p for t in trends]), strict=True):
        seen = found._replace(p=p).verdict
        shown = f"{part.shows}; errors: {seen}"
        if seen in ("rises", "falls"):
            little = "within" in part.shows or "less than" in part.shows
            part = part._replace(answer=Answer.PARTLY if little else Answer.NO)
        yield part._replace(shows=shown)


def a_tenth_against_all(run: Recorded) -> Iterator[Part]:
    """Require the same under attacks on the defended network itself, by chapter 8's contrasts."""
    yield from arms.contrasts(run, ask.alike, "whole network")


def dominant_filters_matter(run: Recorded) -> Iterator[Part]:
    """Require that a tenth of the filters gives more static accuracy than none, beyond the margin.

    More by little counts in part. Clean images are only shown.
    """
    for test in ("static", "clean"):
        for attack, name in ATTACKS.items():
            for kind, images in KINDS.items():
                cells = arms.by_fraction(run, attack, kind, test)
                what = f"{name}, {images}, {test}, a tenth and none"
                part = run.compare(what, cells[TENTH], cells[0.0], ask.better)
                yield part if test == "static" else part.shown()


def dominant_rather_than_others(run: Recorded) -> Iterator[Part]:
    """Require more than of random and of least affected filters, by chapter 8's contrasts."""
    yield from arms.contrasts(run, ask.better, "random filters", "least affected filters")


def consistent_over_radii(run: Recorded) -> Iterator[Part]:
    """Require that its accuracies at another radius are the same, neither lower nor higher.

    The usual radius is not compared with itself.
    """
    rows = run.rows("other_radius")
    rows = rows[(rows["epsilon"] != runs.USUAL["epsilon"]) & (rows.get("fraction", TENTH) < 1)]
    for (radius, kind, test), cells in rows.groupby(["epsilon", "training", "test"]):
        usual = arms.defended(run, whole=False, kind=str(kind), test=str(test))
        name = f"{KINDS[str(kind)]}, {test}, epsilon {radius:g} and 0.3"
        here = arms.by_cell(cells)
        yield from _pairs(run, name, here, usual, ask.alike)


def radii_against_all(run: Recorded) -> Iterator[Part]:
    """Leave it open: networks trained at other radii met static images alone."""
    yield Part("networks trained at other radii", "static images alone", Answer.OPEN)


def parameters_saved(run: Recorded) -> Iterator[Part]:
    """Require the published shares to a hundredth of a point, growing with the network."""
    rows = tables.side_by_side(12, run.rows("table_12")).dropna(subset=["paper"])
    apart = (rows["this run"] - rows["paper"]).abs().max()
    yield fact("from the published shares, points", f"{100 * apart:.3f}", apart <= 1e-4 + 1e-9)
    found = rows.pivot_table("this run", "fraction", "model", observed=True)
    for share, frozen in found.reindex(columns=["shallow", "base", "dense"]).iterrows():
        grows = bool((np.diff(frozen.dropna()) > 0).all())
        written = ", ".join(tables.percent(value) for value in frozen)
        yield fact(f"frozen if {share:.0%} train: shallow, base, dense", written, grows)


def half_of_dense_is_spared(run: Recorded) -> Iterator[Part]:
    """Require that more than half is frozen, and that static images are then read no worse.

    Where a tenth of the filters trains, as in the paper's method, and both networks on the
    mixture. Other shares of filters are only shown.
    """
    half = published["dense share that needs no training"]
    for share, rows in run.rows("table_12", model="dense").groupby("fraction"):
        if share in {TENTH, *paper.table(12)["fraction"]}:
            frozen, what = rows["value"].mean(), f"frozen if {share:.0%} train"
            part = fact(what, f"{frozen:.1%}", frozen > half, f"{half:.0%}")
            yield part if share == TENTH else part.shown()
    whole, split = _both(run, "mixed", "static")
    dense = {cell: ours for cell, ours in split.items() if cell[0] == "dense"}
    if not dense:
        raise LookupError("the dense network's accuracy")
    yield from _pairs(run, "mixed images, static, split and whole", dense, whole, ask.as_good)


def dense_is_robust(run: Recorded) -> Iterator[Part]:
    """Require about 98% of the split dense network, under every attack of chapter 7."""
    for network, worst in arms.climbed(run, model="dense", fraction=TENTH).items():
        yield run.reaches(f"worst case: {network}", worst, ENOUGH, ask.little_worse)


def _of_other_models(run: Recorded, test: str) -> Iterator[tuple[str, dict[str, Shares]]]:
    """Give the arms of chapter 11, crafted once, of networks that are not the paper's."""
    rows = run.rows("across_arms", training="crafted once", test=test)
    others = rows[~rows["model"].isin(paper.table(12)["model"])]
    if others.empty:
        raise LookupError("a network that is not the paper's")
    for (dataset, model), cell in others.groupby(["dataset", "model"], sort=False):
        yield f"{model}, {dataset}, {test}", {str(arm): shares(a) for arm, a in cell.groupby("arm")}


def other_models(run: Recorded) -> Iterator[Part]:
    """Require of networks that are not the paper's that the defence does there what is claimed.

    With dominant filters static images are read better than before, beyond the margin, and clean
    and static ones as well as with all filters.
    """
    for test in ("static", "clean"):
        for what, arm in _of_other_models(run, test):
            if test == "static":
                before = arm["undefended"]
                yield run.compare(f"{what}, and before", arm["dominant"], before, ask.better)
            yield run.compare(f"{what}, and all", arm["dominant"], arm["all"], ask.as_good)


def other_models_attacked(run: Recorded) -> Iterator[Part]:
    """Require that dominant filters leave more than no defence, under PGD at both radii."""
    for test in ("PGD", "PGD, a third"):
        for what, arm in _of_other_models(run, test):
            ours, before = arm["dominant"], arm["undefended"]
            part = run.compare(f"{what}, and undefended", ours, before, ask.better)
            yield arms.unless_idle(part, ours.mean, before.mean, before.mean)
