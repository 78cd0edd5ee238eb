"""What is compared does the same; what is written says what was measured."""

import os
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from lib.bench import suite as bench
from lib.bench import timing
from lib.site.cli import main
from lib.stages import models, splitting
from lib.stages.attacks import Attack

from .helpers import tiny_model, tiny_split, trained_weights

CHOICE = ((1, 5, 14), (0, 3, 20, 30))


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("LIB_CACHE", str(tmp_path / "cache"))


class TestTurns:
    def test_everything_runs_once_untimed_and_then_in_turn_from_another_start(self):
        calls = []
        ways = {name: lambda name=name: calls.append(name) for name in "abc"}
        seconds = timing.in_turn(ways, 3)
        assert "".join(calls) == "abc" + "abc" + "bca" + "cab"
        assert seconds.shape == (3, 3)
        assert (seconds > 0).all(axis=None)

    def test_what_one_way_leaves_is_undone_before_each_timing_of_another(self):
        calls = []
        ways = {name: lambda name=name: calls.append(name) for name in "ab"}
        seconds = timing.in_turn(ways, 2, before=lambda: (calls.append("-"), time.sleep(0.05)))
        assert "".join(calls) == "ab" + "-a-b" + "-b-a"
        assert (seconds < 0.05).all(axis=None)

    def test_ratios_are_those_within_a_round(self):
        # The second round was slow for both: the ratio is that of every round.
        seconds = pd.DataFrame({"one": [1.0, 10.0, 2.0], "other": [0.5, 5.0, 1.0]})
        rows = timing.ratios(seconds, "one").set_index("way")
        assert rows.loc["other", ["ratio", "low", "high"]].tolist() == [0.5, 0.5, 0.5]
        assert rows.loc["other", "seconds"] == 1.0
        assert rows.loc["one", "ratio"] == 1.0

    @pytest.mark.parametrize(
        ("goal", "reached"), [(0.6, "yes"), (0.5, "yes"), (0.45, "within the spread"), (0.3, "no")]
    )
    def test_a_goal_is_reached_by_the_median(self, goal, reached):
        seconds = pd.DataFrame({"one": [1.0] * 5, "other": [0.4, 0.4, 0.5, 0.9, 0.9]})
        comparison = timing.Comparison("step", "base", seconds, "one", {"other": goal})
        assert comparison.rows().set_index("way").loc["other", "reached"] == reached

    def test_a_fresh_process_has_the_environment_it_is_given(self):
        with timing.fresh_process(TF_NUM_INTRAOP_THREADS="7") as pool:
            assert pool.submit(os.getenv, "TF_NUM_INTRAOP_THREADS").result() == "7"
        assert os.environ.get("TF_NUM_INTRAOP_THREADS") != "7"


@pytest.fixture(scope="module")
def tuned():
    """Return a network and, for each way, its model after two steps."""
    original, split = tiny_model(dropout=0), tiny_split(32)
    models.make_repeatable(0)
    after = {}
    for way in ("parallel", "mask", "selective", bench.KERNELS_ONLY, "whole"):
        model = bench.fine_tuned_in(way, original, CHOICE)
        for _ in range(2):
            model.train_on_batch(split.images, split.labels)
        after[way] = model
    return original, after


class TestWaysToFineTune:
    def weights(self, tuned, way):
        original, after = tuned
        if way in ("parallel", "selective"):
            return splitting.merged_weights(after[way], original, CHOICE)
        if way == bench.KERNELS_ONLY:
            everything = tuple(tuple(range(n)) for n in models.conv_filters("shallow"))
            return splitting.merged_weights(after[way], original, everything)
        return after[way].get_weights()

    @pytest.mark.parametrize(
        ("one", "other"),
        [("mask", "parallel"), ("selective", "parallel"), ("whole", bench.KERNELS_ONLY)],
    )
    def test_they_do_the_same(self, tuned, one, other):
        for left, right in zip(self.weights(tuned, one), self.weights(tuned, other), strict=True):
            np.testing.assert_allclose(left, right, atol=1e-4)

    def test_a_mask_freezes_all_but_the_chosen_filters(self, tuned):
        before, after = trained_weights()[0], self.weights(tuned, "mask")[0]
        moved = {index for index in range(16) if (before[..., index] != after[..., index]).any()}
        assert moved == set(CHOICE[0])

    def test_the_whole_model_moves_everywhere(self, tuned):
        before, after = trained_weights()[0], self.weights(tuned, "whole")[0]
        assert all((before[..., index] != after[..., index]).any() for index in range(16))


@pytest.mark.parametrize("method", ["fgsm", "pgd"])
def test_the_libraries_craft_the_same_images(method):
    model, split = tiny_model(), tiny_split(16)
    attack = Attack(method, 0.2, steps=3, random_start=False)
    found = {name: run() for name, run in bench.crafters(model, attack, split).items()}
    assert set(found) == {"ours", "CleverHans", "Foolbox", "ART"}
    np.testing.assert_array_equal(found["Foolbox"], found["ours"])
    np.testing.assert_allclose(found["ART"], found["ours"], atol=1e-6)
    # The tutorial's call has no bounds, but it attacks the same images.
    assert np.abs(found["CleverHans"] - split.images).max() == pytest.approx(
        np.abs(found["ours"] - split.images).max(), abs=1e-6
    )


def test_a_sweep_repeats_no_training():
    processors = os.cpu_count()
    units = [
        unit
        for first in range(0, 5 * processors, processors)
        for unit in bench.sweep_units(bench.QUICK, first)
    ]
    assert len(set(units)) == len(units) == 5 * processors


def test_survivors_and_plain_attack_are_compared_on_the_same_images(monkeypatch):
    monkeypatch.setattr(bench, "_victim", lambda scale: (tiny_model(), tiny_split(32)))
    undefended, robust = bench.compare_survivors(bench.QUICK)
    assert undefended.images == robust.images == 32
    assert undefended.goals == {"survivors": 0.2}
    assert robust.goals == {"survivors": 1.0}


class TestRecord:
    def test_a_run_writes_what_was_measured_and_where(self, tmp_path):
        path = tmp_path / "bench.json"
        result = CliRunner().invoke(main, ["bench", "step", "--quick", "--output", str(path)])
        assert result.exit_code == 0, result.output
        assert "step: shallow, time relative to whole" in result.output
        record = bench.recorded(path)
        assert record["quick"] is True
        assert record["scale"]["rounds"] == 3
        assert record["machine"]["cores"] == os.cpu_count()
        ways = {row["way"]: row["ratio"] for row in record["rows"]}
        assert set(ways) == {"whole", "parallel", "mask", "selective", bench.KERNELS_ONLY}
        assert ways["whole"] == 1
        counts = {row["way"]: row["multiply_adds"] for row in record["counts"]}
        assert sum(counts["selective"].values()) < sum(counts["whole"].values())

    def test_no_record(self, tmp_path):
        assert bench.recorded(tmp_path / "bench.json") is None


def test_an_unknown_section_is_refused():
    result = CliRunner().invoke(main, ["bench", "stepp"])
    assert result.exit_code == 2
    assert "stepp: one of step, survivors, crafting, sweeps" in result.output


def test_help_needs_no_tensorflow():
    code = (
        "import sys; from click.testing import CliRunner; from lib.site.cli import main; "
        "result = CliRunner().invoke(main, ['bench', '--help']); "
        "assert result.exit_code == 0 and 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_machine_is_easy_to_measure():
    rates = bench.machine_rate(seconds=0.01)
    assert set(rates) == {"convolution", "matrix product"}
    assert all(rate > 1 for rate in rates.values())
