"""A sweep gives the same numbers here, in processes, and on a cluster that loses a worker."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest

from lib.compute import cache, sweeps

from .conftest import ROOT

THREADS_HERE = os.environ.get(sweeps.THREADS, "")
"""What TensorFlow reads when it starts in this process."""

Result = tuple[float, int]
"""A number, and the process that computed it."""


@dataclass(frozen=True)
class Unit:
    seed: int
    folder: str
    seconds: float = 0.0
    fails: bool = False


def draw(unit: Unit) -> Result:
    """Return a number and the process; leave a mark where tests see it.

    A mark is named after the seed and the parent process, which on a cluster is the worker.
    """
    Path(unit.folder, f"{unit.seed}-{os.getppid()}").touch()
    if unit.fails:
        raise KeyboardInterrupt
    # As in TensorFlow the seed is the process's: two units at the same time would share it.
    np.random.seed(unit.seed)  # noqa: NPY002
    time.sleep(unit.seconds)
    return float(np.random.rand(1000).sum()), os.getpid()  # noqa: NPY002


draw.__module__ = "lib.stages.data"  # results are stored with the code of a stage
cached_draw = cache.cached(draw)


def numbers(results: list[Result]) -> list[float]:
    return [number for number, _ in results]


@pytest.fixture(autouse=True)
def marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(sweeps.THREADS, "64")  # as many processors as most machines: one process
    monkeypatch.setattr(sweeps, "SECONDS_TO_CONNECT", 120)  # on a machine that is busy
    (tmp_path / "marks").mkdir()
    return tmp_path / "marks"


def units(marks: Path, count: int = 4, seconds: float = 0.0) -> list[Unit]:
    return [Unit(seed, str(marks), seconds) for seed in range(count)]


class Dask:
    """A process of a cluster on this machine, ready as soon as it has logged ``line``."""

    def __init__(self, line: str, *arguments: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dask", *arguments, "--no-dashboard"],
            cwd=ROOT,
            env={**os.environ, **environment},
            stderr=subprocess.PIPE,
            text=True,
        )
        log = self.process.stderr
        assert log
        found = (re.search(line, text) for text in log)
        self.found = next(match[0] for match in found if match)
        threading.Thread(target=log.read, daemon=True).start()  # a full pipe would stop it

    def kill(self) -> None:
        """Lose the machine: the process, and what it started."""
        if self.process.poll() is None:
            started = psutil.Process(self.process.pid).children(recursive=True)
            self.process.kill()
            for process in started:
                process.kill()
            self.process.wait()


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """Return the address of a real scheduler, which has no workers."""
    dask = Dask(r"tcp://\S+:\d+", "scheduler", "--host", "127.0.0.1", "--port", "0")
    yield dask.found
    dask.kill()


@pytest.fixture
def new_worker(scheduler: str, tmp_path: Path) -> Iterator[Callable[..., Dask]]:
    """Return a function that starts a worker of the cluster."""
    started = []

    def start(threads: int = 1, **environment: str) -> Dask:
        environment = {"LIB_CACHE": str(tmp_path / "cluster"), **environment}
        # Without a nanny, who would replace it, a worker that is killed stays dead.
        options = ("--no-nanny", "--nthreads", str(threads))
        started.append(Dask("Registered to", "worker", scheduler, *options, **environment))
        return started[-1]

    yield start
    for worker in started:
        worker.kill()


class TestHere:
    def test_results_are_in_order_and_computed_once_in_this_process(self, marks: Path) -> None:
        results = sweeps.run(cached_draw, units(marks))
        assert numbers(results) == numbers([draw(unit) for unit in units(marks)])
        assert {process for _, process in results} == {os.getpid()}
        for mark in marks.iterdir():
            mark.unlink()
        assert sweeps.run(cached_draw, units(marks)) == results
        assert not list(marks.iterdir())

    def test_what_finished_before_ctrl_c_is_kept(self, marks: Path) -> None:
        *finished, last = units(marks)
        with pytest.raises(KeyboardInterrupt):
            sweeps.run(cached_draw, [*finished, Unit(9, str(marks), fails=True), last])
        for mark in marks.iterdir():
            mark.unlink()
        sweeps.run(cached_draw, [*finished, last])
        assert [mark.name for mark in marks.iterdir()] == [f"{last.seed}-{os.getppid()}"]

    def test_says_how_far_it_is(self, marks: Path, capsys: pytest.CaptureFixture[str]) -> None:
        sweeps.run(cached_draw, units(marks, 2))
        lines = capsys.readouterr().err.splitlines()
        assert [line[:6] for line in lines if "units" in line] == ["1 of 2", "2 of 2"]

    def test_chapters_that_run_at_once_share_the_processors(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sweeps, "_processors", lambda: 8)
        monkeypatch.delenv(sweeps.JOBS, raising=False)
        assert [sweeps.fitting(threads) for threads in (1, 2, 8, 9)] == [8, 4, 1, 1]
        monkeypatch.setenv(sweeps.JOBS, "2")
        assert [sweeps.fitting(threads) for threads in (1, 2, 8, 9)] == [4, 2, 1, 1]

    def test_processes_give_the_same_numbers(self, marks: Path) -> None:
        results = sweeps.run(cached_draw, units(marks), workers=2)
        assert os.getpid() not in {process for _, process in results}
        assert numbers(results) == numbers(sweeps.run(draw, units(marks)))

    @pytest.mark.skipif(os.name == "nt", reason="there nobody inherits a process")
    def test_processes_end_with_the_one_that_started_them(self, marks: Path) -> None:
        """Also if that one is killed: two of a gigabyte each would wait for five minutes."""
        units = [f"Unit({seed}, {str(marks)!r}, 600)" for seed in range(2)]
        code = (
            "from lib.compute import sweeps\nfrom tests.test_sweeps import Unit, cached_draw\n"
            f"sweeps.run(cached_draw, [{', '.join(units)}], workers=2)"
        )
        with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) as process:
            until = time.monotonic() + 120
            while len([*marks.iterdir()]) < 2 and time.monotonic() < until:
                time.sleep(0.1)
            started = psutil.Process(process.pid).children(recursive=True)
            process.kill()
        assert len(started) >= 2
        _, alive = psutil.wait_procs(started, timeout=30)
        assert not alive


class TestCluster:
    def test_a_lost_worker_changes_nothing(
        self, marks: Path, scheduler: str, new_worker: Callable[..., Dask]
    ) -> None:
        victim, survivor = new_worker(), new_worker(threads=2)

        def lose_the_victim() -> None:
            of_victim = f"*-{victim.process.pid}"
            while len(list(marks.glob(of_victim))) < 2:
                time.sleep(0.01)
            victim.kill()
            lost.append(list(marks.glob(of_victim)))  # now that it begins no more

        lost: list[list[Path]] = []
        killer = threading.Thread(target=lose_the_victim)
        killer.start()
        results = sweeps.run(cached_draw, units(marks, 12, seconds=0.4), cluster=scheduler)
        killer.join()
        assert numbers(results) == numbers(sweeps.run(draw, units(marks, 12)))
        # The victim died in the middle of its last unit, which was begun a second time.
        begun_by_victim = {path.name.split("-")[0] for path in lost[0]}
        assert any((marks / f"{seed}-{survivor.process.pid}").exists() for seed in begun_by_victim)

    def test_training_gives_the_same_bits(
        self,
        scheduler: str,
        new_worker: Callable[..., Dask],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        from lib.stages import models  # not above, where every worker would import TensorFlow

        monkeypatch.setenv(sweeps.THREADS, THREADS_HERE)  # another number gives other last digits
        new_worker()
        training = models.Training("mnist-tiny", "shallow", max_epochs=1)
        here, there = (sweeps.run(models.fit, [training], cluster=at)[0] for at in ("", scheduler))
        assert list((tmp_path / "cluster").rglob("output.pkl"))  # not computed here twice
        for one, other in zip(here.weights, there.weights, strict=True):
            np.testing.assert_array_equal(one, other)

    def test_a_worker_with_other_code_refuses(
        self,
        marks: Path,
        scheduler: str,
        new_worker: Callable[..., Dask],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        new_worker()
        monkeypatch.setattr(cache, "key", lambda function, unit: "of this machine only")
        with pytest.raises(sweeps.ClusterError, match="other code or packages"):
            sweeps.run(draw, units(marks, 1), cluster=scheduler)


class TestNoCluster:
    def test_no_scheduler_is_one_clear_line(
        self, marks: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sweeps, "SECONDS_TO_CONNECT", 0.5)
        with pytest.raises(sweeps.ClusterError, match=r"tcp://127\.0\.0\.1:9 .*leave") as raised:
            sweeps.run(draw, units(marks), cluster="tcp://127.0.0.1:9")
        assert "\n" not in str(raised.value)

    @pytest.mark.parametrize("address", ["nowhere", "ftp://127.0.0.1:9"])
    def test_an_address_that_is_none(
        self, marks: Path, monkeypatch: pytest.MonkeyPatch, address: str
    ) -> None:
        monkeypatch.setattr(sweeps, "SECONDS_TO_CONNECT", 0.5)
        with pytest.raises(sweeps.ClusterError, match=f"at {address} "):
            sweeps.run(draw, units(marks), cluster=address)
