"""The look that all figures share, and the drawings that more than one chapter needs."""

from collections.abc import Sequence
from itertools import cycle
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from IPython import get_ipython
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter
from matplotlib_inline.backend_inline import set_matplotlib_formats
from numpy.typing import NDArray

from lib.compute import registered

WIDTH = 5.3
"""Inches: a phone of 390 pixels draws 10 points with 9 pixels of height."""

DIGITS = tuple("0123456789")
"""What classes are called where a data set says nothing else."""

_PALETTE = sns.color_palette("colorblind")


MODEL_COLORS = dict(zip(registered.names("networks"), cycle(_PALETTE), strict=False))
"""One colour for each network, in every figure."""

MODEL_MARKERS = dict(zip(registered.names("networks"), cycle("os^DvPX"), strict=False))
"""The marks that go with them, for those who see no colours."""

ATTACK_COLORS = {"fgsm": _PALETTE[4], "pgd": _PALETTE[3]}
"""One colour for each attack of the paper, in every figure."""

QUANTITIES = {
    "accuracy": "accuracy (%)",
    "loss": "cross-entropy (nats)",
    "change": "largest change (pixel units)",
}
"""What an axis says of each quantity."""

_SIZES = (
    "font.size",
    "axes.labelsize",
    "axes.titlesize",
    "xtick.labelsize",
    "ytick.labelsize",
    "legend.fontsize",
    "legend.title_fontsize",
)
_MOST_SHEETS = 6  # more of them hide each other


def use_style() -> None:
    """Make the figures that follow look alike: SVG, colour-blind-safe, legible on a phone."""
    matplotlib.rcdefaults()  # a user's matplotlibrc may turn images upside down
    sns.set_theme(
        context="paper",
        style="ticks",
        palette="colorblind",
        rc={
            "figure.figsize": (WIDTH, 3.2),
            "figure.constrained_layout.use": True,
            **dict.fromkeys(_SIZES, 10),  # points: no text is smaller
            "legend.frameon": False,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "image.interpolation": "none",  # pixels stay squares, at any size
            "svg.hashsalt": "figures",  # equal figures give equal files
            "text.parse_math": False,  # a dollar in a name is a dollar
        },
    )
    if get_ipython() is not None:
        set_matplotlib_formats("svg", metadata={"Date": None})  # type: ignore[no-untyped-call]


def in_percent(axes: Axes) -> None:
    """Label the y axis, on which shares from 0 to 1 are drawn, in percent."""
    axes.set_ylim(-0.03, 1.03)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=""))


def _parts(frame: pd.DataFrame, names: str | list[str]) -> dict[Any, pd.DataFrame]:
    return dict([*frame.groupby(names, sort=False)]) if names else {"": frame}


def panels(
    frame: pd.DataFrame,
    down: str | list[str] = "",
    across: str = "",
    *,
    height: float,
    rest: float = 0.0,
    **shared: Any,
) -> tuple[Figure, list[tuple[Any, Any, Any, pd.DataFrame]]]:
    """Return a figure with a panel for each part of a frame, in the order in which they come.

    Parameters
    ----------
    frame
        What is drawn, one row a value.
    down, across
        The columns that say what lies below each other, and what beside each other.
    height, rest
        Inches of a row of panels, and of what stands around all of them.
    **shared
        ``sharex`` and ``sharey`` of :func:`matplotlib.pyplot.subplots`.

    Returns
    -------
    figure, panels
        Of each panel its axes, its entries in ``down`` and in ``across``, and its rows.
    """
    lines, columns = _parts(frame, down), list(_parts(frame, across))
    size = (WIDTH, rest + height * len(lines))
    figure, grid = plt.subplots(len(lines), len(columns), figsize=size, squeeze=False, **shared)
    return figure, [
        (axes, line, column, _parts(part, across).get(column, part[:0]))
        for row, (line, part) in zip(grid, lines.items(), strict=True)
        for axes, column in zip(row, columns, strict=True)
    ]


def legend(figure: Figure, columns: int, *, above: bool = False) -> None:
    """Put one legend below or above all panels, with each name once, in the place of theirs."""
    named: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
        if found := axes.get_legend():
            found.remove()
    place: Any = "outside upper center" if above else "outside lower center"
    figure.legend(named.values(), named.keys(), loc=place, ncols=columns)


def draw_image(
    axes: Axes, image: NDArray[np.floating], title: str = "", limit: float | None = None
) -> None:
    """Draw one image without axes.

    Parameters
    ----------
    axes
        Where to draw.
    image
        Shape ``(height, width)`` or ``(height, width, 1)``.
    title
        Stands above.
    limit
        If None, the image holds pixels from 0 (black) to 1 (white). Else it holds signed
        values, drawn from ``-limit`` (red) over 0 (white) to ``limit`` (blue).
    """
    low, high, colors = (0.0, 1.0, "gray") if limit is None else (-limit, limit, "RdBu")
    axes.imshow(image.reshape(image.shape[:2]), cmap=colors, vmin=low, vmax=high)
    axes.set_title(title, pad=3)
    axes.set(xticks=[], yticks=[])
    sns.despine(ax=axes, left=True, bottom=True)


