"""Figures of the chapter on the model: its training, its mistakes and its filters."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from lib.figures import style


def classes(
    images: NDArray[np.floating], of_each: int, names: Sequence[str] = style.DIGITS
) -> Figure:
    """Draw test images in ten columns, a class each.

    Parameters
    ----------
    images
        Shape ``(10 * of_each, 28, 28, 1)``, class by class.
    of_each
        Images of a class: the number of rows.
    names
        What the classes are called: words stand above the first row, numerals speak for themselves.
    """
    rows = images.reshape(10, of_each, 28, 28).swapaxes(0, 1)
    titles = [*names, *[""] * (len(images) - len(names))]
    words = () if tuple(names) == style.DIGITS else titles
    figure = style.image_grid(rows.reshape(-1, 28, 28), columns=10, titles=words)
    for axes in figure.axes[:10] if words else ():
        axes.title.set_rotation(90)  # beside each other they would overlap
    return figure


def training(frame: pd.DataFrame) -> Figure:
    """Draw accuracy and loss over the epochs, a row of panels a run.

    Parameters
    ----------
    frame
        Columns ``run``, ``part`` (training or validation), ``quantity`` (accuracy or loss),
        ``epoch`` and ``value``. Several seeds are averaged.
    """
    figure, panels = style.panels(frame, "run", "quantity", height=2.6, rest=0.4)
    for axes, run, quantity, rows in panels:
        look = {"hue": "part", "style": "part", "markers": True, "errorbar": None}
        sns.lineplot(rows, x="epoch", y="value", ax=axes, **look)
        axes.set(title=run, ylabel=style.QUANTITIES[quantity])
        axes.xaxis.get_major_locator().set_params(integer=True)
        if quantity == "accuracy":
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=""))
        else:
            axes.set_ylim(0, None)
    style.legend(figure, 2, above=True)
    return figure


def confusion(counts: pd.DataFrame, names: Sequence[str] = style.DIGITS) -> Figure:
    """Draw how often each true class (row) was read as each class (column)."""
    axes = style.class_matrix(
        counts.to_numpy(),
        rows="true class",
        columns="predicted class",
        names=names,
        colorbar="images confused",
        hide_diagonal=True,
    )
    figure: Figure = axes.get_figure()  # type: ignore[assignment]
    return figure


def mistakes(
    images: NDArray[np.floating], readings: pd.DataFrame, names: Sequence[str] = style.DIGITS
) -> Figure:
    """Draw misread images with the true class, the class read and the confidence.

    Parameters
    ----------
    images
        Shape ``(n, 28, 28, 1)``.
    readings
        A row an image: ``true``, ``read`` and ``confidence``.
    names
        What the classes are called.
    """
    between = " " if tuple(names) == style.DIGITS else "\n"  # words take more room
    titles = [
        f"{names[true]} \N{RIGHTWARDS ARROW}{between}{names[read]}\n{confidence:.0%}"
        for true, read, confidence in zip(
            readings["true"], readings["read"], readings["confidence"], strict=True
        )
    ]
    return style.image_grid(images, columns=6, titles=titles)


def filters(pictures: NDArray[np.floating], limit: float | None = None) -> Figure:
    """Draw one picture a filter, numbered from 0.

    Parameters
    ----------
    pictures
        Shape ``(height, width, n)``: kernels or feature maps.
    limit
        As in :func:`lib.figures.style.draw_image`.
    """
    numbers = list(map(str, range(pictures.shape[-1])))
    return style.image_grid(pictures.transpose(2, 0, 1), 8, numbers, limit)
