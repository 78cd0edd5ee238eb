"""Chapter 7: a mark for each attack, a line for each network, and where nothing was found."""

import numpy as np
import pandas as pd
import pytest

from lib.evidence import intervals
from lib.figures import ch07

NETWORKS = [("none", 1.0), ("fgsm", 1.0), ("fgsm", 0.1), ("pgd", 1.0), ("pgd", 0.1)]
RUNS = ("full scale", "this run")


def table(column: str, values: dict[object, float], name: str) -> pd.DataFrame:
    """Return a frame with the same values for each network and run."""
    return pd.DataFrame(
        [
            (run, *network, key, value)
            for run in RUNS
            for network in NETWORKS
            for key, value in values.items()
        ],
        columns=["run", "defence", "fraction", column, name],
    )


LADDER = table("rung", {"clean": 0.9, "static": 0.8, "pgd": 0.0}, "accuracy").assign(images=100)
CURVES = table("epsilon", {0.0: 1.0, 0.1: 0.5, 0.5: 0.1}, "accuracy")
NEAREST = table("image", {0: 0.0, 1: 1.0, 2: 2.0, 3: 3.0, 4: np.inf}, "distance")


class TestLadder:
    def test_a_panel_for_each_run_and_a_row_for_each_attack(self) -> None:
        figure = ch07.ladder(LADDER)
        assert [axes.get_title() for axes in figure.axes] == list(RUNS)
        first = figure.axes[0]
        assert [label.get_text() for label in first.get_yticklabels()] == ["clean", "static", "pgd"]
        assert first.get_ylim()[0] > first.get_ylim()[1]  # from the top down
        assert first.get_xlabel() == "read correctly (%)"
        names = [text.get_text() for text in figure.legends[0].get_texts()]
        assert names == ["undefended", "FGSM, whole", "FGSM, split", "PGD, whole", "PGD, split"]

    def test_marks_lie_at_the_accuracies_with_their_intervals(self) -> None:
        marks, _, (bars,) = ch07.ladder(LADDER).axes[0].containers[0]
        assert list(marks.get_xdata()) == [0.9, 0.8, 0.0]
        expected = intervals.wilson(0.9, 100)
        assert bars.get_segments()[0][:, 0] == pytest.approx([expected.low, expected.high])
        fewer = ch07.ladder(LADDER.assign(images=10)).axes[0].containers[0][2][0]
        assert np.ptp(fewer.get_segments()[0][:, 0]) > np.ptp(bars.get_segments()[0][:, 0])

    def test_the_split_network_has_hollow_marks(self) -> None:
        faces = [box[0].get_markerfacecolor() for box in ch07.ladder(LADDER).axes[0].containers]
        assert [face == "white" for face in faces] == [False, False, True, False, True]

    def test_a_rung_that_the_record_lacks_keeps_its_place(self) -> None:
        lacks = (LADDER["run"] == "full scale") & (LADDER["rung"] == "static")
        first = ch07.ladder(LADDER[~lacks]).axes[0]
        assert [label.get_text() for label in first.get_yticklabels()] == ["clean", "static", "pgd"]

    def test_one_run_alone_has_one_panel(self) -> None:
        alone = LADDER[(LADDER["run"] == "this run") & (LADDER["defence"] == "none")]
        (axes,) = ch07.ladder(alone).axes
        assert len(axes.containers) == 1


class TestCurves:
    def test_a_line_for_each_network_and_one_where_all_images_can_be_grey(self) -> None:
        figure = ch07.curves(CURVES)
        for axes in figure.axes:
            assert len(axes.lines) == len(NETWORKS) + 1
            assert list(axes.lines[-1].get_xdata()) == [0.5, 0.5]
        assert figure.axes[0].get_ylabel() == "read correctly (%)"

    def test_what_is_drawn_is_the_accuracy(self) -> None:
        assert list(ch07.curves(CURVES).axes[0].lines[0].get_ydata()) == [1.0, 0.5, 0.1]
        worse = CURVES.assign(accuracy=CURVES["accuracy"] / 2)
        assert list(ch07.curves(worse).axes[0].lines[0].get_ydata()) == [0.5, 0.25, 0.05]


class TestNearest:
    def test_misread_images_are_left_out_and_those_without_a_find_are_counted(self) -> None:
        axes = ch07.nearest(NEAREST).axes[0]
        medians = [line.get_xdata()[0] for line in axes.lines]
        assert medians == [2.5] * len(NETWORKS)
        assert [text.get_text() for text in axes.texts] == ["none: 1"] * len(NETWORKS)
        drawn = np.concatenate([dots.get_offsets()[:, 0] for dots in axes.collections])
        assert drawn.min() == 1
        assert drawn.max() == pytest.approx(3.3)  # the edge

    def test_where_all_are_found_nothing_is_counted(self) -> None:
        axes = ch07.nearest(NEAREST[np.isfinite(NEAREST["distance"])]).axes[0]
        assert not axes.texts
        assert axes.get_xlabel() == "L2 distance (pixels 0 to 1)"
