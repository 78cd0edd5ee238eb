"""Claims about attacks that the defence was not trained against (sections 3.5 and 4)."""

from collections.abc import Iterator

import pandas as pd

from lib.evidence.claims import arms, ask
from lib.evidence.claims.arms import KINDS
from lib.evidence.claims.defence import ENOUGH
from lib.evidence.claims.judging import Answer, Part, Recorded, Shares, shares

UNDEFENDED = "undefended itself"
WEAKER = {
    "noise": "plain noise",
    "transfer": f"images crafted on another network, {UNDEFENDED}",
    "square": "no gradients",
    "fgsm": "fresh FGSM",
}
"""Rungs of the ladder that know or try less than PGD."""


def _crossed(run: Recorded, trained_on: str, tested_on: str, kind: str) -> dict[str, Shares]:
    """Return accuracies on static images of an attack, by model."""
    where = {"trained_on": trained_on, "tested_on": tested_on, "training": kind}
    rows = run.rows("cross_attack", **where).groupby("model", sort=False)
    return {str(model): shares(cell) for model, cell in rows}


def weaker_attacks_are_met(run: Recorded) -> Iterator[Part]:
    """Require that static FGSM images are read more often than before, beyond the margin."""
    before = arms.undefended(run, "static")
    for kind, images in KINDS.items():
        for model, after in _crossed(run, "pgd", "fgsm", kind).items():
            what = f"{images}, after and before: {model}"
            yield run.compare(what, after, before[model, "fgsm"], ask.better)


def weaker_attacks_afresh(run: Recorded) -> Iterator[Part]:
    """Require more than without a defence on each rung that knows or tries less than PGD.

    More by the margin, on the rungs of chapter 7. Where single networks are compared, a difference
    no larger than the spread between networks on record, that of undefended ones under FGSM, is
    open. Images crafted on a network that is defended the same way are the stronger ones. Where
    they were tried, they count; for networks that they were not tried on, the part is open.
    """
    spread, informed = _spread(run), _informed(run)
    for rung, name in WEAKER.items():
        cells = arms.climbed(run, "accuracy", rung=rung)
        for network, ours in cells.items():
            if network.defence == "pgd":
                what, before = f"{name}: {network}, and undefended", cells[network.before]
                if rung == "transfer" and network in informed:
                    ours, what = informed[network], what.replace(UNDEFENDED, "defended alike")
                part = run.compare(what, ours, before, ask.better)
                if rung == "transfer" and informed and network not in informed:
                    part = part.left_open("stronger images not tried")
                if len(ours.by_seed) < 2 and not abs(ours.mean - before.mean) > spread:
                    part = part.left_open("no more than the spread between networks")
                yield arms.unless_idle(part, ours.mean, before.mean, before.mean)


def _spread(run: Recorded) -> float:
    """Return how far undefended networks that differ in their seed alone lie apart; or no limit."""
    try:
        found = run.rows("hardening_arms", arm="undefended")["under FGSM"]
    except LookupError:
        return float("inf")
    return float(found.max() - found.min()) if len(found) > 1 else float("inf")


def _informed(run: Recorded) -> dict[arms.Network, Shares]:
    """Return what is left of images from surrogates that are defended the same way."""
    try:
        rows = run.rows("transfer", surrogate="defended the same way")
    except LookupError:
        return {}
    return arms.climbed(Recorded(lambda _: rows), "accuracy")


def pgd_defends_better(run: Recorded) -> Iterator[Part]:
    """Require that the worse of both static accuracies is higher after PGD, beyond the margin."""
    for kind, images in KINDS.items():
        least: dict[str, dict[str, Shares]] = {}
        for trained in ("pgd", "fgsm"):
            fgsm, pgd = (_crossed(run, trained, tested, kind) for tested in ("fgsm", "pgd"))
            least[trained] = {
                model: ours._replace(
                    by_seed=pd.concat([ours.by_seed, pgd[model].by_seed], axis=1).min(axis=1)
                )
                for model, ours in fgsm.items()
            }
        for model, ours in least["pgd"].items():
            what = f"{images}, PGD and FGSM: {model}"
            yield run.compare(what, ours, least["fgsm"][model], ask.better)


def pgd_defends_better_against_all(run: Recorded) -> Iterator[Part]:
    """Require the same of what networks read under every attack of chapter 7.

    Where nobody is left, or both are worse than no defence, it is open.
    """
    worst = arms.climbed(run)
    for network, pgd in worst.items():
        fgsm = worst.get(network._replace(defence="fgsm"))
        if network.defence == "pgd" and fgsm is not None:
            before = worst[network.before].mean if network.before in worst else 0.0
            part = run.compare(f"worst case: {network}, and FGSM", pgd, fgsm, ask.better)
            yield arms.unless_idle(part, pgd.mean, fgsm.mean, before)


def fgsm_needs_more(run: Recorded) -> Iterator[Part]:
    """Require that static PGD images are read worse than 98%, by more than the margin."""
    for kind, images in KINDS.items():
        for model, after in _crossed(run, "fgsm", "pgd", kind).items():
            yield run.reaches(f"{images}: {model}", after, ENOUGH, ask.better, sign=-1)


def fgsm_falls(run: Recorded) -> Iterator[Part]:
    """Require the same of what these networks read under every attack of chapter 7."""
    for network, worst in arms.climbed(run, defence="fgsm").items():
        yield run.reaches(f"worst case: {network}", worst, ENOUGH, ask.better, sign=-1)


def attacked_again(run: Recorded) -> Iterator[Part]:
    """Leave it open: the paper crafts no image against a defended network."""
    yield Part("images crafted against a defended network", "none", Answer.OPEN)


def attacked_with_all_means(run: Recorded) -> Iterator[Part]:
    """Require that fewer images withstand every attack of chapter 7 than are read static."""
    static, worst = arms.climbed(run, "accuracy", rung="static"), arms.climbed(run)
    for network, ours in static.items():
        if network != network.before:
            yield run.compare(f"static and worst: {network}", ours, worst[network], ask.better)
