"""Small results come with the book: found by what they are of, noted while a record is made."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lib.compute import cache, units


@dataclass(frozen=True)
class Experiment:
    seed: int = 0


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(units, "folder", lambda: tmp_path / "units")
    return tmp_path


@pytest.fixture
def notes(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that is recorded."""
    monkeypatch.setenv(units.NOTES, str(place / "notes"))
    return place / "notes"


def right(experiment: Experiment) -> np.ndarray:
    computed.append(experiment)
    return np.random.default_rng(experiment.seed).uniform(size=1003) < 0.5


right.__module__ = "lib.stages.data"  # whose code then determines it
computed: list[Experiment] = []
recalled = cache.cached(right)


def test_what_a_run_noted_needs_no_computation_elsewhere(
    place: Path, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = [recalled(Experiment(seed)) for seed in (0, 1)]
    path = place / "units" / "chapter.jsonl"
    units.keep(notes, path, whole=True)
    assert [*place.glob("notes*")] == [], "they have become part of the book"

    computed.clear()
    monkeypatch.delenv(units.NOTES)
    monkeypatch.setenv("LIB_CACHE", str(place / "another"))
    units._kept.cache_clear()
    for seed, expected in enumerate(first):
        np.testing.assert_array_equal(recalled(Experiment(seed)), expected)
    assert computed == []
    assert recalled(Experiment(2)).shape == (1003,) and computed == [Experiment(2)]


def test_other_code_computes_anew(
    place: Path, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recalled(Experiment(7))
    units.keep(notes, place / "units" / "chapter.jsonl", whole=True)
    units._kept.cache_clear()
    computed.clear()
    monkeypatch.setattr(cache.provenance, "running_digest", lambda *_: "changed")
    recalled(Experiment(7))
    assert computed == [Experiment(7)]


def test_a_run_that_stops_adds_and_one_that_ends_replaces(place: Path, notes: Path) -> None:
    path = place / "chapter.jsonl"

    def run(*keys: str, whole: bool) -> list[str]:
        for key in keys:
            units.note(key, "stage.function", key, 0.5)
        units.keep(notes, path, whole=whole)
        return [json.loads(line)["key"] for line in path.read_text().splitlines()]

    assert run("b", "a", "a", whole=True) == ["a", "b"]
    assert run("c", whole=False) == ["a", "b", "c"]
    assert run(whole=True) == ["a", "b", "c"], "a chapter that noted nothing changes nothing"
    assert run("b", whole=True) == ["b"]


def test_a_line_that_was_cut_off_costs_itself_alone(place: Path, notes: Path) -> None:
    units.note("a", "f", "a", [1, 2])
    with notes.open("a") as file:
        file.write('{"key": "b", "resu')
    path = place / "units" / "chapter.jsonl"
    units.keep(notes, path, whole=False)
    units._kept.cache_clear()
    assert units.find("a") == [1, 2] and units.find("b") is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace("0.25", "0.75"),
        lambda text: text.replace('"key": "a"', '"key": "other"'),
        lambda text: text.replace('"sum"', '"no sum"'),
        lambda text: f"<<<<<<< HEAD\n{text[:40]}\n=======\n",
        lambda text: "[]\n17\nnull\n",
    ],
    ids=["result", "key", "no sum", "conflict", "no objects"],
)
def test_what_is_damaged_is_computed_anew(
    place: Path, notes: Path, damage: Callable[[str], str]
) -> None:
    units.note("a", "f", "a", 0.25)
    path = place / "units" / "chapter.jsonl"
    units.keep(notes, path, whole=True)
    units._kept.cache_clear()
    assert units.find("a") == 0.25
    path.write_text(damage(path.read_text()))
    units._kept.cache_clear()
    assert units.find("a") is None and units.find("other") is None


@pytest.mark.parametrize(
    "result",
    [0.1 + 0.2, 3, {"clean": 0.97, "static": 1.0}, [{"top": [3, 1], "by_class": [[0], [1]]}], "a"],
)
def test_plain_values_come_back_equal(result: Any) -> None:
    text = units.encoded(result)
    assert text is not None and units._decoded(text) == result


@pytest.mark.parametrize("count", [1, 7, 8, 1000])
def test_verdicts_take_a_bit_each_and_come_back(count: int) -> None:
    verdict = np.random.default_rng(count).uniform(size=count) < 0.5
    text = units.encoded(verdict)
    assert text is not None and len(text) < count / 6 + 60
    np.testing.assert_array_equal(units._decoded(text), verdict)


@pytest.mark.parametrize(
    "result",
    [
        None,
        (1, 2),  # would come back as a list
        {1: 2},  # its keys as text
        np.ones(3, np.float32),
        [np.ones(3)],
        float("nan"),
        list(range(units.LARGEST)),
    ],
    ids=["nothing", "tuple", "numbers as keys", "array", "arrays", "not a number", "large"],
)
def test_what_would_not_come_back_equal_is_left_to_the_cache(result: Any) -> None:
    assert units.encoded(result) is None


def _add(path: str, key: str) -> None:
    os.environ[units.NOTES] = path
    for number in range(50):
        units.note(f"{key}{number}", "f", "e", "x" * 5000)


@pytest.mark.skipif(os.name == "nt", reason="Windows forks no process")
def test_processes_of_a_sweep_note_whole_lines(notes: Path) -> None:
    context = get_context("fork")
    writers = [context.Process(target=_add, args=(str(notes), key)) for key in "abc"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(units._lines(notes)) == 150


def test_nothing_is_noted_where_no_record_is_made(place: Path) -> None:
    recalled(Experiment(9))
    assert not [*place.rglob("notes*")]
