"""The claim on cost, and the full scale's bill from what ``make bench`` timed (chapter 10)."""

import json
import math
from collections.abc import Iterator

import pandas as pd

from lib.evidence import paper, records, runs
from lib.evidence.claims import ask
from lib.evidence.claims.arms import ATTACKS, TENTH
from lib.evidence.claims.judging import Part, Recorded, times
from lib.evidence.intervals import Interval

BATCH = 128
"""Images of a training step."""

GRADIENTS = {"fgsm": 1, "pgd": int(str(runs.USUAL["steps"]))}
"""To craft an image."""

WHOLE = {"parallel": "whole", "gathered": "whole", "selective": "selective, all filters"}
"""The step that trains everything in the same kernel, for each way to train a part."""

NAMES = {
    "parallel": "parallel layers as Keras does them",
    "gathered": "parallel layers, order restored behind each",
    "selective": "a layer made for it",
}


def computationally_light(run: Recorded) -> Iterator[Part]:
    """Require that a step, and the bill for all of them, takes less than with the whole network.

    A step is compared with one of the whole network in Keras, in CPU time where that is on record.
    The bill (crafting, the search for the filters, steps) is compared with that of training
    everything in the same kernel, both with the epochs that the recorded curves need and with as
    many for both arms: where these disagree it is open. Layers that restore the order of the
    channels are only shown, as the paper's method does not need that.
    """
    steps = named(run.rows("step_time"))
    time = "cpu_" if "cpu_ratio" in steps else ""
    for row in steps[steps["way"].isin([*NAMES])].to_dict("records"):
        found = Interval(*(row[time + name] for name in ("ratio", "low", "high")))
        yield _part(f"step, {row['model']}", row["way"], found)
    rows = run.rows("cost_total")
    rows = rows if "epochs" in rows else rows.assign(epochs="as needed")
    bills = named(rows, like=steps).pivot_table(
        "seconds", ["attack", "epochs"], "way", aggfunc="sum"
    )
    for way in bills.columns.intersection([*WHOLE]):
        if WHOLE[way] in bills:
            ratios = (bills[way] / bills[WHOLE[way]]).dropna()
            for attack, of_attack in ratios.groupby("attack"):
                needed = float(of_attack.xs("as needed", level="epochs").item())
                bill = Interval(needed, float(of_attack.min()), float(of_attack.max()))
                yield _part(f"bill, {ATTACKS[str(attack)]}", way, bill)


def named(rows: pd.DataFrame, like: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return times with the names of today.

    In a record of steps without ``gathered`` layers, the parallel ones restored the order.
    ``like`` gives the record of steps to which a bill belongs.
    """
    known = "gathered" in set(rows["way"]) if like is None else "parallel" in set(like["way"])
    return rows if known else rows.replace({"way": {"parallel": "gathered"}})


def _part(what: str, way: str, found: Interval) -> Part:
    part = Part(f"{what}: {NAMES[way]}", times(found, 2), ask.below(1, found), "", "1.00")
    return part.shown() if way == "gathered" else part


def from_bench(name: str) -> pd.DataFrame | None:
    """Return the rows of ``step_time`` or ``cost_total`` at full scale; None of other records."""
    path = records.FULL_SCALE / "bench.json"
    if name not in ("step_time", "cost_total") or not path.is_file():
        return None
    measured = json.loads(path.read_text(encoding="utf-8"))
    rows = pd.DataFrame(measured["rows"])
    steps = rows[rows["section"] == "step"].rename(columns={"case": "model"})
    if name == "step_time":
        return steps
    crafting = rows[(rows["section"] == "crafting") & (rows["case"] == "PGD")].set_index("way")
    attack_steps = measured["scale"]["attack_steps"]
    gradient = 1 / (crafting.loc["ours", "images_per_second"] * attack_steps)
    return _added_up(steps[steps["model"] == "base"], float(gradient))


def _epochs_needed(attack: str) -> dict[bool, int]:
    """Return after how many epochs the whole and the split network get to what both reach."""
    curves = Recorded(records.full_scale).rows(
        "learning_curves", attack=attack, model="base", training="mixed", test="static"
    )
    means = curves[curves["fraction"].isin([1.0, TENTH])].pivot_table("value", "epoch", "fraction")
    return {share == 1: int((means[share] >= means.max().min()).argmax()) for share in means}


def _added_up(steps: pd.DataFrame, gradient: float) -> pd.DataFrame:
    """Return the seconds of a defence, by attack, way to train and number of epochs."""
    published = paper.quoted()
    images = int(published["adversarial training clean images"])
    searched = 10 * int(published["filter identification adversarial images per class"])
    bills = []
    for attack, gradients in GRADIENTS.items():
        needed = _epochs_needed(attack)
        for step in steps.to_dict("records"):
            whole = step["way"] in WHOLE.values()
            crafting = (images + (0 if whole else searched)) * gradients * gradient
            for kind, epochs in (("as needed", needed[whole]), ("equal", needed[True])):
                seconds = crafting + epochs * math.ceil(2 * images / BATCH) * step["seconds"]
                bills.append((attack, step["way"], kind, seconds))
    return pd.DataFrame(bills, columns=["attack", "way", "epochs", "seconds"])
