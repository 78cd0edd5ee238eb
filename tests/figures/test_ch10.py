"""The figures of chapter 10 draw what they are given."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import pytest

from lib.figures import ch10, style

mpl.use("agg")

WAYS = list(ch10.NAMES)


@pytest.fixture(autouse=True)
def our_style():
    with mpl.rc_context():
        style.use_style()
        yield
    plt.close("all")


def widths(axes):
    """Return the lengths of the bars, those of the first part first."""
    return [[bar.get_width() for bar in bars] for bars in axes.containers]


def counts(forward=1.0):
    rows = [
        (kind, way, part, value)
        for kind in ("operations", "memory")
        for way in WAYS
        for part, value in (("output", forward), ("gradients", 2.0))
    ]
    return pd.DataFrame(rows, columns=["kind", "way", "part", "value"])


def test_counts_are_stacked_bars_in_a_panel_a_kind():
    panels = ch10.counted(counts()).axes
    assert [axes.get_xlabel() for axes in panels] == ["operations", "memory"]
    assert widths(panels[0]) == [[1.0] * len(WAYS), [2.0] * len(WAYS)]
    labels = [label.get_text() for label in panels[0].get_yticklabels()]
    assert labels == list(ch10.NAMES.values())[::-1]  # the first one on top
    assert widths(ch10.counted(counts(forward=3.0)).axes[0])[0] == [3.0] * len(WAYS)


def times(runs=("full scale", "this run"), ratio=0.5):
    rows = [(way, run, ratio, ratio - 0.1, ratio + 0.2) for run in runs for way in WAYS]
    return pd.DataFrame(rows, columns=["way", "run", "cpu_ratio", "cpu_low", "cpu_high"])


@pytest.mark.parametrize("runs", [("full scale", "this run"), ("this run",)])
def test_step_times_have_a_mark_a_run_quartiles_and_what_counting_promises(runs):
    figure = ch10.step_time(times(runs), pd.Series(0.7, index=WAYS))
    (axes,) = figure.axes
    assert "CPU time" in axes.get_xlabel()
    assert len(axes.containers) == len(runs)
    marks, _, (spread,) = axes.containers[-1].lines
    assert list(marks.get_xdata()) == [0.5] * len(WAYS)
    assert [segment[:, 0].tolist() for segment in spread.get_segments()] == [
        pytest.approx([0.4, 0.7])
    ] * len(WAYS)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["operations", *runs] or labels == [*runs, "operations"]
    other = ch10.step_time(times(runs, ratio=0.9), pd.Series(0.7, index=WAYS))
    assert list(other.axes[0].containers[-1].lines[0].get_xdata()) == [0.9] * len(WAYS)


def test_a_curve_is_stretched_by_the_time_of_a_step():
    rows = [(share, epoch, epoch / 2) for share in (1.0, 0.1) for epoch in range(3)]
    curves = pd.DataFrame(rows, columns=["fraction", "epoch", "value"])
    step = pd.Series({"whole": 2.0, "selective": 1.0})
    left, right = ch10.epochs(curves, step, steps_an_epoch=10).axes
    assert (left.get_xlabel(), right.get_xlabel()) == ("epochs", "seconds of CPU time")
    assert left.get_ylabel() == "static validation accuracy (%)"
    assert [list(line.get_xdata()) for line in left.get_lines()] == [[0, 1, 2]] * 2
    assert [list(line.get_xdata()) for line in right.get_lines()] == [[0, 20, 40], [0, 10, 20]]


def bill(seconds=1.0, runs=("full scale", "this run")):
    rows = [
        (run, attack, way, part, seconds)
        for run in runs
        for attack in ("fgsm", "pgd")
        for way in WAYS
        for part in ("crafting", "tuning")
    ]
    return pd.DataFrame(rows, columns=["run", "attack", "way", "part", "seconds"])


@pytest.mark.parametrize("runs", [("full scale", "this run"), ("this run",)])
def test_bills_have_a_panel_for_each_run_and_attack(runs):
    panels = ch10.bills(bill(runs=runs)).axes
    titles = [axes.get_title() for axes in panels]
    assert titles == [f"{attack}, {run}" for run in runs for attack in ("FGSM", "PGD")]
    assert widths(panels[0]) == [[1.0] * len(WAYS)] * 2
    assert widths(ch10.bills(bill(4.0)).axes[0])[0] == [4.0] * len(WAYS)
