"""Figures of the chapter on targeted attacks: what they are given is what they show."""

from collections.abc import Iterator
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle

from lib.figures import ch03

NAMES = tuple("abcdefghij")
LOSSES = ("logits", "probabilities")


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


def pairs(**labels: str) -> pd.DataFrame:
    source, target = (~np.eye(10, dtype=bool)).nonzero()
    frame = pd.DataFrame({"source": source, "target": target}).assign(**labels)
    return frame.assign(value=(source + 10 * target) / 100)


def test_a_copy_is_titled_with_its_target_and_what_came_of_it() -> None:
    image, pushed = np.zeros((1, 28, 28, 1)), np.ones((9, 28, 28, 1))
    figure = ch03.nine_targets(image, pushed, range(1, 10), [1, 0, 3, 0, 0, 0, 0, 0, 8])
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[:4] == ["unchanged", "to 1: reached", "to 2: reads 0", "to 3: reached"]
    assert titles[-1] == "to 9: reads 8"
    named = ch03.nine_targets(image, pushed, range(1, 10), [1] * 9, NAMES)
    assert [axes.get_title() for axes in named.axes][1:3] == ["to b:\nreached", "to c:\nreads b"]
    assert [axes.images[0].get_array().mean() for axes in figure.axes] == [0, *[1] * 9]


def test_rates_have_a_panel_a_run_with_sources_in_rows() -> None:
    frames = [pairs(run="full scale"), pairs(run="this run").assign(value=0.5)]
    panels = [axes for axes in ch03.rates(pd.concat(frames)).axes if axes.get_title()]
    assert [axes.get_title() for axes in panels] == ["full scale", "this run"]
    assert panels[0].get_ylabel() == "source: the class shown"
    (named, *_) = ch03.rates(pairs(run="this run"), NAMES).axes
    assert [label.get_text() for label in named.get_yticklabels()] == [*NAMES]
    matrix = panels[0].collections[0].get_array().reshape(10, 10)
    assert matrix[2, 7] == pytest.approx(72)
    assert {axes.collections[0].get_clim() for axes in panels} == {(0, 100)}


def ticks(run: str, *reached: tuple[int, int]) -> pd.DataFrame:
    frame = pairs(run=run, attack="fgsm")
    cells = zip(frame["source"], frame["target"], strict=True)
    return frame.assign(value=[float(cell in reached) for cell in cells])


def test_ticks_are_counted_and_what_differs_from_the_paper_is_framed() -> None:
    frame = pd.concat([ticks("paper", (0, 1), (2, 3)), ticks("this run", (0, 1), (4, 5))])
    paper, ours = ch03.ticks(frame).axes
    assert paper.get_title() == "FGSM, paper: 2"
    assert ours.get_title() == "FGSM, this run: 2"
    assert {text.get_position() for text in ours.texts} == {(1, 0), (5, 4)}
    frames = [patch for patch in ours.patches if isinstance(patch, Rectangle)]
    assert {(round(box.get_x()), round(box.get_y())) for box in frames} == {(3, 2), (5, 4)}
    assert not paper.patches


def test_without_the_paper_nothing_is_framed() -> None:
    (axes,) = ch03.ticks(ticks("this run", (0, 1))).axes
    assert not axes.patches


def test_gradients_of_zero_stand_at_the_lower_edge() -> None:
    frame = pd.DataFrame({"loss on": LOSSES, "doubt": [0.1, 0.0], "size": [0.02, 0.0]})
    (axes,) = ch03.gradients(frame).axes
    points = axes.collections[0].get_offsets()
    assert points.tolist() == [[0.1, pytest.approx(0.02)], [1e-17, pytest.approx(1e-3)]]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert axes.get_ylabel() == "mean |gradient| (loss per pixel unit)"
    colors = [to_rgba(ch03.LOSS_COLORS[loss], 0.6) for loss in LOSSES]
    assert axes.collections[0].get_facecolors()[:, :3] == pytest.approx(np.array(colors)[:, :3])


@pytest.mark.parametrize("with_paper", [True, False])
def test_the_paper_stands_between_logits_and_probabilities(with_paper: bool) -> None:
    frames = [
        pairs(run=run, attack=attack, loss_input=loss)
        for run, attack, loss in product(("full scale", "this run"), ("fgsm", "pgd"), LOSSES)
    ]
    if with_paper:
        frames += [pairs(run="paper", attack=a, loss_input="paper") for a in ("fgsm", "pgd")]
    panels = [axes for axes in ch03.side_by_side(pd.concat(frames)).axes if axes.images]
    names = [axes.get_ylabel() for axes in panels if axes.get_ylabel()]
    expected = [
        f"{loss},\n{run}\nsource"
        for loss, run in zip(
            ("logits", "logits", "probabilities", "probabilities"),
            ("full scale", "this run", "this run", "full scale"),
            strict=True,
        )
    ]
    assert names == [*expected[:2], *["paper\nsource"] * with_paper, *expected[2:]]
    assert panels[0].images[0].get_array()[2, 7] == pytest.approx(72)


def ranked() -> pd.DataFrame:
    rows = product(("fgsm", "pgd"), LOSSES, ("full scale", "this run"), range(1, 10))
    frame = pd.DataFrame(rows, columns=["attack", "loss_input", "run", "rank"])
    frame["quantity"] = "reaches rank " + frame["rank"].astype(str)
    return frame.assign(value=np.linspace(0, 1, len(frame)))


def test_ranks_have_a_line_for_each_loss_and_run() -> None:
    other = ranked().iloc[:1].assign(quantity="untargeted accuracy", value=0.5)
    figure = ch03.ranks(pd.concat([ranked(), other]))
    assert [axes.get_title() for axes in figure.axes] == ["FGSM", "PGD"]
    assert {axes.get_xlabel() for axes in figure.axes} == {"rank of the target"}
    for axes, attack in zip(figure.axes, ("fgsm", "pgd"), strict=True):
        drawn = {line.get_label(): list(line.get_ydata()) for line in axes.lines}
        for line in axes.lines:
            loss, run = str(line.get_label()).split(", ")
            assert line.get_color() == ch03.LOSS_COLORS[loss]
            assert line.get_linestyle() == {"this run": "-", "full scale": "--"}[run]
        curves = ranked().query(f"attack == '{attack}'").groupby(["loss_input", "run"])
        assert drawn == {f"{loss}, {run}": list(rows["value"]) for (loss, run), rows in curves}


@pytest.mark.parametrize("published", [{}, {"fgsm": 0.2, "pgd": 0.4}])
def test_luck_has_two_histograms_and_the_papers_table(published: dict[str, float]) -> None:
    rows = product(("fgsm", "pgd"), LOSSES)
    frame = pd.DataFrame(rows, columns=["attack", "loss_input"]).assign(share=[0.1, 0.3, 0.5, 0.7])
    figure = ch03.luck(frame, published)
    assert [axes.get_ylabel() for axes in figure.axes] == ["draws (%)"] * 2
    lines = [line.get_xdata()[0] for axes in figure.axes for line in axes.lines]
    assert lines == list(published.values())
    for axes, shares in zip(figure.axes, ((0.1, 0.3), (0.5, 0.7)), strict=True):
        full = [bar for bar in axes.patches if bar.get_height() == 1]
        held = [
            bar.get_x() <= share <= bar.get_x() + bar.get_width()
            for bar, share in zip(full, shares, strict=True)
        ]
        assert held == [True, True]
