"""Figures of chapter 8, on controls."""

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from lib.figures import style

_BLUE, _ORANGE, _GREEN, _VERMILION, *_, _GREY = sns.color_palette("colorblind", 8)
_LOOKS = {
    "static": (_GREY, "o", 0),
    "fresh PGD": (_BLUE, "o", 0.24),
    "worst case": (_ORANGE, "s", 0),
    "small radius": (_VERMILION, "D", -0.24),
}
"""Of each test: its colour, its mark, and how far above its place it stands."""


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
    places = list(judged["comparison"].unique())[::-1]
    height = 0.6 + 0.32 * len(places)
    by_panel = judged.assign(panel=judged["test"].where(judged["test"] == "static", "adaptive"))
    figure, panels = style.panels(
        by_panel, "run", "panel", height=height, rest=0.6, sharex="col", sharey=True
    )
    for axes, run, panel, rows in panels:
        axes.axvspan(-100 * margin, 100 * margin, color="0.92", linewidth=0)
        axes.axvline(0, color="0.4", linewidth=1)
        for test, part in rows.groupby("test", sort=False):
            color, marker, lift = _LOOKS[str(test)]
            bounds = (part["difference"] - part["low"], part["high"] - part["difference"])
            axes.errorbar(
                100 * part["difference"],
                part["comparison"].map(places.index) + lift,
                xerr=[100 * side.clip(lower=0) for side in bounds],
                fmt=marker,
                color=color,
                markersize=5,
                capsize=2,
                label=test,
            )
        axes.set(title=f"{panel}, {run}", xlabel="ahead by (points)")
        axes.set_yticks(range(len(places)), places)
        axes.grid(axis="y", color="0.93")
        axes.set_axisbelow(True)
        axes.label_outer()
        if panel == "static":
            axes.set_xscale("symlog", linthresh=1)  # some arms are far from all others
            axes.set(xlim=(-200, 200), xticks=[-100, -1, 0, 1, 100])
            axes.xaxis.set_major_formatter("{x:g}")
    style.legend(figure, 4)
    return figure
