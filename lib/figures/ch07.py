"""The figures of chapter 7: attackers who adapt."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from lib.evidence import intervals
from lib.figures import style

_NETWORK = ["defence", "fraction"]


def _name(network: Sequence[Any]) -> str:
    defence, fraction = network
    if defence == "none":
        return "undefended"
    return f"{defence.upper()}, {'whole' if fraction == 1 else 'split'}"


def _look(network: Sequence[Any]) -> dict[str, object]:
    """Return colour and mark: the attack of the defence, filled where the whole network trained."""
    defence, fraction = network
    color = style.ATTACK_COLORS.get(defence, "0.3")
    marker = {"none": "D", "fgsm": "o", "pgd": "s"}.get(defence, "^")
    return {"color": color, "marker": marker, "mfc": color if fraction == 1 else "white"}


def ladder(frame: pd.DataFrame) -> Figure:
    """Draw what every rung leaves of each network, a panel for each run.

    Parameters
    ----------
    frame
        Of one architecture: ``run``, ``defence``, ``fraction``, ``rung``, ``accuracy`` and the
        number of ``images``, which gives 95% intervals.
    """
    last = frame["run"] == frame["run"].iloc[-1]  # a record may lack newer rungs
    order = pd.concat([frame[last], frame[~last]])["rung"].unique()
    rungs = {rung: place for place, rung in enumerate(order)}
    height = 1.4 + 0.36 * len(rungs)
    figure, panels = style.panels(frame, across="run", height=height, sharey=True)
    for axes, _, run, rows in panels:
        networks = rows.groupby(_NETWORK, sort=False)
        offsets = np.linspace(-0.3, 0.3, networks.ngroups) if networks.ngroups > 1 else [0.0]
        for offset, (network, part) in zip(offsets, networks, strict=True):
            found = map(intervals.wilson, part["accuracy"], part["images"])
            ends = [[max(0.0, i.estimate - i.low), max(0.0, i.high - i.estimate)] for i in found]
            axes.errorbar(
                part["accuracy"],
                part["rung"].map(rungs) + offset,
                xerr=np.transpose(ends),
                fmt=" ",
                ms=4.5,
                elinewidth=0.8,
                label=_name(network),
                **_look(network),
            )
        axes.set(title=run, xlabel="read correctly (%)", xlim=(-0.04, 1.04))
        axes.set(xticks=[0, 0.5, 1], xticklabels=[0, 50, 100])
        axes.hlines(np.arange(len(rungs) - 1) + 0.5, -0.04, 1.04, color="0.92", lw=0.8, zorder=0)
    figure.axes[0].set_yticks(list(rungs.values()), list(rungs))
    figure.axes[0].invert_yaxis()
    style.legend(figure, 3)
    return figure


def curves(frame: pd.DataFrame) -> Figure:
    """Draw accuracy against the radius, a line for each network and a panel for each run.

    Parameters
    ----------
    frame
        Of one architecture: ``run``, ``defence``, ``fraction``, ``epsilon`` and ``accuracy``.
    """
    figure, panels = style.panels(frame, across="run", height=3.8, sharey=True)
    for axes, _, run, rows in panels:
        for network, part in rows.groupby(_NETWORK, sort=False):
            line = "-" if network[1] == 1 else "--"
            axes.plot(
                part["epsilon"], part["accuracy"], line, label=_name(network), **_look(network)
            )
        axes.axvline(0.5, color="0.6", linestyle=":")
        axes.text(0.53, 0.95, "grey images\nreachable", color="0.4", va="top")
        style.in_percent(axes)
        axes.set(xlabel="radius ε", title=run)
    figure.axes[0].set_ylabel("read correctly (%)")
    style.legend(figure, 3)
    return figure


def nearest(frame: pd.DataFrame) -> Figure:
    """Draw how far the nearest misread images are, a row for each network.

    Parameters
    ----------
    frame
        ``run``, ``defence``, ``fraction`` and ``distance``, one row an image: 0 where it is misread
        as it is, and left out; infinite where none was found, and drawn at the right edge.
    """
    read = frame[frame["distance"] > 0]
    found = read[np.isfinite(read["distance"])]
    edge = 1.1 * found["distance"].max()
    rows = read.assign(
        network=[_name(key) for key in read[_NETWORK].itertuples(index=False)],
        distance=read["distance"].clip(upper=edge),
    )
    figure, panels = style.panels(rows, across="run", height=2.4, sharex=True, sharey=True)
    for axes, _, run, part in panels:
        sns.stripplot(
            part, x="distance", y="network", hue="network", jitter=False, alpha=0.4, ax=axes
        )
        for place, (_, values) in enumerate(part.groupby("network", sort=False)["distance"]):
            axes.plot([values.median()] * 2, [place - 0.3, place + 0.3], color="0.2", zorder=3)
            if lost := int((values == edge).sum()):
                axes.text(edge, place - 0.15, f"none: {lost}", ha="right", va="bottom")
        axes.set(title=run, xlabel="L2 distance (pixels 0 to 1)", ylabel="")
    return figure
