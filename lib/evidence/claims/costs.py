"""The claim on cost, by the times and the bill of chapter 10."""

from collections.abc import Iterator

import pandas as pd

from lib.evidence import bills, records
from lib.evidence.claims import ask
from lib.evidence.claims.arms import ATTACKS
from lib.evidence.claims.judging import Find, Part, Recorded, times
from lib.evidence.intervals import Interval

NAMES = {
    "parallel": "parallel layers as Keras does them",
    "gathered": "parallel layers, order restored behind each",
    "selective": "a layer made for it",
}


def computationally_light(run: Recorded) -> Iterator[Part]:
    """Require that a step, and the bill for all of them, takes less than with the whole network.

    A step is compared with one of the whole network in Keras, in CPU time. The bill (crafting, the
    search for the filters, steps) is compared with that of training everything in the same layers,
    both with the epochs that the recorded curves need and with as many for both arms: where these
    disagree it is open. Layers that restore the order of the channels are only shown, as the
    paper's method does not need that.
    """
    for row in run.rows("step_time").to_dict("records"):
        if row["way"] in NAMES:
            found = Interval(*(row[f"cpu_{name}"] for name in ("ratio", "low", "high")))
            yield _part(f"step, {row['model']}", row["way"], found)
    parts = run.rows("cost_total")
    totals = bills.totals(parts if "epochs" in parts else parts.assign(epochs="needed"))
    for (attack, way), bill in totals.groupby(["attack", "way"], sort=False):
        if way in NAMES:
            ratios = bill.set_index("epochs")["to the same layers"]
            found = Interval(ratios["needed"], ratios.min(), ratios.max())
            yield _part(f"bill, {ATTACKS[str(attack)]}", str(way), found)


def _part(what: str, way: str, found: Interval) -> Part:
    part = Part(f"{what}: {NAMES[way]}", times(found, 2), ask.below(1, found), "", "1.00")
    return part.shown() if way == "gathered" else part


def full_scale(name: str, find: Find | None = None) -> pd.DataFrame | None:
    """Return a full-scale record; times come from what ``make bench`` recorded."""
    find = find or records.full_scale
    timed, curves = find("bench"), find("fine_tuning_curves")
    if name == "step_time" and timed is not None:
        return timed[timed["section"] == "step"].rename(columns={"case": "model"})
    if name == "cost_total" and timed is not None and curves is not None:
        return bills.full_scale(curves, timed)
    return find(name)
