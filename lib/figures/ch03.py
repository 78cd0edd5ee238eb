"""Figures of the chapter on targeted attacks: source digits against target digits."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from lib.figures import style

_BLUE, _ORANGE, *_ = sns.color_palette("colorblind")

LOSS_COLORS = {"logits": _BLUE, "probabilities": _ORANGE}
"""One colour for each input of the loss, in every figure."""

_MARKERS = {"logits": "o", "probabilities": "^"}
_ROWS = [
    ("logits", "full scale"),
    ("logits", "this run"),
    ("paper", "paper"),
    ("probabilities", "this run"),
    ("probabilities", "full scale"),
]


def _matrix(frame: pd.DataFrame) -> NDArray[np.float64]:
    """Return the mean over seeds by source and target; NaN on the diagonal."""
    cells = frame.pivot_table("value", "source", "target")
    return cells.reindex(index=range(10), columns=range(10)).to_numpy(float)


def nine_targets(
    image: NDArray[np.floating],
    pushed: NDArray[np.floating],
    targets: Sequence[int],
    read: Sequence[int],
) -> Figure:
    """Draw an image, then its copies, each with its target and what the network reads.

    Parameters
    ----------
    image
        Shape ``(1, 28, 28, 1)``.
    pushed
        Shape ``(9, 28, 28, 1)``.
    targets, read
        One digit a copy: aimed at, and read.
    """
    titles = [
        f"to {target}: {'reached' if target == digit else f'reads {digit}'}"
        for target, digit in zip(targets, read, strict=True)
    ]
    return style.image_grid(np.concatenate([image, pushed]), 5, ["unchanged", *titles])


def rates(frame: pd.DataFrame) -> Figure:
    """Draw an attack's success rates, a matrix of source by target for each run.

    Parameters
    ----------
    frame
        Columns ``run``, ``source``, ``target`` and ``value``, a share, 0 to 1.
    """
    runs = list(frame["run"].unique())
    size = (style.WIDTH, 5.2 * len(runs))
    figure, panels = plt.subplots(len(runs), 1, figsize=size, squeeze=False)
    for axes, run in zip(panels.flat, runs, strict=True):
        style.class_matrix(
            100 * _matrix(frame[frame["run"] == run]),
            rows="source: the digit shown",
            columns="target: the digit aimed at",
            colorbar="images that reach the target (%)",
            fmt=".0f",
            axes=axes,
        )
        axes.collections[0].set_clim(0, 100)
        axes.set_title(run)
    return figure


def ticks(frame: pd.DataFrame) -> Figure:
    """Draw which targets one image of each digit reaches, a matrix for each attack and run.

    Above each stands the number of its ticks. Where the paper is among the runs, frames mark
    the cells of the others that differ from it.

    Parameters
    ----------
    frame
        Columns ``attack``, ``run``, ``source``, ``target`` and ``value`` (1 if reached).
    """
    attacks, runs = list(frame["attack"].unique()), list(frame["run"].unique())
    size = (style.WIDTH, 13.6 / max(2, len(runs)))
    figure, grid = plt.subplots(len(attacks), len(runs), figsize=size, sharey=True, squeeze=False)
    for row, attack in zip(grid, attacks, strict=True):
        of_attack = frame[frame["attack"] == attack]
        drawn = [_matrix(of_attack[of_attack["run"] == run]) for run in runs]
        for axes, matrix, run in zip(row, drawn, runs, strict=True):
            _draw_ticks(
                axes, matrix == 1, drawn[runs.index("paper")] == 1 if "paper" in runs else None
            )
            axes.set_title(f"{attack.upper()}, {run}: {np.sum(matrix == 1)}")
        row[0].set_ylabel("source")
    return figure


def _draw_ticks(axes: Axes, matrix: NDArray[np.bool_], published: NDArray[np.bool_] | None) -> None:
    axes.imshow(0.3 * matrix, cmap="Blues", vmin=0, vmax=1, zorder=0)
    axes.plot(range(10), range(10), "_", color="0.6")
    for source, target in np.ndindex(matrix.shape):
        if matrix[source, target]:
            axes.text(target, source, "\N{CHECK MARK}", ha="center", va="center", fontsize=10)
        if published is not None and matrix[source, target] != published[source, target]:
            corner = (target - 0.42, source - 0.42)
            axes.add_patch(Rectangle(corner, 0.84, 0.84, fill=False, ec=_ORANGE, lw=1.6))
    axes.set(xticks=range(10), yticks=range(10), xlabel="target")
    axes.tick_params(length=0)
    sns.despine(ax=axes, left=True, bottom=True)


def gradients(frame: pd.DataFrame) -> Figure:
    """Draw the size of each image's gradient against the network's doubt about the image.

    Parameters
    ----------
    frame
        Columns ``loss on``, ``doubt`` and ``size``; sizes of exactly 0 stand at the lower edge.
    """
    floor = 10.0 ** np.floor(np.log10(frame.loc[frame["size"] > 0, "size"].min()) - 1)
    drawn = frame.assign(doubt=frame["doubt"].clip(1e-17), size=frame["size"].clip(floor))
    figure, axes = plt.subplots(figsize=(style.WIDTH, 3.4))
    look = {"hue": "loss on", "style": "loss on", "palette": LOSS_COLORS, "markers": _MARKERS}
    sns.scatterplot(drawn, x="doubt", y="size", alpha=0.6, ax=axes, **look)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="doubt: probability of all other digits together",
        ylabel="mean |gradient| (loss per pixel unit)",
    )
    return figure


def side_by_side(frame: pd.DataFrame) -> Figure:
    """Draw success rates on logits above, the paper's ticks in the middle, on probabilities below.

    Parameters
    ----------
    frame
        Columns ``attack``, ``loss_input`` (or ``paper``), ``run``, ``source``, ``target`` and
        ``value``, a share.
    """
    there = set(zip(frame["loss_input"], frame["run"], strict=True))
    rows = [row for row in _ROWS if row in there]
    size = (4.6, 1.2 + 1.65 * len(rows))
    figure, panels = plt.subplots(len(rows), 2, figsize=size, sharex=True, sharey=True)
    shades = plt.get_cmap("Blues").with_extremes(bad="0.85")  # the diagonal
    for column, attack in zip(panels.T, ("fgsm", "pgd"), strict=True):
        for axes, (loss_input, run) in zip(column, rows, strict=True):
            of_panel = frame[
                (frame["attack"] == attack)
                & (frame["loss_input"] == loss_input)
                & (frame["run"] == run)
            ]
            drawn = axes.imshow(100 * _matrix(of_panel), cmap=shades, vmin=0, vmax=100)
            axes.set(xticks=range(0, 10, 2), yticks=range(0, 10, 2))
        column[0].set_title(attack.upper())
        column[-1].set_xlabel("target")
    for axes, (loss_input, run) in zip(panels[:, 0], rows, strict=True):
        name = run if run == loss_input else f"{loss_input},\n{run}"
        axes.set_ylabel(f"{name}\nsource", fontsize=9)
    label = "images that reach the target (%)"
    figure.colorbar(drawn, ax=panels, location="bottom", shrink=0.8, aspect=30, label=label)
    return figure


def ranks(frame: pd.DataFrame) -> Figure:
    """Draw how often a target is reached by its rank on the unchanged image.

    Parameters
    ----------
    frame
        Columns ``attack``, ``loss_input``, ``run``, ``value``, a share, and ``quantity``, of
        which only ``reaches rank 1`` to ``reaches rank 9`` are drawn.
    """
    rank = frame["quantity"].str.extract(r"reaches rank (\d)", expand=False)
    drawn = frame.assign(rank=rank).dropna(subset="rank").astype({"rank": int})
    figure, panels = plt.subplots(1, 2, figsize=(style.WIDTH, 3.4), sharey=True)
    for axes, attack in zip(panels, ("fgsm", "pgd"), strict=True):
        of_attack = drawn[drawn["attack"] == attack]
        for (loss_input, run), rows in of_attack.groupby(["loss_input", "run"]):
            means = rows.groupby("rank")["value"].mean()
            axes.plot(
                means,
                color=LOSS_COLORS[str(loss_input)],
                marker=_MARKERS[str(loss_input)],
                linestyle="-" if run == "this run" else "--",
                mfc=None if run == "this run" else "white",
                label=f"{loss_input}, {run}",
            )
        axes.set(title=attack.upper(), xlabel="rank of the target", xticks=range(1, 10, 2))
    style.in_percent(panels[0])
    panels[0].set_ylabel("images that reach it (%)")
    style.shared_legend(figure, columns=2)
    return figure


def luck(frame: pd.DataFrame, published: Mapping[str, float]) -> Figure:
    """Draw how many cells are ticked in tables made from ten images drawn at random.

    Parameters
    ----------
    frame
        Columns ``attack``, ``loss_input`` and ``share``, a row a random table.
    published
        Share of ticked cells in the paper's table, by attack; empty if nothing compares.
    """
    bins = np.arange(-0.5, 91.5, 2) / 90
    figure, panels = plt.subplots(2, 1, figsize=(style.WIDTH, 4.4), sharex=True)
    for axes, attack in zip(panels, ("fgsm", "pgd"), strict=True):
        of_attack = frame[frame["attack"] == attack]
        for loss_input, rows in of_attack.groupby("loss_input"):
            weights = np.full(len(rows), 1 / len(rows))
            color, label = LOSS_COLORS[str(loss_input)], f"on {loss_input}"
            axes.hist(rows["share"], bins, weights=weights, color=color, alpha=0.6, label=label)
        if attack in published:
            axes.axvline(published[attack], color="black", linestyle="--", label="paper")
        axes.set(title=attack.upper(), ylabel="draws (%)")
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=""))
    panels[1].set_xlabel("ticked cells (%)")
    panels[1].xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=""))
    style.shared_legend(figure, columns=3)
    return figure
