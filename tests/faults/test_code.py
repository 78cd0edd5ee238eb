"""Code that changes while it runs, and settings of Keras outside the book: nothing stale, no word
of a number that was computed in another way."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from lib.compute import cache
from lib.stages import models

from ..conftest import ROOT
from .conftest import Shows

TOY = """\
from dataclasses import dataclass

from lib.evidence import factor


@dataclass(frozen=True)
class Unit:
    seed: int


def compute(unit):
    return factor.FACTOR * unit.seed
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Return a folder with a copy of the package, and two modules of its own in it."""
    shutil.copytree(ROOT / "lib", tmp_path / "lib", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "lib" / "evidence" / "toy.py").write_text(TOY)
    (tmp_path / "lib" / "evidence" / "factor.py").write_text("FACTOR = 2\n")
    return tmp_path


def python(package: Path, code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run code with the copy of the package."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=package,
        env={**os.environ, "LIB_CACHE": str(package / "cache"), "PYTHONPATH": "", **variables},
        capture_output=True,
        text=True,
        check=False,
    )


EDIT = """\
import os
later = os.stat('lib/evidence/{0}.py').st_mtime + 2
open('lib/evidence/{0}.py', 'w').write({1!r})
os.utime('lib/evidence/{0}.py', (later, later))
"""
"""Some seconds later: Python tells by whole ones whether what it compiled still holds."""

OTHER_FACTOR = EDIT.format("factor", "FACTOR = 3\n")


class TestCodeThatChanges:
    @pytest.mark.parametrize(
        ("file", "text"),
        [
            ("factor", "FACTOR = 3\n"),
            ("toy", TOY.replace("factor.FACTOR", "7")),
            ("toy", TOY + "\n# saved again\n"),
        ],
        ids=["what it imports", "itself", "a comment"],
    )
    def test_between_the_start_and_the_import_it_is_refused_by_name(
        self, package: Path, file: str, text: str, shows: Shows
    ) -> None:
        done = python(
            package,
            "from lib.compute import cache\n"
            + EDIT.format(file, text)
            + "from lib.evidence import toy\ncache.cached(toy.compute)(toy.Unit(1))",
        )
        said = done.stderr.strip().splitlines()[-1]
        shows(said)
        assert done.returncode == 1
        assert f"lib/evidence/{file}.py has changed since this process started" in said
        assert not list(package.rglob("output.pkl"))

    def test_after_the_import_what_runs_is_what_counts(self, package: Path, shows: Shows) -> None:
        use = "from lib.compute import cache\nfrom lib.evidence import toy\n"
        ask = "print(cache.cached(toy.compute)(toy.Unit({})))\n"
        done = python(package, use + ask.format(1) + OTHER_FACTOR + ask.format(5))
        assert done.stdout.split() == ["2", "10"], done.stderr
        # Stored as what the old code computed: the new one computes both.
        again = python(package, use + ask.format(1) + ask.format(5))
        assert again.stdout.split() == ["3", "15"], again.stderr
        back = EDIT.format("factor", "FACTOR = 2\n")
        third = python(package, back + use + ask.format(1) + ask.format(5))
        assert third.stdout.split() == ["2", "10"]
        assert third.stderr.count("from the cache") == 2
        shows("2, 10 of the old code, 3, 15 of the new one, and the old ones from the cache")

    def test_records_name_the_code_that_ran(self, package: Path, shows: Shows) -> None:
        done = python(
            package,
            "from lib.compute import provenance\nfrom lib.evidence import toy, records\n"
            "provenance.running_digest('evidence.toy')\n"
            "before = provenance.code_digest('evidence.toy')\n"
            + OTHER_FACTOR
            + "import pandas as pd\n"
            "records.save('table_04', pd.DataFrame({'value': [1]}), code='evidence.toy')\n"
            "print(before)",
            LIB_RESULTS=str(package / "results"),
        )
        assert done.returncode == 0, done.stderr
        origins = json.loads((package / "results" / "provenance.json").read_text())
        shows(f"code {origins['table_04']['code']}")
        assert origins["table_04"]["code"] == done.stdout.strip()

    def test_a_workers_process_that_outlives_a_change_refuses(
        self, package: Path, shows: Shows
    ) -> None:
        ask = (
            "import pickle, sys\nfrom lib.compute import cache\nfrom lib.evidence import toy\n"
            "unit = toy.Unit({})\n"
            "sys.stdout.buffer.write(pickle.dumps("
            "(toy.compute, unit, cache.key(toy.compute, unit))))"
        )

        def sent(seed: int) -> bytes:
            command = [sys.executable, "-c", ask.format(seed)]
            return subprocess.run(command, cwd=package, capture_output=True, check=True).stdout

        with subprocess.Popen(
            [sys.executable, "-c", "from lib.compute import sweeps; sweeps.serve()"],
            cwd=package,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdin and process.stdout

            def answer(question: bytes) -> tuple[bool, object]:
                process.stdin.write(question)
                process.stdin.flush()
                found: tuple[bool, object] = pickle.load(process.stdout)
                return found

            old = sent(1), sent(5)
            assert answer(old[0]) == (True, 2)
            (package / "lib" / "evidence" / "factor.py").write_text("FACTOR = 3\n")
            succeeded, error = answer(sent(1))
            assert not succeeded
            assert "other code or packages" in str(error)
            assert answer(old[1]) == (True, 10)  # whose sender has the old code, too
        shows(str(error))


KERAS = """\
from lib.stages import models
import keras
from lib.compute import provenance
print(keras.config.floatx(), keras.config.image_data_format(), keras.config.epsilon(),
      keras.config.max_epochs(), keras.layers.Dense(1).dtype_policy.name)
