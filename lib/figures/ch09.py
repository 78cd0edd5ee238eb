"""The figures of chapter 9: training that crafts its images afresh."""

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from lib.figures import style

_MARKERS = ["o", "s", "X", "D", "v"]


def _by_epoch(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=""))
    axes.set_xlabel("epoch")


def hardening(frame: pd.DataFrame, growth: float) -> Figure:
    """Draw how a network learns to withstand the attack of each epoch.

    Parameters
    ----------
    frame
        ``epoch``, ``value`` and ``test``, which is ``clean`` or ``pgd``.
    growth
        Epochs over which the radius grows: a grey band.
    """
    figure, axes = plt.subplots()
    axes.axvspan(0, growth, color="0.92")
    tests = frame["test"].replace({"pgd": "PGD, against itself"})
    rows = frame.assign(test=tests)
    sns.lineplot(rows, x="epoch", y="value", hue="test", style="test", markers=True, ax=axes)
    _by_epoch(axes)
    axes.set(ylabel="validation accuracy (%)", ylim=(-0.03, 1.03))
    axes.legend(title=None)
    return figure


def arm_curves(frame: pd.DataFrame) -> Figure:
    """Draw the accuracy under PGD of the compared trainings, a panel for each run and width.

    Parameters
    ----------
    frame
        ``run``, ``width``, ``arm``, ``epoch`` and ``value``; means over all other columns.
    """
    figure, panels = style.panels(frame, "width", "run", height=2.9, rest=0.8, sharey=True)
    for axes, width, run, rows in panels:
        if rows.empty:
            axes.set_axis_off()
            continue
        sns.lineplot(
            rows,
            x="epoch",
            y="value",
            hue="arm",
            style="arm",
            markers=_MARKERS[: rows["arm"].nunique()],
            errorbar=None,
            ax=axes,
        )
        _by_epoch(axes)
        axes.set_title(f"{run},\n{width} hidden units")
        axes.set(ylabel="under PGD, validation (%)", ylim=(-0.02, None))
    style.legend(figure, 3)
    return figure


def arms(frame: pd.DataFrame) -> Figure:
    """Draw every compared network: its accuracy on clean images and under attack.

    Parameters
    ----------
    frame
        ``run``, ``arm``, ``test`` and ``accuracy``, one row a network and test.
    """
    height = 1.3 + 0.34 * frame["arm"].nunique()
    figure, panels = style.panels(frame, across="run", height=height, sharey=True)
    for axes, _, run, rows in panels:
        for (test, part), marker in zip(rows.groupby("test", sort=False), _MARKERS, strict=False):
            sns.stripplot(
                part,
                x="accuracy",
                y="arm",
                marker=marker,
                jitter=False,
                alpha=0.6,
                label=test,
                ax=axes,
            )
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=""))
        axes.set(title=run, xlim=(-0.04, 1.04), xlabel="test accuracy (%)", ylabel="")
        axes.grid(axis="y", color="0.9")
    style.legend(figure, 2)
    return figure


def enclosed(frame: pd.DataFrame) -> Figure:
    """Draw between which two curves the robust share of images lies, a panel for each network.

    Parameters
    ----------
    frame
        ``network``, ``epsilon``, and the shares ``certified`` and ``withstood``.
    """
    figure, panels = style.panels(frame, "network", height=1.75, rest=0.6, sharex=True, sharey=True)
    below, above = sns.color_palette()[:2]
    for axes, network, _, rows in panels:
        radius = rows["epsilon"]
        band = {"color": "0.85", "label": "what is robust lies here"}
        axes.fill_between(radius, rows["certified"], rows["withstood"], **band)
        axes.plot(radius, rows["withstood"], "s--", color=above, label="withstand the attacks")
        axes.plot(radius, rows["certified"], "o-", color=below, label="certified")
        axes.set(title=network, ylabel="images (%)")
        style.in_percent(axes)
    axes.set_xlabel("epsilon")
    style.legend(figure, 2)
    return figure
