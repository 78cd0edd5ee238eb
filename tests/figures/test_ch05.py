"""Chapter 5: the split network in boxes, its learning curves, and what the split costs."""

from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from lib.figures import ch05

ROWS = [
    [("input", "plain")],
    [("conv1 dominant", "trainable"), ("conv1 frozen", "frozen")],
    [("joined", "plain")],
    [("logits", "trainable")],
]


def boxes(axes: Axes) -> list[Rectangle]:
    return [patch for patch in axes.patches if isinstance(patch, Rectangle)]


def test_the_diagram_has_a_box_for_each_layer_and_an_arrow_for_each_path() -> None:
    (axes,) = ch05.diagram(ROWS).axes
    texts = [text.get_text() for text in axes.texts]
    assert [text for text in texts if text] == [text for row in ROWS for text, _ in row]
    assert len(boxes(axes)) == 5
    assert texts.count("") == 5  # an arrow is an annotation without a text


def test_frozen_layers_are_dashed_and_no_others() -> None:
    (axes,) = ch05.diagram(ROWS).axes
    dashed = [box.get_linestyle() == "--" for box in boxes(axes)]
    assert dashed == [kind == "frozen" for row in ROWS for _, kind in row]


def test_what_is_no_kind_of_box_is_refused() -> None:
    with pytest.raises(KeyError):
        ch05.diagram([[("conv1", "thawed")]])


def test_a_split_layer_has_two_boxes_side_by_side_and_layers_without_weights_share_one() -> None:
    def layer(name: str, reads: str, count: int, *shape: int, trains: bool = True) -> Any:
        maps = {"input": SimpleNamespace(name=reads), "output": np.empty((1, *shape))}
        return SimpleNamespace(name=name, count_params=lambda: count, trainable=trains, **maps)

    layers = [
        layer("image", "", 0, 28, 28, 1),
        layer("conv1_dominant", "image", 40, 28, 28, 4),
        layer("conv1_frozen", "image", 280, 28, 28, 28, trains=False),
        layer("join", "maps", 0, 28, 28, 32),
        layer("pool", "joined", 0, 14, 14, 32),
        layer("logits", "pooled", 1_000, 10),
    ]
    assert ch05.boxes(SimpleNamespace(layers=layers)) == [
        [("image\n28 x 28 x 1", "plain")],
        [
            ("conv1 dominant\n40 parameters, trainable", "trainable"),
            ("conv1 frozen\n280 parameters, frozen", "frozen"),
        ],
        [("join, pool\n14 x 14 x 32", "plain")],
        [("logits\n1,000 parameters, trainable", "trainable")],
    ]


CURVES = pd.DataFrame(
    [
        (*arm, epoch, 0.1 * epoch + 0.2 * (arm[3] == 1))
        for arm in product(
            ["full scale", "this run"],
            ["fgsm", "pgd"],
            ["adversarial", "mixed"],
            [1.0, 0.1],
            ["clean", "static"],
        )
        for epoch in range(3)
    ],
    columns=["run", "attack", "training", "fraction", "test", "epoch", "value"],
)


def test_each_run_training_and_attack_has_a_panel_with_four_curves() -> None:
    figure = ch05.curves(CURVES)
    panels = {axes.get_title(): axes for axes in figure.axes}
    assert set(panels) == {
        f"{attack}, {training}, {run}"
        for attack in ("FGSM", "PGD")
        for training in ("adversarial only", "mixed")
        for run in ("full scale", "this run")
    }
    for axes in panels.values():
        heights = [np.asarray(line.get_ydata(), float) for line in axes.lines]
        assert sum(len(line) == 3 for line in heights) == 4
        assert axes.get_xlabel() == "epoch"
        assert axes.get_ylabel() == "accuracy (%)"
    (legend,) = figure.legends
    assert {"whole", "split", "clean"} <= {text.get_text() for text in legend.get_texts()}


def test_the_whole_network_is_solid_and_the_split_one_dashed() -> None:
    axes = ch05.curves(CURVES).axes[0]
    styles = {
        (round(float(np.asarray(line.get_ydata())[0]), 1), line.get_linestyle())
        for line in axes.lines
        if len(np.asarray(line.get_ydata())) == 3
    }
    assert styles == {(0.2, "-"), (0.0, "--")}


TRADEOFF = pd.DataFrame(
    [
        ("paper", attack, model, training, network, test, base + shift)
        for attack, model, training in product(
            ["fgsm", "pgd"], ["base", "dense"], ["adversarial", "mixed"]
        )
        for network, shift in (("whole", 0.0), ("split", -0.1))
        for test, base in (("clean", 0.9), ("static", 0.8))
    ],
    columns=["run", "attack", "model", "training", "network", "test", "value"],
)


def ends(frame: pd.DataFrame) -> list[tuple[float, float, object]]:
    """Return the marks of the first panel: clean, static, and their inner colour."""
    axes = ch05.tradeoff(frame).axes[0]
    return [
        (*np.round(np.ravel(line.get_data()), 3), line.get_markerfacecolor()) for line in axes.lines
    ]


def test_arrows_lead_from_the_hollow_whole_network_to_the_split_one() -> None:
    figure = ch05.tradeoff(TRADEOFF)
    assert [axes.get_title() for axes in figure.axes] == ["paper, FGSM", "paper, PGD"]
    assert figure.axes[0].get_xlabel() == "clean accuracy (%)"
    assert figure.axes[0].get_ylabel() == "static accuracy (%)"
    assert len(figure.axes[0].texts) == 4  # an arrow each
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names[:2] == ["base", "dense"]  # and no network that is not drawn
    marks = ends(TRADEOFF)
    assert {mark[:2] for mark in marks if mark[2] == "white"} == {(0.9, 0.8)}
    assert {mark[:2] for mark in marks if mark[2] != "white"} == {(0.8, 0.7)}


def test_another_accuracy_moves_its_mark() -> None:
    wrong = TRADEOFF.copy()
    wrong.loc[0, "value"] = 0.5  # FGSM, base, adversarial, whole, clean
    moved = set(ends(wrong)) - set(ends(TRADEOFF))
    assert [mark[:2] for mark in moved] == [(0.5, 0.8)]
