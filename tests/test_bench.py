"""What is compared does the same; what is written says what was measured."""

import os
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from lib.bench import costs, crafting, steps, timing, trainings
from lib.evidence import facts, records
from lib.site.cli import main
from lib.stages import models, splitting
from lib.stages.attacks import Attack

from .helpers import tiny_model, tiny_split, trained_weights

CHOICE = ((1, 5, 14), (0, 3, 20, 30))


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("LIB_CACHE", str(tmp_path / "cache"))
    for kind in ("INTRAOP", "INTEROP"):  # which the command sets, too
        monkeypatch.setenv(f"TF_NUM_{kind}_THREADS", "1")


def spin(seconds):
    """Compute for some CPU time."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


class TestTurns:
    def test_everything_runs_once_untimed_and_then_in_turn_from_another_start(self):
        calls = []
        functions = {name: lambda name=name: calls.append(name) for name in "abc"}
        seconds = timing.in_turn(functions, 3)
        assert "".join(calls) == "abc" + "abc" + "bca" + "cab"
        assert seconds.wall.shape == seconds.cpu.shape == (3, 3)
        assert (seconds.wall > 0).all(axis=None)

    def test_what_one_leaves_is_undone_before_each_timing_of_another(self, monkeypatch):
        # A clock that shows how many calls there were: no pause of this process counts.
        calls = []
        monkeypatch.setattr(timing.time, "perf_counter", lambda: len(calls))
        functions = {name: lambda name=name: calls.append(name) for name in "ab"}
        seconds = timing.in_turn(functions, 2, before=lambda: calls.append("-"))
        assert "".join(calls) == "ab" + "-a-b" + "-b-a"
        assert (seconds.wall == 1).all(axis=None)

    def test_what_is_waited_for_takes_time_and_no_cpu_time(self):
        functions = {"waits": lambda: time.sleep(0.1), "computes": lambda: spin(0.1)}
        seconds = timing.in_turn(functions, 2)
        assert (seconds.wall >= 0.099).all(axis=None)
        assert (seconds.cpu["computes"] >= 0.099).all()
        assert (seconds.cpu["waits"] < 0.05).all()

    def test_the_cpu_time_of_processes_counts(self):
        with timing.fresh_process() as pool:
            seconds = timing.in_turn({"there": lambda: pool.submit(spin, 0.3).result()}, 1)
        assert seconds.cpu["there"].item() > 0.25

    def test_ratios_are_those_within_a_round(self):
        # The second round was slow for both: the ratio is that of every round.
        wall = pd.DataFrame({"first": [1.0, 10.0, 2.0], "second": [0.5, 5.0, 1.0]})
        cpu = pd.DataFrame({"first": [1.0, 1.0, 2.0], "second": [0.2, 0.3, 0.6]})
        rows = timing.ratios(timing.Seconds(wall, cpu), "first").set_index("way")
        assert rows.loc["second", ["ratio", "low", "high"]].tolist() == [0.5, 0.5, 0.5]
        assert rows.loc["second", ["cpu_ratio", "cpu_low", "cpu_high"]].tolist() == [0.3, 0.25, 0.3]
        assert rows.loc["second", ["seconds", "cpu_seconds"]].tolist() == [1.0, 0.3]
        assert rows.loc["first", ["ratio", "cpu_ratio"]].tolist() == [1, 1]

    @pytest.mark.parametrize(("goal", "reached"), [(0.6, "yes"), (0.5, "yes"), (0.45, "no")])
    def test_a_goal_is_reached_by_the_median_of_cpu_time(self, goal, reached):
        cpu = pd.DataFrame({"first": [1.0] * 5, "second": [0.4, 0.4, 0.5, 0.9, 0.9]})
        seconds = timing.Seconds(cpu.assign(second=9.0), cpu)
        rows = timing.compared("step", "base", seconds, "first", {"second": goal}, images=3)
        row = rows.set_index("way").loc["second"]
        assert row["reached"] == reached
        assert row["images_per_second"] == 3 / 9

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
    for way in costs.WAYS:
        model = steps.fine_tuned_in(way, original, CHOICE)
        for _ in range(2):
            model.train_on_batch(split.images, split.labels)
        after[way] = model
    return original, after


class TestWaysToFineTune:
    def weights(self, tuned, way):
        original, after = tuned
        if way in steps.SPLIT:
            return splitting.merged_weights(after[way], original, CHOICE)
        if way == "selective, all filters":
            everything = costs.every_filter(original)
            return splitting.merged_weights(after[way], original, everything)
        return after[way].get_weights()

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            ("mask", "parallel"),
            ("gathered", "parallel"),
            ("selective", "parallel"),
            ("whole", "selective, all filters"),
        ],
    )
    def test_they_do_the_same(self, tuned, first, second):
        both = self.weights(tuned, first), self.weights(tuned, second)
        for left, right in zip(*both, strict=True):
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
    found = {name: run() for name, run in crafting.crafters(model, attack, split).items()}
    assert set(found) == {"ours", "CleverHans", "Foolbox", "ART"}
    np.testing.assert_array_equal(found["Foolbox"], found["ours"])
    np.testing.assert_allclose(found["ART"], found["ours"], atol=1e-6)
    # The tutorial's call has no bounds, but it attacks the same images.
    assert np.abs(found["CleverHans"] - split.images).max() == pytest.approx(
        np.abs(found["ours"] - split.images).max(), abs=1e-6
    )


def test_no_training_of_a_sweep_is_repeated(monkeypatch, tmp_path):
    """Else the second would come from the cache."""

    class Pool:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def submit(self, function, dataset, epochs, seeds):
            started.append(list(seeds))
            return self

        def result(self):
            pass

    started = []
    monkeypatch.setattr(trainings, "fresh_process", lambda **_: Pool())
    rows = trainings.compare_sweeps("mnist-tiny", 1, 2)
    processors = os.cpu_count()
    assert {len(seeds) for seeds in started} == {1, processors}
    seeds = [seed for some in started for seed in some]
    assert len(set(seeds)) == len(seeds) == 2 * 3 * processors
    assert len(rows) == 2


def test_survivors_and_plain_attack_are_compared_on_the_same_images():
    undefended, robust = crafting.compare_survivors(tiny_model(), tiny_split(32), 2, 1)
    for rows, goal in ((undefended, 0.2), (robust, 1.0)):
        rows = rows.set_index("way")
        np.testing.assert_allclose(rows["images_per_second"] * rows["seconds"], 32)
        assert rows.loc["survivors", "goal"] == goal


class TestRecord:
    def test_a_run_writes_what_was_measured_and_where(self, tmp_path, monkeypatch):
        path = tmp_path / "bench.json"
        result = CliRunner().invoke(main, ["bench", "step", "--quick", "--output", str(path)])
        assert result.exit_code == 0, result.output
        assert "step: shallow, relative to whole" in result.output
        monkeypatch.setattr(records, "BENCHMARK", path)
        record = records.benchmark()
        assert record["quick"] is True
        assert record["scale"]["rounds"] == 3
        assert record["machine"]["cores"] == os.cpu_count()
        assert record["machine"]["threads"] == "1"
        rows = facts.full_scale("bench").set_index(["section", "way"])
        for section, whole in zip(("step", "step, same kernel"), costs.WHOLE, strict=True):
            of_section = rows.loc[section]
            assert tuple(of_section.index) == costs.WAYS
            assert (of_section["to"] == whole).all()
            assert (of_section.loc[whole, ["ratio", "cpu_ratio"]] == 1).all()
            assert (of_section["cpu_low"] <= of_section["cpu_high"]).all()
        counts = pd.DataFrame(record["counts"]).query("kind == @costs.OPERATIONS")
        counts = counts.pivot_table("value", "way", "case", aggfunc="sum")["shallow"]
        assert counts["selective"] < counts["whole"]

    def test_no_record(self, tmp_path, monkeypatch):
        monkeypatch.setattr(records, "BENCHMARK", tmp_path / "bench.json")
        assert records.full_scale("bench") is None


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
