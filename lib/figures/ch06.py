"""Figures of chapter 6, on how many filters train."""

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from lib.figures import style

_TITLES = {"adversarial": "adversarial only", "mixed": "mixed"}


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
    ordered = ours.sort_values(["run", "training"], kind="stable")
    figure, panels = style.panels(
        ordered, "panel", "attack", height=2.3, rest=0.5, sharex=True, sharey="row"
    )
    look = {"x": "place", "y": "error", "hue": "test", "hue_order": ["clean", "static"]}
    line = {"style": "test", "style_order": ["clean", "static"], "markers": ["o", "s"]}
    thin = {"linewidth": 1, "markersize": 4, "markeredgewidth": 0}
    for axes, panel, attack, rows in panels:
        sns.lineplot(rows, units="seed", estimator=None, ax=axes, **look, **line, **thin)
        marked = printed[(printed["panel"] == panel) & (printed["attack"] == attack)]
        sns.scatterplot(marked, marker="D", legend=False, ax=axes, **look)
        axes.set(title=f"{attack}, {panel}", xlabel="filters that train (%)", ylabel="errors (%)")
        axes.set_xticks(range(len(places)), [f"{100 * share:g}" for share in places])
        axes.label_outer()
    for axes in figure.axes:  # after all is drawn, as the panels of a row share their scale
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:g}"))
    style.legend(figure, 2)
    return figure
