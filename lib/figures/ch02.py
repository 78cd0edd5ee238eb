"""Figures of the chapter on attacks: one image, the steps of PGD, the sweep over radii."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from lib.figures import style


def perturbations(
    images: NDArray[np.floating], epsilons: Sequence[float], readings: Sequence[str]
) -> Figure:
    """Draw what an attack adds to an image, radius by radius, and the result below it.

    Parameters
    ----------
    images
        Shape ``(n, 28, 28, 1)``: the clean image, then an attacked one for each further radius.
    epsilons
        The ``n`` radii, from 0; the strongest sets the scale of what is added.
    readings
        What the network reads in each image.
    """
    figure, grid = plt.subplots(2, len(images), figsize=(style.WIDTH, 2.7))
    for axes, image, epsilon, reading in zip(grid.T, images, epsilons, readings, strict=True):
        added = image - images[0]
        style.draw_image(axes[0], added, f"ε = {epsilon:g}", limit=max(epsilons) or 1)
        style.draw_image(axes[1], image, reading)
    return figure


def steps(climbs: pd.DataFrame, by_fgsm: pd.DataFrame) -> Figure:
    """Draw accuracy and loss against the number of PGD's steps, a column of panels a radius.

    Parameters
    ----------
    climbs
        Columns ``epsilon``, ``PGD`` (where it starts), ``step``, ``accuracy`` and ``loss``.
    by_fgsm
        Columns ``epsilon``, ``accuracy`` and ``loss`` after one step of FGSM.
    """
    by_quantity = climbs.melt(["epsilon", "PGD", "step"], ["accuracy", "loss"], "quantity")
    figure, panels = style.panels(
        by_quantity, "quantity", "epsilon", height=2.5, sharex=True, sharey="row"
    )
    for axes, name, epsilon, rows in panels:
        sns.lineplot(rows, x="step", y="value", hue="PGD", style="PGD", dashes=False, ax=axes)
        fgsm = by_fgsm.loc[by_fgsm["epsilon"] == epsilon, name].item()
        axes.axhline(fgsm, color="black", linestyle="--", label="FGSM, one step")
        axes.set(xlabel="PGD steps", ylabel=style.QUANTITIES[name])
        if name == "accuracy":
            style.in_percent(axes)
            axes.set_title(f"epsilon {epsilon:g}")
    style.legend(figure, 2, above=True)
    return figure


def sweep(frame: pd.DataFrame) -> Figure:
    """Draw accuracy against epsilon: a panel an attack, a colour a network.

    This run is a solid line, the full-scale run a dotted one, the paper's numbers open marks.

    Parameters
    ----------
    frame
        Columns ``attack``, ``model``, ``epsilon``, ``value`` and ``run``: ``paper``,
        ``full scale`` or ``this run``. Several seeds are averaged.
    """
    looks: dict[str, dict[str, object]] = {
        "this run": {"linestyle": "-", "markersize": 4},
        "full scale": {"linestyle": ":", "marker": ""},
        "paper": {"linestyle": "", "markersize": 9, "mfc": "none"},
    }
    figure, panels = style.panels(frame, across="attack", height=3.6, sharey=True)
    for axes, _, attack, rows in panels:
        for (run, model), curve in rows.groupby(["run", "model"]):
            look = {"marker": style.MODEL_MARKERS[str(model)], **looks[str(run)]}
            means = curve.groupby("epsilon")["value"].mean()
            axes.plot(means, color=style.MODEL_COLORS[str(model)], **look)
        axes.set(title=attack.upper(), xlabel="epsilon (pixel units)")
    style.in_percent(figure.axes[0])
    figure.axes[0].set_ylabel(style.QUANTITIES["accuracy"])
    handles = [
        Line2D([], [], color=color, marker=style.MODEL_MARKERS[name], markersize=4, label=name)
        for name, color in style.MODEL_COLORS.items()
        if name in set(frame["model"])
    ]
    handles += [
        Line2D([], [], color="0.4", label=run, **{"marker": "o", **looks[run]})  # type: ignore[arg-type]
        for run in looks
        if run in set(frame["run"])
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3)
    return figure


def budget(frame: pd.DataFrame, reach: float) -> Figure:
    """Draw how far PGD gets as its radius grows: change of a pixel, loss and accuracy.

    Parameters
    ----------
    frame
        Columns ``PGD`` (the variant), ``epsilon``, ``change``, ``loss`` and ``accuracy``.
    reach
        Number of steps times their size: marked by a dotted line.
    """
    by_quantity = frame.melt(["PGD", "epsilon"], ["change", "loss", "accuracy"], "quantity")
    figure, panels = style.panels(by_quantity, "quantity", height=1.9, rest=0.6, sharex=True)
    for axes, name, _, rows in panels:
        sns.lineplot(rows, x="epsilon", y="value", hue="PGD", style="PGD", markers=True, ax=axes)
        axes.axvline(reach, color="grey", linestyle=":")
        axes.set(xlabel="epsilon", ylabel=style.QUANTITIES[name])
    style.in_percent(axes)
    style.legend(figure, 2, above=True)
    return figure
