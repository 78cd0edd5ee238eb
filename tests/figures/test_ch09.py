"""Chapter 9: curves of trainings, and a mark for each network that is compared."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from lib.figures import ch09

ARMS = ("all filters", "dominant filters", "random filters")
RUNS = ("full scale, base", "this run, shallow")
CURVE = pd.DataFrame(
    {"epoch": [0, 1, 2] * 2, "test": ["clean"] * 3 + ["pgd"] * 3, "value": np.arange(6) / 10}
)
ARM_CURVES = pd.DataFrame(
    [
        (run, 32, arm, seed, epoch, epoch / 10 + seed / 5)
        for run in RUNS
        for arm in ARMS
        for seed in range(2)
        for epoch in range(4)
    ],
    columns=["run", "width", "arm", "seed", "epoch", "value"],
)
NETWORKS = pd.DataFrame(
    [
        (run, arm, test, place / 10 + seed / 100 + (test == "clean") / 2)
        for run in RUNS
        for place, arm in enumerate(ARMS)
        for test in ("clean", "under APGD")
        for seed in range(3)
    ],
    columns=["run", "arm", "test", "accuracy"],
)


def lines(axes: Axes) -> list[list[float]]:
    """Return the heights of the lines of a panel, without those of a legend."""
    return [list(line.get_ydata()) for line in axes.lines if len(line.get_ydata())]


def test_hardening_has_two_lines_and_a_band_as_wide_as_the_growth() -> None:
    (axes,) = ch09.hardening(CURVE, growth=0.4).axes
    assert lines(axes) == [pytest.approx([0, 0.1, 0.2]), pytest.approx([0.3, 0.4, 0.5])]
    assert axes.patches[0].get_width() == pytest.approx(0.4)
    assert axes.get_ylabel() == "validation accuracy (%)"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "clean",
        "PGD, against itself",
    ]


def test_arm_curves_are_means_over_networks_in_a_panel_for_each_run() -> None:
    figure = ch09.arm_curves(ARM_CURVES)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [f"{run},\n32 hidden units" for run in RUNS]
    assert lines(figure.axes[0]) == [pytest.approx([0.1, 0.2, 0.3, 0.4])] * len(ARMS)
    assert figure.axes[0].get_xlabel() == "epoch"
    worse = ch09.arm_curves(ARM_CURVES.assign(value=0.0))
    assert lines(worse.axes[0]) == [[0.0] * 4] * len(ARMS)


def test_a_place_without_a_panel_stays_empty() -> None:
    wide = pd.concat([ARM_CURVES, ARM_CURVES[ARM_CURVES["run"] == RUNS[0]].assign(width=256)])
    figure = ch09.arm_curves(wide)
    assert [axes.axison for axes in figure.axes] == [True, True, True, False]


def test_every_network_is_a_mark() -> None:
    figure = ch09.arms(NETWORKS)
    assert [axes.get_title() for axes in figure.axes] == list(RUNS)
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == list(ARMS)
    assert axes.get_xlabel() == "test accuracy (%)"
    drawn = np.concatenate([np.asarray(dots.get_offsets())[:, 0] for dots in axes.collections])
    of_run = NETWORKS.loc[NETWORKS["run"] == RUNS[0], "accuracy"]
    assert sorted(drawn) == pytest.approx(sorted(of_run))
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["clean", "under APGD"]
    assert axes.get_legend() is None


def test_the_enclosure_has_a_panel_for_each_network_with_a_band_between_two_lines() -> None:
    frame = pd.DataFrame(
        [("first", 0.1, 0.4, 0.9), ("first", 0.2, 0.0, 0.8), ("second", 0.1, 0.1, 0.3)],
        columns=["network", "epsilon", "certified", "withstood"],
    )
    figure = ch09.enclosed(frame)
    assert [axes.get_title() for axes in figure.axes] == ["first", "second"]
    assert lines(figure.axes[0]) == [[0.9, 0.8], [0.4, 0.0]]
    (band,) = figure.axes[0].collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert {0.4, 0.9, 0.0, 0.8} <= set(heights)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "what is robust lies here",
        "withstand the attacks",
        "certified",
    ]
