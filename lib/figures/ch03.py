"""Figures of the chapter on targeted attacks: source classes against target classes."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from lib.figures import style

_BLUE, _ORANGE, *_ = sns.color_palette("colorblind")

LOSS_COLORS = {"logits": _BLUE, "probabilities": _ORANGE}
"""One colour for each input of the loss, in every figure."""

_MARKERS = {"logits": "o", "probabilities": "^"}
_ROW = ["loss_input", "run"]
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
    names: Sequence[str] = style.DIGITS,
) -> Figure:
    """Draw an image, then its copies, each with its target and what the network reads.

    Parameters
    ----------
    image
        Shape ``(1, 28, 28, 1)``.
    pushed
        Shape ``(9, 28, 28, 1)``.
    targets, read
        One class a copy: aimed at, and read.
    names
        What the classes are called.
    """
    between = " " if tuple(names) == style.DIGITS else "\n"  # words take more room
    titles = [
        f"to {names[target]}:{between}{'reached' if target == found else f'reads {names[found]}'}"
        for target, found in zip(targets, read, strict=True)
    ]
    return style.image_grid(np.concatenate([image, pushed]), 5, ["unchanged", *titles])


def rates(frame: pd.DataFrame, names: Sequence[str] = style.DIGITS) -> Figure:
    """Draw an attack's success rates, a matrix of source by target for each run.

    Parameters
    ----------
    frame
        Columns ``run``, ``source``, ``target`` and ``value``, a share, 0 to 1.
    names
        What the classes are called.
    """
    figure, panels = style.panels(frame, "run", height=5.2)
    for axes, run, _, rows in panels:
        style.class_matrix(
            100 * _matrix(rows),
            rows="source: the class shown",
            columns="target: the class aimed at",
            names=names,
            colorbar="images that reach the target (%)",
            fmt=".0f",
            axes=axes,
        )
        axes.collections[0].set_clim(0, 100)
        axes.set_title(run)
    return figure


def ticks(frame: pd.DataFrame, names: Sequence[str] = style.DIGITS) -> Figure:
    """Draw which targets one image of each class reaches, a row a run and a column an attack.

    Above each stands the number of its ticks. Where the paper is among the runs, frames mark
    the cells of the others that differ from it.

    Parameters
    ----------
    frame
        Columns ``attack``, ``run``, ``source``, ``target`` and ``value`` (1 if reached).
    names
        What the classes are called.
    """
    figure, panels = style.panels(
        frame, "run", "attack", height=2.6, rest=0.5, sharex=True, sharey=True
    )
    for axes, run, attack, rows in panels:
        reached = _matrix(rows) == 1
        published = frame[(frame["attack"] == attack) & (frame["run"] == "paper")]
        differs = reached != (reached if published.empty else _matrix(published) == 1)
        axes.imshow(0.3 * reached, cmap="Blues", vmin=0, vmax=1, zorder=0)
        axes.plot(range(10), range(10), "_", color="0.6")
        for source, target in np.argwhere(reached):
            axes.text(target, source, "\N{CHECK MARK}", ha="center", va="center")
        for source, target in np.argwhere(differs):
            corner = (target - 0.42, source - 0.42)
            axes.add_patch(Rectangle(corner, 0.84, 0.84, fill=False, ec=_ORANGE, lw=1.6))
        axes.set(xlabel="target", ylabel="source")
        for axis in (axes.xaxis, axes.yaxis):
            style.name_classes(axis, names)
        axes.set_title(f"{attack.upper()}, {run}: {reached.sum()}")
        axes.tick_params(length=0)
        axes.label_outer()
        sns.despine(ax=axes, left=True, bottom=True)
    return figure


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
        xlabel="doubt: probability of all other classes together",
        ylabel="mean |gradient| (loss per pixel unit)",
    )
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
    return figure


def side_by_side(frame: pd.DataFrame, names: Sequence[str] = style.DIGITS) -> Figure:
    """Draw success rates on logits above, the paper's ticks in the middle, on probabilities below.

    Parameters
    ----------
    frame
        Columns ``attack``, ``loss_input`` (or ``paper``), ``run``, ``source``, ``target`` and
        ``value``, a share.
    names
        What the classes are called.
    """
    parts = dict([*frame.groupby(_ROW)])
    ordered = pd.concat(parts[row] for row in _ROWS if row in parts)
    figure, panels = style.panels(
        ordered, _ROW, "attack", height=1.9, rest=1.4, sharex=True, sharey=True
    )
    shades = plt.get_cmap("Blues").with_extremes(bad="0.85")  # the diagonal
    for axes, (loss_input, run), attack, rows in panels:
        drawn = axes.imshow(100 * _matrix(rows), cmap=shades, vmin=0, vmax=100)
        axes.set(xlabel="target")
        for axis in (axes.xaxis, axes.yaxis):
            style.name_classes(axis, names, every=2)
        name = run if run == loss_input else f"{loss_input},\n{run}"
        axes.set_ylabel(f"{name}\nsource")
        axes.label_outer()
        if axes.get_subplotspec().is_first_row():
            axes.set_title(attack.upper())
    label = "images that reach the target (%)"
    figure.colorbar(drawn, ax=figure.axes, location="bottom", shrink=0.8, aspect=30, label=label)
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
    figure, panels = style.panels(drawn, across="attack", height=3.4, sharey=True)
    for axes, _, attack, rows in panels:
        for (loss_input, run), part in rows.groupby(_ROW):
            axes.plot(
                part.groupby("rank")["value"].mean(),
                color=LOSS_COLORS[str(loss_input)],
                marker=_MARKERS[str(loss_input)],
                linestyle="-" if run == "this run" else "--",
                mfc=None if run == "this run" else "white",
                label=f"{loss_input}, {run}",
            )
        axes.set(title=attack.upper(), xlabel="rank of the target", xticks=range(1, 10, 2))
    style.in_percent(figure.axes[0])
    figure.axes[0].set_ylabel("images that reach it (%)")
    style.legend(figure, 2, above=True)
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
    figure, panels = style.panels(frame, "attack", height=2.2, sharex=True)
    for axes, attack, _, rows in panels:
        for loss_input, part in rows.groupby("loss_input"):
            weights = np.full(len(part), 1 / len(part))
            color, label = LOSS_COLORS[str(loss_input)], f"on {loss_input}"
            axes.hist(part["share"], bins, weights=weights, color=color, alpha=0.6, label=label)
        if attack in published:
            axes.axvline(published[attack], color="black", linestyle="--", label="paper")
        axes.set(title=attack.upper(), ylabel="draws (%)")
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=""))
    axes.set_xlabel("ticked cells (%)")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=""))
    style.legend(figure, 3, above=True)
    return figure
