"""Chapter 6: a line for each network, on a scale on which small errors are seen."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from numpy.typing import NDArray

from lib.evidence import paper
from lib.figures import ch06

VALUES = pd.DataFrame(
    [
        (attack, training, test, fraction, seed, run, 0.99 - fraction / 100 - seed / 1_000)
        for attack in ("fgsm", "pgd")
        for training in ("adversarial", "mixed")
        for test in ("clean", "static")
        for fraction in (0.0, 0.1, 1.0)
        for run, seeds in (("full scale", 3), ("this run", 1))
        for seed in range(seeds)
    ],
    columns=["attack", "training", "test", "fraction", "seed", "run", "value"],
)
PUBLISHED = pd.concat([paper.table(10), paper.table(11)])


def drawn(axes: Axes) -> list[NDArray[np.float64]]:
    """Return the heights of the lines of a panel, without those of the legend."""
    heights = [np.asarray(line.get_ydata(), float) for line in axes.lines]
    return [line for line in heights if len(line)]


def test_a_panel_for_each_attack_and_training_and_a_line_for_each_network() -> None:
    figure = ch06.errors(VALUES, PUBLISHED)
    panels = {axes.get_title(): axes for axes in figure.axes}
    assert len(panels) == 8
    lines = {title: len(drawn(axes)) for title, axes in panels.items()}
    assert lines["FGSM, mixed, full scale"] == 6
    assert lines["PGD, adversarial only, this run"] == 2
    assert figure.axes[-1].get_xlabel() == "filters that train (%)"
    assert figure.axes[0].get_ylabel() == "errors (%)"
    assert figure.axes[0].get_yscale() == "log"


def test_the_paper_is_marked_beside_the_full_scale_run_alone() -> None:
    figure = ch06.errors(VALUES, PUBLISHED)
    counts = {
        axes.get_title(): sum(np.size(marks.get_offsets()) for marks in axes.collections)
        for axes in figure.axes
    }
    assert {count > 0 for title, count in counts.items() if "full scale" in title} == {True}
    assert {count > 0 for title, count in counts.items() if "this run" in title} == {False}


def test_errors_are_drawn_and_not_accuracies() -> None:
    alone = VALUES[VALUES["run"] == "this run"]
    figure = ch06.errors(alone, PUBLISHED)
    assert len(figure.axes) == 4
    assert drawn(figure.axes[0])[0] == pytest.approx([1.0, 1.1, 2.0])
    worse = ch06.errors(alone.assign(value=0.5), PUBLISHED)
    assert drawn(worse.axes[0])[0] == pytest.approx(50)
