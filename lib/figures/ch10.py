"""Figures of chapter 10: what a training step and a whole defence cost, each way."""

from collections.abc import Mapping

import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lib.figures import style

NAMES: Mapping[str, str] = {
    "whole": "whole network",
    "parallel": "parallel layers",
    "gathered": "parallel layers, as drawn",
    "mask": "gradient mask",
    "selective": "selective layer",
    "selective, all filters": "selective layer, all filters",
}
"""What a page calls each way to train."""

COLORS = dict(zip(NAMES, sns.color_palette("colorblind"), strict=False))


def _stacked(axes: Axes, parts: pd.DataFrame, value: str) -> None:
    """Draw a bar for each ``way``, in which each ``part`` has its length."""
    wide = parts.pivot_table(value, "way", "part", sort=False)
    wide = wide.rename(index=NAMES)[::-1]
    wide.plot.barh(stacked=True, ax=axes, width=0.65, legend=False)
    axes.set_ylabel("")


def counted(counts: pd.DataFrame) -> Figure:
    """Draw operations and memory by what they are for.

    Parameters
    ----------
    counts
        ``kind`` (the label of a panel), ``way``, ``part``, ``value``.
    """
    figure, panels = style.panels(counts, "kind", height=3.1)
    for axes, kind, _, parts in panels:
        _stacked(axes, parts, "value")
        axes.set_xlabel(kind)
        axes.legend(loc="lower center", bbox_to_anchor=(0.35, 1), ncols=3, columnspacing=1)
    return figure


def step_time(times: pd.DataFrame, operations: "pd.Series[float]") -> Figure:
    """Draw the time of a training step of each way, with quartiles, and what counting promises.

    Parameters
    ----------
    times
        ``way``, ``run``, ``cpu_ratio``, ``cpu_low``, ``cpu_high``; a mark a run.
    operations
        By way, relative to the whole network's.
    """
    figure, axes = plt.subplots(figsize=(style.WIDTH, 3.6))
    axes.axvline(1, color="0.7", lw=1, zorder=0)
    places = {way: place for place, way in enumerate(reversed([*NAMES]))}
    for (run, some), mark, color in zip(
        times.groupby("run"), "Do", sns.color_palette("colorblind"), strict=False
    ):
        spread = [some["cpu_ratio"] - some["cpu_low"], some["cpu_high"] - some["cpu_ratio"]]
        height = some["way"].map(places) + (0.12 if mark == "D" else -0.12)
        axes.errorbar(some["cpu_ratio"], height, xerr=spread, fmt=mark, color=color, label=str(run))
    axes.plot(operations, operations.index.map(places), "x", color="0.2", label="operations")
    axes.set_yticks(list(places.values()), [NAMES[way] for way in places])
    axes.set(xlabel="CPU time of a step, whole network = 1", xlim=(0, None))
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def epochs(curves: pd.DataFrame, step: "pd.Series[float]", steps_an_epoch: int) -> Figure:
    """Draw learning curves, against epochs and against the CPU time that they take in each way.

    Parameters
    ----------
    curves
        ``fraction`` (1 for the whole network), ``epoch`` and ``value``; means over seeds are drawn.
    step
        Seconds of a step by way.
    steps_an_epoch
        How many steps an epoch has.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(style.WIDTH, 3.6), sharey=True)
    by_part = {
        bool(whole): some.groupby("epoch")["value"].mean()
        for whole, some in curves.groupby(curves["fraction"] == 1)
    }
    left.plot(by_part[True], color=COLORS["whole"], marker="o", label=NAMES["whole"])
    split = by_part.get(False, by_part[True])  # none if all filters train
    left.plot(split, color="0.3", marker="s", ls="--", label="split network")
    for way, seconds in step.items():
        curve = by_part[True] if way in ("whole", "selective, all filters") else split
        passed = curve.index * steps_an_epoch * seconds
        right.plot(passed, curve, color=COLORS[str(way)], marker="o", ms=4, label=NAMES[str(way)])
    left.set(xlabel="epochs", ylabel="static validation accuracy (%)")
    left.xaxis.get_major_locator().set_params(integer=True)
    left.yaxis.set_major_formatter("{x:.0%}")
    right.set_xlabel("seconds of CPU time")
    style.legend(figure, 2)
    return figure


def bills(parts: pd.DataFrame) -> Figure:
    """Draw the whole bill of each way: a row of panels a run, a column an attack.

    Parameters
    ----------
    parts
        ``run``, ``attack``, ``way``, ``part``, ``seconds``.
    """
    figure, panels = style.panels(parts, "run", "attack", height=2.6, rest=0.6, sharey=True)
    for axes, run, attack, rows in panels:
        _stacked(axes, rows, "seconds")
        axes.set(title=f"{attack.upper()}, {run}", xlabel="seconds of CPU time")
        axes.xaxis.set_major_locator(MaxNLocator(4))
    style.legend(figure, 2)
    return figure