"""


@pytest.mark.parametrize(
    ("file", "variables"),
    [
        (
            {"floatx": "float64", "epsilon": 1e-3, "image_data_format": "channels_first"},
            {"KERAS_MAX_EPOCHS": "1"},
        ),
        ({"backend": "jax", "floatx": "float16"}, {}),
        ({}, {"KERAS_BACKEND": "torch", "KERAS_MAX_STEPS_PER_EPOCH": "1"}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_settings_of_keras_are_the_books(
    tmp_path: Path, file: dict[str, object], variables: dict[str, str], shows: Shows
) -> None:
    usual = {"floatx": "float32", "epsilon": 1e-7, "backend": "tensorflow"}
    usual["image_data_format"] = "channels_last"
    (tmp_path / "keras.json").write_text(json.dumps({**usual, **file}))
    done = python(ROOT, KERAS, KERAS_HOME=str(tmp_path), **variables)
    shows(done.stdout or done.stderr)
    assert done.stdout.split() == ["float32", "channels_last", "1e-07", "None", "float32"]


def test_another_backend_that_is_loaded_already_is_refused_in_one_line(
    tmp_path: Path, shows: Shows
) -> None:
    pretend = (
        "import sys, types\nkeras = types.ModuleType('keras')\n"
        "keras.config = types.SimpleNamespace(backend=lambda: 'jax')\n"
        "sys.modules['keras'] = keras\n"
    )
    done = python(ROOT, pretend + "from lib.stages import models")
    said = done.stderr.strip().splitlines()[-1]
    shows(said)
    assert "not on jax: the variable KERAS_BACKEND or the file keras.json" in said


def test_what_a_notebook_sets_of_keras_is_part_of_the_key(shows: Shows) -> None:
    training = models.Training("mnist-tiny", "shallow")

    def key() -> str:
        return cache.key(models.fit.__wrapped__, training)

    usual = key()
    try:
        keras.config.set_floatx("float64")
        in_double = key()
        keras.config.set_floatx("float32")
        keras.config.set_max_epochs(1)
        shortened = key()
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_max_epochs(None)
    shows(", ".join(found[:8] for found in (usual, in_double, shortened, key())))
    assert len({usual, in_double, shortened}) == 3
    assert key() == usual
