"""Wrong records for chapters, and what must then fail."""

import pandas as pd

from . import Change, Plant, where


def slower(section: str, way: str, factor: float, *cases: str) -> Change:
    """Return a change that multiplies what a way takes of the other's time."""

    def change(times: pd.DataFrame) -> pd.DataFrame:
        hit = (times["section"] == section) & (times["way"] == way)
        hit &= times["case"].isin(cases or times["case"].unique())
        ratios = ["ratio", "cpu_ratio", "cpu_low", "cpu_high"]
        times.loc[hit, ratios] *= factor
        times.loc[hit, ["cpu_seconds"]] *= factor
        return times

    return change


def more_seeds(curves: pd.DataFrame) -> pd.DataFrame:
    """Return curves of three seeds in which the split network needs longer, in each of them."""
    late = curves.copy()
    late.loc[(late["fraction"] < 1) & (late["epoch"] < 3), "value"] = 0
    return pd.concat([late.assign(seed=seed) for seed in range(3)])


PLANTED: list[Plant] = [
    ("10_cost", "bench", slower("step", "parallel", 2.3, "base"), "Parallel layers save time"),
    ("10_cost", "bench", slower("step", "parallel", 0.5, "dense"), "It is a little"),
    ("10_cost", "bench", slower("step", "parallel", 0.5, "shallow"), "In the shallow network"),
    ("10_cost", "bench", slower("step", "gathered", 0.5), "As drawn"),
    ("10_cost", "bench", slower("step", "mask", 0.5), "A mask saves nothing"),
    ("10_cost", "bench", slower("step", "selective", 2), "A layer made for it"),
    ("10_cost", "bench", slower("step, same kernel", "selective", 2), "Part of it is selecting"),
    ("10_cost", "bench", slower("crafting", "ours", 0.05, "PGD"), "PGD costs more"),
    ("10_cost", "bench", slower("survivors", "survivors", 9), "survivors-undefended"),
    ("10_cost", "fine_tuning_curves", where("fraction == 1 and epoch < 3", value=0), "fewer"),
    ("10_cost", "fine_tuning_curves", more_seeds, "No epochs are decided"),
]
