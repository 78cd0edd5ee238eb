"""A result is computed once, shared by equal experiments, and never stale or damaged."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from lib.compute import cache, provenance, registered


@dataclass(frozen=True)
class Inner:
    epsilon: float = 0.3


@dataclass(frozen=True)
class Experiment:
    seed: int = 0
    name: str = "base"
    inner: Inner = field(default_factory=Inner)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LIB_CACHE", str(tmp_path))
    return tmp_path


def of_the_package(function):
    """Say that a function belongs to a stage, whose code then determines its results."""
    function.__module__ = "lib.stages.data"
    return function


@pytest.fixture
def calls():
    """Return the experiments that were computed, in order."""
    return []


@pytest.fixture
def draw(calls):
    """Return a cached function whose result differs each time that it is computed."""

    def draw(experiment):
        calls.append(experiment)
        return {"values": np.arange(1000.0) + len(calls), "experiment": str(experiment)}

    return cache.cached(of_the_package(draw))


def stored_files(folder):
    return sorted(folder.rglob("output.pkl"))


class TestSharing:
    def test_an_experiment_is_computed_once(self, draw, calls):
        first, second = draw(Experiment()), draw(Experiment())
        assert calls == [Experiment()]
        np.testing.assert_array_equal(first["values"], second["values"])

    def test_results_outlive_the_function_object(self, draw, calls):
        draw(Experiment())
        again = cache.cached(of_the_package(draw.__wrapped__))
        assert again(Experiment())["values"][0] == 1
        assert len(calls) == 1

    def test_a_caller_cannot_change_what_is_stored(self, draw):
        draw(Experiment())["values"][:] = 0
        assert draw(Experiment())["values"][0] == 1

    @pytest.mark.parametrize(
        "other",
        [Experiment(seed=1), Experiment(name="dense"), Experiment(inner=Inner(0.1))],
        ids=["number", "text", "nested"],
    )
    def test_another_field_is_another_result(self, draw, calls, other):
        draw(Experiment())
        assert draw(other)["experiment"] == str(other)
        assert calls == [Experiment(), other]
        assert draw(Experiment())["values"][0] == 1  # and the first one is still there

    def test_who_needs_what_another_computes_waits_for_it(self, calls, monkeypatch):
        begun, waited = threading.Event(), threading.Event()

        def report(line):
            if line.startswith("computed elsewhere"):
                waited.set()

        def slow(experiment):
            calls.append(experiment)
            begun.set()
            assert waited.wait(60), "the other one does not wait"
            return len(calls)

        monkeypatch.setattr(cache, "report", report)
        stored = cache.cached(of_the_package(slow))
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(stored, Experiment())
            assert begun.wait(60)
            second = pool.submit(stored, Experiment())
            assert (first.result(), second.result()) == (1, 1)

    def test_a_failure_leaves_nobody_waiting(self, calls):
        def fail(experiment):
            raise ValueError(experiment.name)

        failing = cache.cached(of_the_package(fail))
        for _ in range(2):
            with pytest.raises(ValueError, match="base"):
                failing(Experiment())

    def test_two_functions_of_one_stage_do_not_share(self, draw):
        @cache.cached
        @of_the_package
        def count(experiment):
            return 7

        draw(Experiment())
        assert count(Experiment()) == 7

    def test_folders_do_not_share(self, draw, calls, tmp_path, monkeypatch):
        draw(Experiment())
        monkeypatch.setenv("LIB_CACHE", str(tmp_path / "elsewhere"))
        draw(Experiment())
        assert len(calls) == 2

    def test_the_default_folder_is_in_the_build_folder(self, monkeypatch):
        monkeypatch.delenv("LIB_CACHE")
        assert cache.folder().parts[-2:] == ("_build", "cache")

    def test_says_what_was_computed_and_what_was_recalled(self, draw, capsys):
        draw(Experiment())
        draw(Experiment())
        computed, recalled = capsys.readouterr().err.splitlines()
        assert computed.startswith("computed in")
        assert recalled.startswith("from the cache")
        assert computed.endswith(str(Experiment()))
        assert recalled.endswith(str(Experiment()))


class TestStale:
    def test_other_code_computes_again(self, draw, calls, monkeypatch):
        draw(Experiment())
        monkeypatch.setattr(provenance, "running_digest", lambda *modules: "0" * 16)
        draw(Experiment())
        assert len(calls) == 2

    def test_the_code_is_that_of_the_function_s_stage(self, draw, monkeypatch):
        asked = []
        monkeypatch.setattr(
            provenance, "running_digest", lambda *modules: str(asked.append(modules))
        )
        draw(Experiment())
        assert set(asked) == {("stages.data",)}

    def test_other_versions_compute_again(self, draw, calls, monkeypatch):
        draw(Experiment())
        monkeypatch.setattr(provenance, "versions", lambda *_: {"numpy": "0"})
        draw(Experiment())
        assert len(calls) == 2


class TestDamage:
    def damaged(self, draw, folder, damage):
        draw(Experiment())
        (path,) = stored_files(folder)
        path.write_bytes(damage(path.read_bytes()))

    @pytest.mark.parametrize(
        "damage",
        [
            lambda content: b"",
            lambda content: content[: len(content) // 2],
            lambda content: b"not a pickle" + content,
            lambda content: content[:-40] + bytes([content[-40] ^ 1]) + content[-39:],
        ],
        ids=["empty", "truncated", "garbage", "one bit"],
    )
    def test_a_damaged_result_is_computed_again(self, draw, calls, folder, damage):
        self.damaged(draw, folder, damage)
        assert draw(Experiment())["values"][0] == 2
        assert draw(Experiment())["values"][0] == 2  # and stored again, whole
        assert len(calls) == 2

    def test_other_results_survive(self, draw, calls, folder):
        draw(Experiment(seed=1))
        kept = stored_files(folder)
        draw(Experiment())
        (path,) = set(stored_files(folder)) - set(kept)
        path.write_bytes(b"")
        draw(Experiment())
        assert draw(Experiment(seed=1))["values"][0] == 1
        assert len(calls) == 3

    @pytest.mark.parametrize("error", [RuntimeError("out of memory"), KeyboardInterrupt()])
    def test_a_computation_that_fails_stores_nothing(self, folder, calls, error):
        @cache.cached
        @of_the_package
        def fail_once(experiment):
            calls.append(experiment)
            if len(calls) == 1:
                raise error
            return "whole"

        with pytest.raises(type(error)):
            fail_once(Experiment())
        assert not stored_files(folder)
        assert fail_once(Experiment()) == "whole"

    def test_a_result_that_cannot_be_written_whole_is_not_stored(self, folder, calls):
        class Unwritable:
            def __reduce__(self):
                raise OSError("no space left on device")

        @cache.cached
        @of_the_package
        def compute(experiment):
            calls.append(experiment)
            return [np.zeros(1000), Unwritable()]

        for _ in range(2):
            with pytest.warns(Warning, match="no space left on device"):
                assert isinstance(compute(Experiment())[1], Unwritable)
            assert not stored_files(folder)
        assert len(calls) == 2


class TestKey:
    def test_equal_values_have_equal_keys(self, draw):
        function = draw.__wrapped__
        twin = replace(Experiment(seed=5), seed=0)
        assert cache.key(function, twin) == cache.key(function, Experiment())

    def test_nested_fields_count(self, draw):
        keys = {
            cache.key(draw.__wrapped__, Experiment(inner=Inner(epsilon)))
            for epsilon in (0.1, 0.2, 0.3, 0.1 + 0.2)
        }
        assert len(keys) == 4


@dataclass(frozen=True)
class Named:
    """An experiment that names files."""

    dataset: str = "one"
    rung: str = "plain"


@dataclass(frozen=True)
class Holding:
    """One that holds others."""

    victims: tuple[Named, ...]


class TestWhatItNames:
    @pytest.fixture
    def package(self, tmp_path, monkeypatch):
        """Put two data sets and an attacker in the place of those of lib."""
        package = tmp_path / "lib"
        for path, source in {
            "stages/data": "CLASSES = 10\n",
            "stages/datasets/one": 'MD5 = "a"\n',
            "stages/datasets/two": 'ORDER = 1\nMD5 = "b"\n',
            "stages/attackers/plain": "STEPS = 1\n",
        }.items():
            (package / path).parent.mkdir(parents=True, exist_ok=True)
            (package / f"{path}.py").write_text(source)
        monkeypatch.setattr(provenance, "PACKAGE", package)
        monkeypatch.setattr(registered, "STAGES", package / "stages")
        self.forget()
        yield package
        self.forget()

    def forget(self):
        """Find out anew what a process finds out once."""
        for remembered in (registered.names, provenance.running_digest, provenance.versions):
            remembered.cache_clear()

    def keys(self, draw, *experiments):
        self.forget()
        return [cache.key(draw.__wrapped__, experiment) for experiment in experiments]

    @pytest.mark.parametrize("wrap", [lambda named: named, lambda named: Holding((named,))])
    def test_its_files_count_and_no_others(self, draw, package, wrap):
        experiments = wrap(Named()), wrap(Named("two"))
        before = self.keys(draw, *experiments)
        (package / "stages/datasets/two.py").write_text('ORDER = 1\nMD5 = "c"\n')
        (package / "stages/datasets/three.py").write_text('MD5 = "d"\n')
        after = self.keys(draw, *experiments)
        assert after[0] == before[0]
        assert after[1] != before[1]
        (package / "stages/attackers/plain.py").write_text("STEPS = 2\n")
        assert not set(after) & set(self.keys(draw, *experiments))

    def test_names_are_listed_in_the_order_that_the_files_say(self, package):
        (package / "stages/datasets/a_zero.py").write_text("ORDER = 0.5\n")
        (package / "stages/datasets/__init__.py").write_text("ORDER = 0\n")
        self.forget()
        assert registered.names("datasets") == ("a-zero", "two", "one")
