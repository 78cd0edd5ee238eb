"""The figures of chapter 4: which filters an attack disturbs, where, and how often the same."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from lib.figures import style

_BLUE, _ORANGE, *_ = sns.color_palette("colorblind")


def _bars(axes: Axes, heights: "pd.Series[float]", marked: "pd.Series[bool]") -> None:
    axes.bar(range(len(heights)), heights, color=np.where(marked, "C1", "C0"))
    axes.set(xlim=(-1, len(heights)))


def one_pair(frame: pd.DataFrame) -> Figure:
    """Draw the change of each filter's output, a panel a convolution; the top is orange.

    Parameters
    ----------
    frame
        ``layer``, ``filter``, ``change`` and ``top`` (true or false).
    """
    figure, panels = style.panels(frame, "layer", height=1.8)
    for axes, number, _, rows in panels:
        _bars(axes, rows["change"], rows["top"])
        axes.set(title=f"convolution {number}", ylabel="mean |change|")
    axes.set_xlabel("filter")
    return figure


def in_the_top(frame: pd.DataFrame) -> Figure:
    """Draw how often each filter of a layer is in the top, a panel a run; dashed is chance.

    Parameters
    ----------
    frame
        ``run``, ``filter``, ``value`` (share of pairs) and ``dominant`` (true or false), for one
        layer and one class.
    """
    figure, panels = style.panels(frame, "run", height=2.4, rest=0.4)
    for axes, run, _, rows in panels:
        _bars(axes, rows["value"], rows["dominant"])
        axes.axhline(rows["dominant"].mean(), color="black", ls="--", lw=1)
        style.in_percent(axes)
        axes.set(title=run, ylabel="pairs (%)")
    axes.set_xlabel("filter of the first convolution")
    return figure


def classes(frame: pd.DataFrame, names: Sequence[str] = style.DIGITS) -> Figure:
    """Draw how often each filter is in the top, class by class; a panel for each layer and run.

    Parameters
    ----------
    frame
        ``run``, ``layer``, ``class``, ``filter``, ``value`` (share of pairs), ``own`` (true if
        the class alone would choose the filter: a dot) and ``dominant`` (true if all classes
        together do: a triangle). Without rows the figure says that there is nothing.
    names
        What the classes are called.
    """
    if frame.empty:
        figure, axes = plt.subplots(figsize=(style.WIDTH, 0.6))
        axes.text(0.5, 0.5, "not measured in this run, nor recorded", ha="center")
        axes.set_axis_off()
        return figure
    figure, panels = style.panels(frame, ["layer", "run"], height=2.3, rest=0.6)
    for axes, (layer, run), _, rows in panels:
        matrix = rows.pivot_table("value", "class", "filter")
        drawn = axes.imshow(matrix, aspect="auto", cmap="Blues", vmin=0, vmax=1)
        own, joint = rows[rows["own"]], rows.loc[rows["dominant"], "filter"].unique()
        look = {"color": _ORANGE, "mec": "black", "mew": 0.4}
        axes.plot(own["filter"], own["class"], "o", ms=3.5, **look)
        axes.plot(joint, [-1] * len(joint), "v", ms=6, color=_ORANGE, clip_on=False)
        last = len(matrix) - 1
        axes.set(ylabel="class", ylim=(last + 0.5, -0.5))
        style.name_classes(axes.yaxis, names[: last + 1], every=3)
        axes.set_title(f"convolution {layer}, {run}", pad=14)
    axes.set_xlabel("filter")
    bar = figure.colorbar(drawn, ax=figure.axes, location="bottom", shrink=0.6, aspect=30)
    bar.set_label("pairs of the class with the filter in the top (%)")
    bar.ax.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=""))
    return figure


def where(pictures: Mapping[str, NDArray[np.floating]]) -> Figure:
    """Draw images in two rows of four, each under its title.

    Parameters
    ----------
    pictures
        Images with values from 0 to 1 by their titles.
    """
    return style.image_grid([*pictures.values()], 4, [*pictures])


def overlap(frame: pd.DataFrame) -> Figure:
    """Draw the Jaccard index of each comparison beside what chance gives, a panel a layer.

    Parameters
    ----------
    frame
        ``run`` (this run: dots; full scale: diamonds), ``comparison``, ``layer``, ``jaccard``,
        ``chance_low`` and ``chance_high``. Comparisons keep their order in this run.
    """
    own = frame[frame["run"] == "this run"]
    names = list(dict.fromkeys(own["comparison"]))
    figure, panels = style.panels(own, across="layer", height=3.6, sharey=True)
    for axes, _, number, rows in panels:
        low, high = (rows.set_index("comparison")[f"chance_{end}"] for end in ("low", "high"))
        axes.barh(names, (high - low)[names], left=low[names], color="0.75", height=0.5)
        for run, marker, color, face in (
            ("this run", "o", _BLUE, _BLUE),
            ("full scale", "D", _ORANGE, "none"),
        ):
            here = frame[(frame["run"] == run) & (frame["layer"] == number)]
            found = here.groupby("comparison")["jaccard"].mean().reindex(names)
            if not here.empty:
                axes.plot(found, names, marker, color=color, mfc=face, label=run)
        axes.set(title=f"convolution {number}", xlabel="Jaccard index", xlim=(-0.05, 1.05))
    figure.axes[0].invert_yaxis()
    style.legend(figure, 2)
    return figure


def size(frame: pd.DataFrame) -> Figure:
    """Draw the change of filters under attack against what needs no attack, a panel each.

    Parameters
    ----------
    frame
        ``dominant`` (true or false), ``change``, and a column for each panel.
    """
    names = [name for name in frame if name not in ("filter", "dominant", "change")]
    figure, panels = plt.subplots(
        1, len(names), figsize=(style.WIDTH, 2.8), sharey=True, squeeze=False
    )
    for axes, name in zip(panels.flat, names, strict=True):
        for marked, marker in ((False, "o"), (True, "^")):
            rows = frame[frame["dominant"] == marked]
            axes.plot(rows[name], rows["change"], marker, ms=5)
        axes.set(xlabel=str(name).replace(" to ", " to\n"))
    panels[0, 0].set_ylabel("mean |change| under attack")
    return figure
