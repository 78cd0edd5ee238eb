"""Chapter 8: comparisons with their intervals, the paper's test beside attackers who adapt."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from lib.figures import ch08

JUDGED = pd.DataFrame(
    [
        (run, test, comparison, ahead, ahead - 0.02, ahead + 0.03)
        for run in ("full scale", "this run")
        for test, ahead in (("static", 0.0), ("worst case", -0.1), ("small radius", 0.2))
        for comparison in ("dominant \N{MINUS SIGN} random", "dominant \N{MINUS SIGN} undefended")
    ],
    columns=["run", "test", "comparison", "difference", "low", "high"],
)


def places(axes: Any) -> dict[str, list[float]]:
    """Return where the points of each test lie."""
    return {
        str(bars.get_label()): list(ahead)
        for bars in axes.containers
        if len(ahead := np.asarray(bars[0].get_xdata(), float))
    }


def test_each_run_has_the_static_test_beside_the_others() -> None:
    figure = ch08.contrasts(JUDGED, 0.01)
    assert [axes.get_title() for axes in figure.axes] == [
        *("static, full scale", "adaptive, full scale"),
        *("static, this run", "adaptive, this run"),
    ]
    assert places(figure.axes[0]) == {"static": [0, 0]}
    assert places(figure.axes[1]) == {"worst case": [-10, -10], "small radius": [20, 20]}
    assert figure.axes[2].get_xlabel() == "ahead by (points)"
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == list(JUDGED["comparison"].unique())[::-1]


def test_intervals_are_drawn_as_they_are() -> None:
    figure = ch08.contrasts(JUDGED, 0.01)
    bars: Any = figure.axes[1].containers[-1]
    low, high = bars[2][0].get_segments()[0][:, 0]
    assert (low, high) == pytest.approx((18, 23))


def test_what_is_left_out_of_the_frame_is_not_drawn() -> None:
    alone = JUDGED[(JUDGED["run"] == "this run") & (JUDGED["test"] == "static")]
    figure = ch08.contrasts(alone, 0.01)
    assert [axes.get_title() for axes in figure.axes] == ["static, this run"]
    assert set(places(figure.axes[0])) == {"static"}
