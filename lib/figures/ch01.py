"""Figures of the chapter on the model: its training, its mistakes and its filters."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from lib.figures import style


def digits(images: NDArray[np.floating], of_each: int) -> Figure:
    """Draw test images in ten columns, a class each.

    Parameters
    ----------
    images
        Shape ``(10 * of_each, 28, 28, 1)``, class by class.
    of_each
        Images of a class: the number of rows.
    """
    rows = images.reshape(10, of_each, 28, 28).swapaxes(0, 1)
    return style.image_grid(rows.reshape(-1, 28, 28), columns=10)


def training(frame: pd.DataFrame) -> Figure:
    """Draw accuracy and loss over the epochs, a row of panels a run.

    Parameters
    ----------
    frame
        Columns ``run``, ``part`` (training or validation), ``quantity`` (accuracy or loss),
        ``epoch`` and ``value``. Several seeds are averaged.
    """
    runs = list(frame["run"].unique())
    size = (style.WIDTH, 0.4 + 2.6 * len(runs))
    figure, grid = plt.subplots(len(runs), 2, figsize=size, squeeze=False)
    for panels, run in zip(grid, runs, strict=True):
        for axes, quantity in zip(panels, ("accuracy", "loss"), strict=True):
            rows = frame[(frame["run"] == run) & (frame["quantity"] == quantity)]
            look = {"hue": "part", "style": "part", "markers": True, "errorbar": None}
            sns.lineplot(rows, x="epoch", y="value", ax=axes, **look)
            axes.set(title=run)
            axes.xaxis.get_major_locator().set_params(integer=True)
        panels[0].set_ylabel("accuracy (%)")
        panels[0].yaxis.set_major_formatter(PercentFormatter(1.0, symbol=""))
        panels[1].set(ylabel="cross-entropy (nats)", ylim=(0, None))
    style.shared_legend(figure, columns=2)
    return figure


def confusion(counts: pd.DataFrame) -> Figure:
    """Draw how often each true digit (row) was read as each digit (column)."""
    axes = style.class_matrix(
        counts.to_numpy(),
        rows="true digit",
        columns="predicted digit",
        colorbar="images confused",
        hide_diagonal=True,
    )
    figure: Figure = axes.get_figure()  # type: ignore[assignment]
    return figure


def mistakes(images: NDArray[np.floating], readings: pd.DataFrame) -> Figure:
    """Draw misread images with the true digit, the digit read and the confidence.

    Parameters
    ----------
    images
        Shape ``(n, 28, 28, 1)``.
    readings
        A row an image: ``true``, ``read`` and ``confidence``.
    """
    titles = [
        f"{true} \N{RIGHTWARDS ARROW} {read}\n{confidence:.0%}"
        for true, read, confidence in readings[["true", "read", "confidence"]].itertuples(
            index=False
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
    numbers: Sequence[str] = [str(number) for number in range(pictures.shape[-1])]
    return style.image_grid(pictures.transpose(2, 0, 1), 8, numbers, limit)
