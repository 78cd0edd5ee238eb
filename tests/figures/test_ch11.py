"""Chapter 11: a line for each data set, and a mark for each network in every question."""

import numpy as np
import pandas as pd
import pytest

from lib.figures import ch11, style

CURVES = pd.DataFrame(
    [
        ("this run", dataset, epsilon, highest - epsilon)
        for dataset, highest in (("mnist", 1.0), ("fashion", 0.8))
        for epsilon in (0.1, 0.2, 0.3)
    ],
    columns=["run", "dataset", "epsilon", "value"],
)
ASKED = {"A. filters": ["first, held", "last, held"], "B. static": ["undefended", "dominant"]}
PICTURE = pd.DataFrame(
    [
        (run, question, dataset, what, model, place / 10, 0.1 if question[0] == "A" else np.nan)
        for run in ("full scale", "this run")
        for question, asked in ASKED.items()
        for dataset in ("mnist", "fashion")
        for model in ("base", "residual")
        for place, what in enumerate(asked, 3)
    ],
    columns=["run", "question", "dataset", "what", "model", "value", "chance"],
)


def test_radii_has_a_line_for_each_data_set_and_one_for_what_is_needed() -> None:
    figure = ch11.radii(CURVES, 0.5)
    (axes,) = figure.axes
    lines = [list(line.get_ydata()) for line in axes.lines]
    assert lines[0] == [0.5, 0.5]
    assert lines[1:3] == [pytest.approx([0.9, 0.8, 0.7]), pytest.approx([0.7, 0.6, 0.5])]
    assert axes.get_ylabel() == "validation images kept (%)"
    assert {"mnist", "fashion"} <= {text.get_text() for text in figure.legends[0].get_texts()}


def test_every_question_has_a_row_of_panels_and_every_data_set_a_column() -> None:
    figure = ch11.carries_over(PICTURE)
    assert [axes.get_title() for axes in figure.axes] == [
        f"{question}\n{dataset}, {run}"
        for run in ("full scale", "this run")
        for question in ASKED
        for dataset in ("mnist", "fashion")
    ]
    axes = figure.axes[2]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["dominant", "undefended"]
    marks = {line.get_label(): line for line in axes.lines}
    assert list(marks["residual"].get_xdata()) == pytest.approx([0.3, 0.4])
    assert list(marks["residual"].get_ydata()) == [1, 0]
    assert marks["residual"].get_marker() == style.MODEL_MARKERS["residual"]


def test_chance_is_drawn_where_there_is_any_and_named_once() -> None:
    figure = ch11.carries_over(PICTURE)
    drawn = [
        [line for line in axes.lines if line.get_marker() == "|" and len(line.get_xdata())]
        for axes in figure.axes[:4:2]
    ]
    assert [list(line.get_xdata()) for line in drawn[0]] == [[0.1, 0.1]] * 2
    assert not drawn[1]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["base", "by chance", "residual"]
