"""Figures of chapter 6, on how many filters train."""

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from lib.figures import style

_TITLES = {"adversarial": "adversarial only", "mixed": "mixed"}
_TESTS = ["clean", "static"]


def errors(values: pd.DataFrame, published: pd.DataFrame) -> Figure:
    """Draw the errors over the share of filters that train, a line for each network.

    Parameters
    ----------
    values
        ``attack``, ``training``, ``test``, ``fraction``, ``seed``, ``run`` and ``value``, the
        accuracy. Runs lie below each other.
    published
        The paper's, without ``seed`` and ``run``: marks in the panels of the full-scale run.
    """
    places = sorted(values["fraction"].unique())
    ours, printed = (
        frame.assign(
            error=100 * (1 - frame["value"]),
            place=frame["fraction"].map({share: place for place, share in enumerate(places)}),
            panel=frame["training"].map(_TITLES) + ", " + frame["run"],
            attack=frame["attack"].str.upper(),
        )
        for frame in (values, published.assign(run="full scale"))
    )
    with plt.rc_context({"figure.constrained_layout.use": False}):  # seaborn has its own
        grid = sns.relplot(
            ours.sort_values(["run", "training"]),
            kind="line",
            x="place",
            y="error",
            hue="test",
            style="test",
            hue_order=_TESTS,
            style_order=_TESTS,
            markers=["o", "s"],
            units="seed",
            estimator=None,
            col="attack",
            row="panel",
            height=2.3,
            aspect=style.WIDTH / 2 / 2.3,
            linewidth=1,
            markersize=4,
            markeredgewidth=0,
            facet_kws={"sharey": "row"},
        )
    for (panel, attack), axes in grid.axes_dict.items():
        sns.scatterplot(
            printed[(printed["panel"] == panel) & (printed["attack"] == attack)],
            x="place",
            y="error",
            hue="test",
            hue_order=_TESTS,
            marker="D",
            legend=False,
            ax=axes,
        )
    grid.set(yscale="log", xticks=range(len(places)))
    grid.set_xticklabels([f"{100 * share:g}" for share in places])
    grid.set_axis_labels("filters that train (%)", "errors (%)")
    grid.set_titles("{col_name}, {row_name}")
    for axes in grid.axes.flat:
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:g}"))
    sns.move_legend(grid, "lower center", ncols=2, title="", bbox_to_anchor=(0.5, -0.04))
    figure: Figure = grid.figure
    return figure