def image_grid(
    images: Sequence[NDArray[np.floating]] | NDArray[np.floating],
    columns: int,
    titles: Sequence[str] = (),
    limit: float | None = None,
) -> Figure:
    """Draw images in rows from left to right.

    Parameters
    ----------
    images
        Shape ``(n, height, width)`` or ``(n, height, width, 1)``.
    columns
        Images in a row.
    titles
        One for each image, or none.
    limit
        As in :func:`draw_image`.
    """
    rows = max(1, -(-len(images) // columns))
    height = WIDTH / columns + (0.25 if titles else 0)
    figure, grid = plt.subplots(rows, columns, figsize=(WIDTH, rows * height), squeeze=False)
    for axes in grid.flat[len(images) :]:
        axes.set_axis_off()
    for axes, image, title in zip(grid.flat, images, titles or [""] * len(images), strict=False):
        draw_image(axes, image, title, limit)
    return figure


def class_matrix(
    values: NDArray[np.number],
    *,
    rows: str,
    columns: str,
    colorbar: str,
    fmt: str = "d",
    names: Sequence[str] = DIGITS,
    hide_diagonal: bool = False,
    axes: Axes | None = None,
) -> Axes:
    """Draw a matrix of classes against classes, with a number in every cell.

    Parameters
    ----------
    values
        Shape ``(10, 10)``.
    rows, columns, colorbar
        What they are.
    fmt
        Format of the numbers.
    names
        What the classes are called.
    hide_diagonal
        Whether the diagonal has its numbers but no colour, so that it does not outshine the rest.
    axes
        Where to draw; a figure of its own if None.
    """
    if axes is None:
        _, axes = plt.subplots(figsize=(WIDTH, 6))
    sns.heatmap(
        values,
        mask=np.eye(len(values), dtype=bool) & hide_diagonal,
        annot=True,
        fmt=fmt,
        cmap="Blues",
        vmin=0,
        square=True,
        linewidths=0.5,
        linecolor="lightgrey",
        cbar_kws={"label": colorbar, "location": "bottom", "aspect": 40},
        ax=axes,
    )
    for label in range(len(values)) if hide_diagonal else ():
        number = format(values[label, label], fmt)
        axes.text(label + 0.5, label + 0.5, number, ha="center", va="center")
    axes.set(xlabel=columns)
    axes.set_ylabel(rows, labelpad=8)
    axes.tick_params(length=0, rotation=0)
    for axis in (axes.xaxis, axes.yaxis):
        name_classes(axis, names, middle=0.5)
    return axes


def name_classes(axis: Axis, names: Sequence[str], *, every: int = 1, middle: float = 0.0) -> None:
    """Write what the classes are called along an axis.

    Parameters
    ----------
    axis
        Where class ``n`` is at ``n + middle``. Below a figure, words stand upright.
    names
        Of the ten classes.
    every
        Of single characters, only so many are written; of words, which nobody can count up, all.
    middle
        Where the middle of the first class is.
    """
    words = max(map(len, names)) > 1
    upright = words and axis.axis_name == "x"  # type: ignore[attr-defined]
    look: dict[str, Any] = {"rotation": 90} if upright else {}
    places = range(0, len(names), 1 if words else every)
    axis.set_ticks([place + middle for place in places], [names[place] for place in places], **look)


def network_diagram(outputs: Sequence[tuple[str, tuple[int, ...]]]) -> Figure:
    """Draw the outputs of a network's layers, from left to right, a colour for each kind.

    Maps are squares behind each other, with sides in proportion to the pixels; a vector is a
    bar, with a height in proportion to the logarithm of its length.

    Parameters
    ----------
    outputs
        The kind of each layer and the shape of its output, either
        ``(height, width, channels)`` or ``(units,)``.
    """
    kinds = list(dict.fromkeys(kind for kind, _ in outputs))
    colors = sns.color_palette("colorblind")
    figure, axes = plt.subplots(figsize=(WIDTH, 2.6))
    left = 0.0
    for kind, shape in outputs:
        width = _draw_output(axes, left, shape, colors[kinds.index(kind) % len(colors)])
        middle = left + width / 2
        axes.text(middle, 21, kind, rotation=40, rotation_mode="anchor")
        size = [" x ".join(map(str, shape[:2])), *(f"x {channels}" for channels in shape[2:])]
        axes.text(middle, -19, "\n".join(size), ha="center", va="top")
        left += width + 14
    axes.set(xlim=(-2, left + 14), ylim=(-34, 46), aspect="equal")
    axes.set_axis_off()
    return figure


def _draw_output(
    axes: Axes, left: float, shape: tuple[int, ...], color: tuple[float, float, float]
) -> float:
    """Draw one output of a layer and return its width."""
    if len(shape) == 1:
        sheets, width, height = 1, 3.0, 3.0 * np.log2(shape[0])
    else:
        sheets, width, height = min(shape[2], _MOST_SHEETS), shape[1], shape[0]
    for sheet in range(sheets):
        corner = (left + sheet, -height / 2 + sheets / 2 - sheet)
        axes.add_patch(Rectangle(corner, width, height, facecolor=color, edgecolor="white", lw=0.6))
    return width + sheets - 1
