"""Figures of the chapter on attacks: what they are given is what they show."""

from collections.abc import Iterator
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from lib.figures import ch02, style


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


def test_what_is_added_stands_above_the_result() -> None:
    images = np.stack([np.full((28, 28, 1), level) for level in (0.2, 0.3, 0.7)])
    figure = ch02.perturbations(images, [0, 0.1, 0.5], ["3", "3: 60%", "8"])
    above, below = figure.axes[:3], figure.axes[3:]
    assert [axes.get_title() for axes in above] == ["ε = 0", "ε = 0.1", "ε = 0.5"]
    assert [axes.get_title() for axes in below] == ["3", "3: 60%", "8"]
    added = [float(axes.images[0].get_array().mean()) for axes in above]
    assert added == pytest.approx([0, 0.1, 0.5])
    assert {axes.images[0].get_clim() for axes in above} == {(-0.5, 0.5)}
    assert {axes.images[0].get_clim() for axes in below} == {(0, 1)}


def climbs(*radii: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows = product(radii, ("from the image", "from a random point"), range(3))
    frame = pd.DataFrame(rows, columns=["epsilon", "PGD", "step"])
    frame["accuracy"], frame["loss"] = np.linspace(1, 0, len(frame)), np.arange(len(frame))
    fgsm = pd.DataFrame({"epsilon": radii, "accuracy": 0.25, "loss": np.arange(len(radii)) + 0.5})
    return frame, fgsm


@pytest.mark.parametrize("radii", [(0.3,), (0.1, 0.3)])
def test_steps_have_a_column_a_radius_and_fgsm_as_a_dashed_line(radii: tuple[float, ...]) -> None:
    frame, fgsm = climbs(*radii)
    figure = ch02.steps(frame, fgsm)
    assert len(figure.axes) == 2 * len(radii)
    above, below = figure.axes[: len(radii)], figure.axes[len(radii) :]
    assert [axes.get_title() for axes in above] == [f"epsilon {radius:g}" for radius in radii]
    assert above[0].get_ylabel() == "accuracy (%)"
    assert below[0].get_ylabel() == "cross-entropy (nats)"
    assert {axes.get_xlabel() for axes in below} == {"PGD steps"}
    dashed = [line for axes in below for line in axes.lines if line.get_linestyle() == "--"]
    assert [line.get_ydata()[0] for line in dashed] == list(fgsm["loss"])
    climbed = [list(line.get_ydata()) for line in below[0].lines[:2]]
    assert climbed == [[0, 1, 2], [3, 4, 5]]
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["from the image", "from a random point", "FGSM, one step"]


def swept(*runs: str) -> pd.DataFrame:
    rows = product(("fgsm", "pgd"), ("shallow", "base", "dense"), (0.0, 0.1, 0.3), runs)
    frame = pd.DataFrame(rows, columns=["attack", "model", "epsilon", "run"])
    return frame.assign(value=np.linspace(0, 1, len(frame)))


def test_the_sweep_has_a_line_for_each_network_and_run() -> None:
    runs = ("paper", "full scale", "this run")
    figure = ch02.sweep(swept(*runs))
    assert [axes.get_title() for axes in figure.axes] == ["FGSM", "PGD"]
    assert {axes.get_xlabel() for axes in figure.axes} == {"epsilon (pixel units)"}
    for axes, attack in zip(figure.axes, ("fgsm", "pgd"), strict=True):
        drawn = {(line.get_color(), line.get_linestyle()): line for line in axes.lines}
        assert len(drawn) == 9
        looks = {"this run": "-", "full scale": ":", "paper": "None"}
        for (run, mark), model in product(looks.items(), ("shallow", "base", "dense")):
            curve = swept(*runs).query(
                f"attack == '{attack}' and run == '{run}' and model == '{model}'"
            )
            line = drawn[style.MODEL_COLORS[model], mark]
            assert list(line.get_ydata()) == list(curve["value"])
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()][-3:] == [*runs][::-1]


def test_a_run_alone_has_its_lines_alone() -> None:
    figure = ch02.sweep(swept("this run"))
    assert [len(axes.lines) for axes in figure.axes] == [3, 3]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["shallow", "base", "dense", "this run"]


def test_the_budget_shows_change_loss_and_accuracy_and_where_the_steps_end() -> None:
    rows = product(("from the image", "from a random point"), (0.2, 0.6))
    frame = pd.DataFrame(rows, columns=["PGD", "epsilon"])
    frame = frame.assign(change=[1, 2, 3, 4], loss=[5, 6, 7, 8], accuracy=[0.4, 0.3, 0.2, 0.1])
    figure = ch02.budget(frame, reach=0.4)
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert labels == ["largest change (pixel units)", "cross-entropy (nats)", "accuracy (%)"]
    for axes, name in zip(figure.axes, ("change", "loss", "accuracy"), strict=True):
        curves = [list(line.get_ydata()) for line in axes.lines[:2]]
        assert curves == [list(part[name]) for _, part in frame.groupby("PGD", sort=False)]
        (dotted,) = (line for line in axes.lines if list(line.get_xdata()) == [0.4, 0.4])
        assert dotted.get_linestyle() == ":"
