"""Figures of chapter 11: one data set beside another."""

from textwrap import fill

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from lib.figures import style


def radii(frame: pd.DataFrame, needed: float) -> Figure:
    """Draw what hardened networks keep over the radius, a line for each data set and run.

    Parameters
    ----------
    frame
        ``run``, ``dataset``, ``epsilon`` and ``value``, a share.
    needed
        The share that the rule asks for: a dashed line.
    """
    figure, axes = plt.subplots()
    axes.axhline(needed, color="0.4", linestyle="--", linewidth=1)
    look = {"hue": "dataset", "style": "run", "markers": True}
    sns.lineplot(frame, x="epsilon", y="value", errorbar=None, ax=axes, **look)
    axes.set(xlabel="epsilon", ylabel="validation images kept (%)")
    axes.xaxis.set_major_locator(MaxNLocator(4))
    style.in_percent(axes)
    style.legend(figure, 2)
    return figure


def carries_over(frame: pd.DataFrame) -> Figure:
    """Draw every question on every data set: a mark for each network, chance as a grey line.

    Parameters
    ----------
    frame
        ``run``, ``question``, ``dataset``, ``what``, ``model``, ``value`` (a share), and
        ``chance``, NaN where there is none. Rows of panels are runs and questions, columns data
        sets.
    """
    rows_of_panels = ["run", "question"]
    figure, panels = style.panels(
        frame, rows_of_panels, "dataset", height=1.95, rest=0.6, sharex=True, sharey="row"
    )
    for axes, (run, question), dataset, rows in panels:
        places = list(frame.loc[frame["question"] == question, "what"].unique())[::-1]
        for model, part in rows.groupby("model", sort=False):
            name = str(model)
            look = {"marker": style.MODEL_MARKERS[name], "color": style.MODEL_COLORS[name]}
            height = part["what"].map(places.index)
            axes.plot(part["value"], height, linestyle="", alpha=0.6, label=name, **look)
            known = part["chance"].notna()
            bar = {"color": "0.4", "markersize": 14, "label": "by chance"}
            axes.plot(part["chance"][known], height[known], "|", **bar)
        axes.set_title(f"{fill(question, 24)}\n{dataset}, {run}")
        axes.set_yticks(range(len(places)), places)
        axes.set(xlim=(-0.04, 1.04), ylim=(-0.6, len(places) - 0.4))
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=""))
        axes.grid(axis="y", color="0.9")
        axes.set_axisbelow(True)
    for axes in figure.axes[-2:]:
        axes.set_xlabel("share (%)")
    style.legend(figure, 4)
    return figure
