"""AutoAttack's own code: ported networks, its log, and what the book keeps of both.

It is an extra: what needs PyTorch is skipped without it.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from lib.evidence import records
from lib.site.cli import main

from .conftest import REAL_BOOK

MODELS = records.FULL_SCALE / "models"


def recorded() -> pd.DataFrame:
    rows = records.full_scale("autoattack")
    assert rows is not None
    return rows


def left_by_its_log(log: str) -> dict[str, int]:
    """Count from AutoAttack's own lines how many images withstand each attack."""
    part = r"initial accuracy: ([\d.]+)%|^(\S+) - \d+/\d+ - (\d+) out of (\d+) successfully"
    left: dict[str, int] = {}
    for _, attack, lost, of in re.findall(part, log, re.M):
        if attack:
            left[attack] = left.get(attack, 0) + int(of) - int(lost)
    return left


class TestRecord:
    def test_the_network_of_others_has_the_score_that_they_published(self) -> None:
        rows = recorded().query("network == 'published'")
        assert list(rows["attack"]) == ["clean", "apgd-ce"]
        assert list(rows["images"]) == [10_000, 4_000]
        assert ((rows["value"] - rows["published"]).abs() <= 0.003).all()

    def test_the_logs_say_what_the_record_says(self) -> None:
        judged = recorded().groupby("network")
        assert {"published", "hardened"} <= judged.groups.keys()
        for name, rows in judged:
            log = (MODELS / f"{name}.autoattack.log").read_text("utf-8")
            found = rows.set_index("attack").drop("clean")
            left = left_by_its_log(log)
            assert left.keys() == set(found.index)
            for attack, row in found.iterrows():
                assert left[str(attack)] == round(row["value"] * row["images"]), (name, attack)

    def test_attacks_take_in_turn_and_ported_networks_compute_the_same(self) -> None:
        for _, rows in recorded().groupby("network"):
            assert rows["value"].is_monotonic_decreasing
        assert recorded()["logits differ by"].max() < 1e-4

    def test_a_log_that_says_something_else_is_noticed(self) -> None:
        log = "initial accuracy: 90.00%\napgd-ce - 1/2 - 3 out of 10 successfully perturbed\n"
        log += "apgd-ce - 2/2 - 1 out of 5 successfully perturbed\n"
        assert left_by_its_log(log) == {"apgd-ce": 11}


def test_without_it_the_command_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyautoattack", None)
    found = CliRunner().invoke(main, ["autoattack"], obj=REAL_BOOK)
    assert found.exit_code == 2
    assert found.stderr.splitlines()[-1].endswith(": pip install -e '.[autoattack]'")


class TestPort:
    @pytest.fixture(autouse=True)
    def torch(self) -> None:
        pytest.importorskip("torch", reason="PyTorch is not installed")

    def test_the_papers_networks_compute_the_same_logits(self) -> None:
        from lib.autoattack import port
        from lib.stages import models

        images = np.random.default_rng(0).random((8, 28, 28, 1), np.float32)
        for name in models.ARCHITECTURES:
            model = models.build(name)
            assert port.largest_difference(model, port.ported(model), images) < 1e-5

    def test_what_it_does_not_know_is_refused_by_name(self) -> None:
        import keras

        from lib.autoattack import port
        from lib.compute.parameters import RefusedError
        from lib.stages import models

        with pytest.raises(RefusedError, match="residual: only a stack"):
            port.ported(models.build("residual"))
        for layer in (
            keras.layers.Conv2D(4, 3, activation="tanh", name="bent"),
            keras.layers.Conv2D(4, 4, padding="same", name="bent"),
            keras.layers.AveragePooling2D(2, name="bent"),
        ):
            with pytest.raises(RefusedError, match=r"bent: .* not ported"):
                port.ported(keras.Sequential([keras.Input((28, 28, 1)), layer]))

    def test_what_cannot_be_judged_is_refused_before_anything_is(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        pytest.importorskip("pyautoattack", reason="AutoAttack is not installed")
        from lib.autoattack import kept, suite
        from lib.compute.parameters import RefusedError
        from lib.stages import models

        monkeypatch.setenv("LIB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(suite, "check", lambda: pytest.fail("it began"))
        good, branched = tmp_path / "published.keras", tmp_path / "branched.keras"
        models.build("shallow").save(good)
        models.build("residual").save(branched)
        twice = [MODELS / "hardened.keras", good.rename(tmp_path / "hardened.keras")]
        models.build("shallow").save(good)
        for networks, said in (
            ([good], "another network is called published"),
            (twice, "another network is called hardened"),
            ([branched], "branched.keras: residual: only a stack"),
        ):
            with pytest.raises(RefusedError, match=said):
                list(kept.judge(networks, "mnist-tiny", 10, 0.3))

    def test_an_image_is_left_only_if_every_attack_before_left_it(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        pytest.importorskip("pyautoattack", reason="AutoAttack is not installed")
        from lib.autoattack import suite
        from lib.stages import submitted

        monkeypatch.setenv("LIB_CACHE", str(tmp_path))
        network = submitted.keep(MODELS / "hardened.keras")
        attacks = ("apgd-ce", "square")
        found = suite.score(network, "mnist-tiny", 12, 0.3, attacks, run=map)
        assert list(found.rows["attack"]) == ["clean", *attacks]
        assert found.rows["value"].is_monotonic_decreasing
        assert found.rows["value"].iloc[0] > 0.5
        left = left_by_its_log(found.log)
        assert left["apgd-ce"] == round(12 * found.rows["value"].iloc[1])
