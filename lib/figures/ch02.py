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

_QUANTITIES = {
    "accuracy": "accuracy (%)",
    "loss": "cross-entropy (nats)",
    "change": "largest change (pixel units)",
}


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
    names = ["accuracy", "loss"]
    radii = sorted(climbs["epsilon"].unique())
    figure, grid = plt.subplots(
        2, len(radii), figsize=(style.WIDTH, 5.0), sharex=True, sharey="row", squeeze=False
    )
    for column, epsilon in zip(grid.T, radii, strict=True):
        rows, fgsm = (frame[frame["epsilon"] == epsilon] for frame in (climbs, by_fgsm))
        for axes, name in zip(column, names, strict=True):
            sns.lineplot(rows, x="step", y=name, hue="PGD", style="PGD", dashes=False, ax=axes)
            axes.axhline(fgsm[name].item(), color="black", linestyle="--", label="FGSM, one step")
            axes.set(xlabel="PGD steps", ylabel=_QUANTITIES[name])
        column[0].set_title(f"epsilon {epsilon:g}")
    for axes in grid[0]:
        style.in_percent(axes)
    style.shared_legend(figure, columns=3)
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
    figure, panels = plt.subplots(1, 2, figsize=(style.WIDTH, 3.6), sharey=True)
    means = frame.groupby(["attack", "run", "model", "epsilon"])["value"].mean()
    for axes, attack in zip(panels, ("fgsm", "pgd"), strict=True):
        for (run, model), curve in means[attack].groupby(["run", "model"]):
            look = {"marker": style.MODEL_MARKERS[model], **looks[run]}
            curve = curve.droplevel([0, 1])
            axes.plot(curve.index, curve, color=style.MODEL_COLORS[model], **look)
        axes.set(title=attack.upper(), xlabel="epsilon (pixel units)")
    style.in_percent(panels[0])
    panels[0].set_ylabel("accuracy (%)")
    handles = [
        Line2D([], [], color=color, marker=style.MODEL_MARKERS[name], markersize=4, label=name)
        for name, color in style.MODEL_COLORS.items()
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
    figure, panels = plt.subplots(1, 3, figsize=(style.WIDTH, 3.2), sharex=True)
    for axes, name in zip(panels, ("change", "loss", "accuracy"), strict=True):
        sns.lineplot(frame, x="epsilon", y=name, hue="PGD", style="PGD", markers=True, ax=axes)
        axes.axvline(reach, color="grey", linestyle=":")
        axes.set(xlabel="epsilon", ylabel=_QUANTITIES[name])
    style.in_percent(panels[2])
    style.shared_legend(figure, columns=2)
    return figure
