"""The figures of chapter 5: the split network, its training, and what the split costs."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from lib.figures import style

_FACES = {"trainable": "#f7d9a8", "frozen": "#cfdff0", "plain": "white"}
_TRAININGS = {"adversarial": "adversarial only", "mixed": "mixed"}
_MARKERS = {"adversarial": "o", "mixed": "s"}


def diagram(rows: Sequence[Sequence[tuple[str, str]]]) -> Figure:
    """Draw a network as boxes from top to bottom, with arrows from each row to the next.

    Parameters
    ----------
    rows
        The boxes of each row, one or two: their text, and ``trainable``, ``frozen`` (dashed) or
        ``plain``.
    """
    figure, axes = plt.subplots(figsize=(style.WIDTH, 0.78 * len(rows)))
    above: list[float] = []
    for height, row in zip(range(0, -len(rows), -1), rows, strict=True):
        places = [0.5] if len(row) == 1 else [0.245, 0.755]
        for place, (text, kind) in zip(places, row, strict=True):
            width = 0.96 if len(row) == 1 else 0.48
            corner, line = (place - width / 2, height - 0.29), "--" if kind == "frozen" else "-"
            axes.add_patch(Rectangle(corner, width, 0.58, fc=_FACES[kind], ec="0.4", ls=line))
            axes.text(place, height, text, ha="center", va="center", fontsize=12)
        for start in above:
            for end in places if len(above) == 1 else [start]:
                column = end if len(row) > 1 else start  # arrows go straight down
                arrow = {"arrowstyle": "-|>", "color": "0.3", "shrinkA": 0, "shrinkB": 0}
                axes.annotate(
                    "", (column, height + 0.29), (column, height + 0.71), arrowprops=arrow
                )
        above = places
    axes.set(xlim=(0, 1), ylim=(0.35 - len(rows), 0.35))
    axes.set_axis_off()
    return figure


def _box(layers: Sequence[Any]) -> tuple[str, str]:
    count = sum(layer.count_params() for layer in layers)
    names = ", ".join(layer.name.replace("_", " ") for layer in layers)
    if not count:
        shape = " x ".join(map(str, layers[-1].output.shape[1:]))
        return f"{names}\n{shape}", "plain"
    kind = "trainable" if layers[0].trainable else "frozen"
    return f"{names}\n{count:,} parameters, {kind}", kind


def boxes(network: Any) -> list[list[tuple[str, str]]]:
    """Return the boxes of a split network for :func:`diagram`.

    Layers with weights that read the same maps stand side by side; those without weights that
    follow each other share a box.

    Parameters
    ----------
    network
        A Keras model.
    """

    def read(layer: Any) -> str:
        return layer.input.name if layer.count_params() else ""

    rows = [(read_by, [*layers]) for read_by, layers in groupby(network.layers, read)]
    return [
        [_box([layer]) for layer in layers] if read_by else [_box(layers)]
        for read_by, layers in rows
    ]


def curves(frame: pd.DataFrame) -> Figure:
    """Draw accuracy over the epochs: a row for each run and training, a column for each attack.

    Parameters
    ----------
    frame
        ``run``, ``attack``, ``training`` (adversarial or mixed), ``fraction`` (1 is the whole
        network), ``test`` (clean or static), ``epoch`` and ``value``.
    """
    named = frame.assign(
        network=(frame["fraction"] == 1).map({True: "whole", False: "split"}),
        images=frame["test"].map({"clean": "clean", "static": "adversarial, static"}),
    )
    figure, panels = style.panels(
        named, ["run", "training"], "attack", height=2.4, rest=0.6, sharey=True
    )
    for axes, (run, training), attack, rows in panels:
        sns.lineplot(
            rows,
            x="epoch",
            y="value",
            hue="images",
            style="network",
            style_order=["whole", "split"],
            markers={"whole": "o", "split": "s"},
            ax=axes,
        )
        style.in_percent(axes)
        axes.set(ylabel="accuracy (%)")
        axes.set_title(f"{attack.upper()}, {_TRAININGS[training]}, {run}")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    style.legend(figure, 2)
    return figure


def tradeoff(frame: pd.DataFrame) -> Figure:
    """Draw clean against static accuracy, an arrow from each whole network to its split one.

    Parameters
    ----------
    frame
        ``run``, ``attack``, ``model``, ``training`` (adversarial or mixed), ``network`` (whole or
        split), ``test`` (clean or static) and ``value``.
    """
    figure, panels = style.panels(
        frame, "run", "attack", height=2.7, rest=0.5, sharex="row", sharey="row"
    )
    for axes, run, attack, rows in panels:
        points = rows.pivot_table("value", ["model", "training", "network"], "test")
        for (model, training), arrow in points.groupby(["model", "training"]):
            ends = arrow.droplevel(["model", "training"])[["clean", "static"]]
            start, end = (tuple(ends.loc[network]) for network in ("whole", "split"))
            color, marker = style.MODEL_COLORS[str(model)], _MARKERS[str(training)]
            axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": color})
            axes.plot(*start, marker, color=color, mfc="white")
            axes.plot(*end, marker, color=color)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.4g}"))
        axes.set_title(f"{run.lower()}, {attack.upper()}")
        if axes.get_subplotspec().is_first_col():
            axes.set_ylabel("static accuracy (%)")
        if axes.get_subplotspec().is_last_row():
            axes.set_xlabel("clean accuracy (%)")
    handles = [
        Line2D([], [], color=color, label=name)
        for name, color in style.MODEL_COLORS.items()
        if name in set(frame["model"])
    ]
    handles += [
        Line2D([], [], color="0.3", marker=marker, ls="", mfc=face, label=label)
        for marker, face, label in (
            ("o", "0.3", "adversarial only"),
            ("s", "0.3", "mixed"),
            ("D", "white", "whole"),
            ("D", "0.3", "split"),
        )
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure
