"""Figures of chapter 8, on controls."""

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from lib.figures import style

_BLUE, _ORANGE, _GREEN, _VERMILION, *_, _GREY = sns.color_palette("colorblind", 8)
_LOOKS = {
    "static": (_GREY, "o"),
    "fresh PGD": (_BLUE, "o"),
    "worst case": (_ORANGE, "s"),
    "small radius": (_VERMILION, "D"),
}
_PANELS = {"static": ["static"], "adaptive": ["fresh PGD", "worst case", "small radius"]}


def contrasts(judged: pd.DataFrame, margin: float) -> Figure:
    """Draw by how much one arm is ahead of another, with intervals.

    Parameters
    ----------
    judged
        ``run``, ``test``, ``comparison``, ``difference``, ``low`` and ``high``, as shares of 1.
        Runs lie below each other, comparisons in the order in which they come.
    margin
        Differences within it are none that would matter: a grey band.
    """
    runs, places = list(judged["run"].unique()), list(judged["comparison"].unique())[::-1]
    size = (style.WIDTH, 0.6 + (0.6 + 0.32 * len(places)) * len(runs))
    figure, grid = plt.subplots(
        len(runs), 2, figsize=size, sharey=True, sharex="col", squeeze=False
    )
    for panels, run in zip(grid, runs, strict=True):
        for axes, (title, tests) in zip(panels, _PANELS.items(), strict=True):
            axes.axvspan(-100 * margin, 100 * margin, color="0.92", linewidth=0)
            axes.axvline(0, color="0.4", linewidth=1)
            for number, test in enumerate(tests):
                part = judged[(judged["run"] == run) & (judged["test"] == test)]
                color, marker = _LOOKS[test]
                bounds = (part["difference"] - part["low"], part["high"] - part["difference"])
                axes.errorbar(
                    100 * part["difference"],
                    part["comparison"].map(places.index) + 0.24 * ((len(tests) - 1) / 2 - number),
                    xerr=[100 * side.clip(lower=0) for side in bounds],
                    fmt=marker,
                    color=color,
                    markersize=5,
                    capsize=2,
                    label=test,
                )
            axes.set_title(f"{title}, {run}")
            axes.grid(axis="y", color="0.93")
            axes.set_axisbelow(True)
        panels[0].set_yticks(range(len(places)), places)
    for axes in grid[-1]:
        axes.set_xlabel("ahead by (points)")
    grid[0, 0].set_xscale("symlog", linthresh=1)  # some arms are far from all others
    grid[0, 0].set(xlim=(-200, 200), xticks=[-100, -1, 0, 1, 100])
    grid[0, 0].xaxis.set_major_formatter("{x:g}")
    style.legend(figure, 4)
    return figure
