"""Figures of the chapter on the model: what they are given is what they show."""

from collections.abc import Iterator
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from lib.figures import ch01
from lib.stages.datasets import fashion_mnist

NAMES = list(fashion_mnist.CLASS_NAMES)


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


def curves(*runs: str) -> pd.DataFrame:
    rows = product(runs, ("training", "validation"), ("accuracy", "loss"), (1, 2, 3))
    frame = pd.DataFrame(rows, columns=["run", "part", "quantity", "epoch"])
    return frame.assign(value=np.linspace(0.1, 0.9, len(frame)))


def test_classes_stand_in_a_column_each() -> None:
    images = np.repeat(np.arange(10) / 10, 2)[:, None, None, None] * np.ones((28, 28, 1))
    grid = ch01.classes(images, of_each=2)
    shown = [float(axes.images[0].get_array().mean()) for axes in grid.axes]
    assert shown == pytest.approx([*np.arange(10) / 10] * 2)
    assert not any(axes.get_title() for axes in grid.axes)
    named = ch01.classes(images, 2, NAMES)
    assert [axes.get_title() for axes in named.axes] == [*NAMES, *[""] * 10]


@pytest.mark.parametrize("runs", [("this run",), ("full scale", "this run")])
def test_training_has_a_row_a_run_and_a_line_a_part(runs: tuple[str, ...]) -> None:
    figure = ch01.training(curves(*runs))
    assert [axes.get_title() for axes in figure.axes] == [run for run in runs for _ in "ab"]
    labels = ["accuracy (%)", "cross-entropy (nats)"] * len(runs)
    assert [axes.get_ylabel() for axes in figure.axes] == labels
    first = curves(*runs).query(f"run == '{runs[0]}' and quantity == 'accuracy'")
    drawn = [list(line.get_ydata()) for line in figure.axes[0].lines if len(line.get_xdata())]
    assert drawn == [list(rows["value"]) for _, rows in first.groupby("part")]


def test_several_seeds_are_averaged() -> None:
    one = curves("this run")
    figure = ch01.training(pd.concat([one, one.assign(value=one["value"] + 0.1)]))
    line = figure.axes[0].lines[0]
    expected = one.query("part == 'training' and quantity == 'accuracy'")["value"] + 0.05
    assert list(line.get_ydata()) == pytest.approx(list(expected))


def test_confusions_are_counted_by_true_and_predicted_class() -> None:
    counts = pd.DataFrame(np.arange(100).reshape(10, 10))
    (axes, *_) = ch01.confusion(counts).axes
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("true class", "predicted class")
    assert sorted(int(text.get_text()) for text in axes.texts) == list(range(100))
    assert [label.get_text() for label in axes.get_xticklabels()] == list("0123456789")
    (named, *_) = ch01.confusion(counts, NAMES).axes
    for labels in (named.get_xticklabels(), named.get_yticklabels()):
        assert [label.get_text() for label in labels] == NAMES


def test_a_mistake_is_titled_with_truth_reading_and_confidence() -> None:
    readings = pd.DataFrame({"read": [5], "confidence": [0.754], "true": [3]})
    figure = ch01.mistakes(np.zeros((1, 28, 28, 1)), readings)
    assert figure.axes[0].get_title() == "3 → 5\n75%"
    named = ch01.mistakes(np.zeros((1, 28, 28, 1)), readings, NAMES)
    assert named.axes[0].get_title() == "Dress →\nSandal\n75%"


def test_no_mistake_draws_no_image() -> None:
    readings = pd.DataFrame({"true": [], "read": [], "confidence": []})
    assert not any(axes.images for axes in ch01.mistakes(np.zeros((0, 28, 28, 1)), readings).axes)


def test_filters_are_numbered_in_their_order() -> None:
    pictures = np.arange(9.0) * np.ones((5, 5, 1))
    figure = ch01.filters(pictures, limit=8)
    shown = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in shown] == [str(number) for number in range(9)]
    assert [float(axes.images[0].get_array().mean()) for axes in shown] == list(range(9))
    assert shown[0].images[0].get_clim() == (-8, 8)
