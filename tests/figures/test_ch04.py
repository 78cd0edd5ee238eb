"""Chapter 4: bars, heat maps and dots that show the filters they are given."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from lib.figures import ch04

PAIR = pd.DataFrame(
    {
        "layer": [1, 1, 1, 2, 2],
        "filter": [0, 1, 2, 0, 1],
        "change": [0.1, 0.4, 0.2, 0.3, 0.1],
        "top": [False, True, False, True, False],
    }
)


def test_the_top_of_a_pair_is_orange() -> None:
    figure = ch04.one_pair(PAIR)
    assert [len(axes.patches) for axes in figure.axes] == [3, 2]
    assert [bar.get_height() for bar in figure.axes[0].patches] == [0.1, 0.4, 0.2]
    colors = [to_rgb(bar.get_facecolor()) for bar in figure.axes[0].patches]
    assert colors[1] != colors[0] == colors[2]
    assert figure.axes[-1].get_xlabel() == "filter"
    assert figure.axes[0].get_ylabel() == "mean |change|"


SHARES = pd.DataFrame(
    [
        (run, layer, label, index, index / 4, index == 3, index == 2)
        for run in ("full scale", "this run")
        for layer in (1, 2)
        for label in range(10)
        for index in range(4)
    ],
    columns=["run", "layer", "class", "filter", "value", "own", "dominant"],
)


def test_chance_is_the_share_of_filters_that_are_dominant() -> None:
    figure = ch04.in_the_top(SHARES.query("layer == 1 and `class` == 0"))
    assert [axes.get_title() for axes in figure.axes] == ["full scale", "this run"]
    for axes in figure.axes:
        assert [bar.get_height() for bar in axes.patches] == [0, 0.25, 0.5, 0.75]
        assert list(axes.lines[0].get_ydata()) == [0.25, 0.25]
        assert axes.get_ylabel() == "pairs (%)"


def test_a_heat_map_has_a_row_for_each_class_and_marks_the_choices() -> None:
    figure = ch04.classes(SHARES)
    panels = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in panels][:2] == [
        "convolution 1, full scale",
        "convolution 2, full scale",
    ]
    assert len(panels) == 4
    for axes in panels:
        assert np.asarray(axes.images[0].get_array()).shape == (10, 4)
        own, together = axes.lines
        assert set(own.get_xdata()) == {3}
        assert list(own.get_ydata()) == list(range(10))
        assert list(together.get_xdata()) == [2]
        assert axes.get_ylabel() == "class"


def test_without_a_study_the_figure_says_so() -> None:
    (axes,) = ch04.classes(SHARES[:0]).axes
    assert "not measured" in axes.texts[0].get_text()


def test_each_picture_stands_under_its_title() -> None:
    pictures = {f"picture {number}": np.full((4, 4), number / 8) for number in range(8)}
    figure = ch04.where(pictures)
    assert [axes.get_title() for axes in figure.axes] == list(pictures)
    shown = [float(np.asarray(axes.images[0].get_array()).mean()) for axes in figure.axes]
    assert shown == [number / 8 for number in range(8)]


OVERLAP = pd.DataFrame(
    [
        (run, name, layer, index, 0.1, 0.2)
        for run, shift in (("full scale", 0.1), ("this run", 0.0))
        for layer in (1, 2)
        for name, index in (("classes", 0.8 + shift), ("radii", 0.5 + shift))
    ],
    columns=["run", "comparison", "layer", "jaccard", "chance_low", "chance_high"],
)


def indices(frame: pd.DataFrame) -> dict[object, list[float]]:
    """Return the indices that the first panel shows, by run."""
    axes = ch04.overlap(frame).axes[0]
    return {line.get_label(): list(line.get_xdata()) for line in axes.lines}


def test_both_runs_stand_beside_the_range_of_chance() -> None:
    figure = ch04.overlap(OVERLAP)
    assert [axes.get_title() for axes in figure.axes] == ["convolution 1", "convolution 2"]
    assert indices(OVERLAP) == {"this run": [0.8, 0.5], "full scale": [0.9, 0.6]}
    bars = figure.axes[0].patches
    assert [(bar.get_x(), bar.get_width()) for bar in bars] == [(0.1, 0.1)] * 2
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["classes", "radii"]
    assert figure.axes[0].get_xlabel() == "Jaccard index"


def test_a_run_without_a_record_is_drawn_alone() -> None:
    assert set(indices(OVERLAP.query("run == 'this run'"))) == {"this run"}


SIZE = pd.DataFrame(
    {
        "sum of |weights|": [1.0, 2.0, 3.0],
        "response to noise": [0.1, 0.2, 0.3],
        "change": [0.2, 0.1, 0.4],
        "dominant": [False, False, True],
    }
)


def test_dominant_filters_are_triangles_in_each_panel() -> None:
    figure = ch04.size(SIZE)
    assert [axes.get_xlabel() for axes in figure.axes] == [
        "sum of |weights|",
        "response to\nnoise",
    ]
    for axes, name in zip(figure.axes, ("sum of |weights|", "response to noise"), strict=True):
        rest, dominant = axes.lines
        assert dominant.get_marker() == "^"
        assert list(dominant.get_xdata()) == [SIZE[name].iloc[-1]]
        assert list(rest.get_ydata()) == [0.2, 0.1]
    assert figure.axes[0].get_ylabel() == "mean |change| under attack"


@pytest.mark.parametrize("draw", [ch04.one_pair, ch04.in_the_top])
def test_more_filters_give_more_bars(draw) -> None:  # type: ignore[no-untyped-def]
    frame = pd.concat([PAIR, PAIR]).rename(columns={"change": "value", "top": "dominant"})
    frame = frame.assign(run="this run", change=frame["value"], top=frame["dominant"])
    assert sum(len(axes.patches) for axes in draw(frame).axes) == 10


def test_classes_that_have_names_are_all_named_and_numerals_only_some() -> None:
    def named(*names: tuple[str, ...]) -> list[str]:
        labels = ch04.classes(SHARES, *names).axes[0].get_yticklabels()
        return [label.get_text() for label in labels]

    assert named() == ["0", "3", "6", "9"]
    words = tuple(f"class {letter}" for letter in "abcdefghij")
    assert named(words) == [*words]
