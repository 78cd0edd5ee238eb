"""Many experiments at once: in this process, in several, or on a cluster.

The numbers are the same in all three. What could make them differ: the number of TensorFlow's
threads, which decides in which order sums are added up, so that a unit on a cluster gets as many
as TensorFlow has in the process that starts the sweep (``TF_NUM_INTRAOP_THREADS``, else one a
processor); other code or versions on a worker, which then refuses; and other threads that draw
from a process's random generators, as Dask's do in its workers, so that units have a process
beside the worker to themselves. Processors of different kinds may still differ in the last digits.
"""

import gc
import os
import pickle
import platform
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeVar

import cloudpickle  # type: ignore[import-untyped]
from joblib import Parallel, delayed, parallel_config
from joblib.parallel import get_active_backend

from lib.compute import cache
from lib.compute.parameters import RefusedError

E = TypeVar("E")
R = TypeVar("R")

SECONDS_TO_CONNECT = 10

THREADS = "TF_NUM_INTRAOP_THREADS"
"""The variable from which TensorFlow takes the number of its threads when it starts."""

JOBS = "LIB_JOBS"
"""The variable in which the builder says how many chapters share the processors."""

_one_at_a_time = threading.Lock()  # a worker may be told to have several threads


class ClusterError(RuntimeError):
    """A cluster cannot be reached, or one of its workers cannot compute the same numbers."""


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threads() -> int:
    """Return how many threads TensorFlow gets: ``$TF_NUM_INTRAOP_THREADS``, else one a processor.

    Raises
    ------
    RefusedError
        The variable says no number, which TensorFlow would pass over.
    """
    named = os.environ.get(THREADS, "").strip()
    if not re.fullmatch("[0-9]{0,4}", named):
        raise RefusedError(
            f"{THREADS}: {named} is not allowed; it must be a whole number from 0 to 9999"
        )
    return int(named or 0) or _processors()


def fitting(each: int) -> int:
    """Return how many processes of so many threads fit: 1 or more."""
    return max(1, _processors() // (each * int(os.environ.get(JOBS) or 1)))


@lru_cache(maxsize=1)
def _end_with_parent() -> None:
    """End this process soon after the one that started it, even if that one is killed."""
    from ipykernel.parentpoller import ParentPollerUnix  # what ends a kernel without its builder

    if os.name != "nt":  # there nobody inherits a process
        ParentPollerUnix(os.getppid()).start()


def _here(number: int, function: Callable[[E], R], experiment: E, starter: int) -> tuple[int, R]:
    """Compute one unit on this machine; return its number with the result."""
    if os.getpid() != starter:
        _end_with_parent()
    return number, function(experiment)


@lru_cache(maxsize=1)
def _process(threads: int) -> "subprocess.Popen[bytes]":
    """Start the process beside a worker. It ends with the worker, which then leaves its input."""
    return subprocess.Popen(
        [sys.executable, "-c", "from lib.compute import sweeps; sweeps.serve()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, THREADS: str(threads)},
    )


def _on_worker(number: int, pickled: bytes, threads: int) -> tuple[int, Any]:
    """Have one unit computed beside a worker; return its number with the result."""
    with _one_at_a_time:
        process = _process(threads)
        assert process.stdin and process.stdout
        try:
            process.stdin.write(pickled)
            process.stdin.flush()
            succeeded, outcome = pickle.load(process.stdout)
        except (OSError, EOFError):
            _process.cache_clear()
            raise ClusterError(
                f"a unit's process on {platform.node()} ended with code {process.wait()}: "
                "see the log of the worker there"
            ) from None
    if not succeeded:
        raise outcome
    return number, outcome


def serve() -> None:
    """Compute the units that come in by standard input, until it ends."""
    _end_with_parent()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # for what the units print
    while True:
        try:
            function, experiment, key = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            if cache.key(function, experiment) != key:
                raise ClusterError(
                    f"{platform.node()} has other code or packages than this machine: install "
                    "the same checkout and requirements.txt there, and start the worker again"
                )
            answer = True, function(experiment)
        except Exception as error:
            answer = False, error
        answers.write(cloudpickle.dumps(answer))
        answers.flush()


@contextmanager
def _on(cluster: str) -> Iterator[None]:
    """Send what joblib runs to a Dask cluster; with an empty address, stay here."""
    if not cluster:
        with parallel_config(backend="loky"):
            yield
        return
    from distributed import Client  # slow to import, and few need it

    client, reason = None, ""
    try:
        client = Client(cluster, timeout=SECONDS_TO_CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:
        reason = str(error)
    if client is None:
        gc.collect()  # the half-made client: thrown away while another starts, both wait for ever
        raise ClusterError(
            f"no Dask scheduler answers at {cluster} ({reason}): start one with `dask scheduler`, "
            "or leave `cluster` empty to compute on this machine"
        )
    with client:
        if not client.ncores():
            cache.report(f"waiting for a worker to join {cluster}")
            client.wait_for_workers(1)
        with parallel_config(backend="dask", client=client):
            # joblib computes by itself what it takes for one job: it would not send a cluster
            # with one thread anything. More than one all mean the same, see pre_dispatch below.
            get_active_backend()[0].effective_n_jobs = lambda n_jobs: 2
            yield


def run(
    function: Callable[[E], R],
    experiments: Iterable[E],
    *,
    cluster: str = "",
    workers: int | None = None,
) -> list[R]:
    """Compute many experiments.

    Parameters
    ----------
    function
        Decorated with :func:`lib.compute.cache.cached`: finished units are kept, so that a sweep
        that is stopped goes on where it was.
    experiments
        One unit of work each. What several units need is computed by the first of them while
        the others wait, if they share a cache.
    cluster
        Address of a Dask scheduler, as ``tcp://host:8786``. Lost workers are replaced by the
        others. Empty: this machine.
    workers
        Processes on this machine; 1 is this process itself. By default as many as fit beside the
        chapters that run at once, at the number of threads above: one, unless
        ``TF_NUM_INTRAOP_THREADS`` says less than there are processors. (Two processes with one
        thread are no faster than one with two.)

    Returns
    -------
    list
        The results, in the order of the experiments.

    Raises
    ------
    ClusterError
        If no scheduler answers, or a worker has other code or packages.
    """
    units, each = list(experiments), threads()
    results: dict[int, Any] = {}
    tasks = [
        delayed(_on_worker)(
            number, cloudpickle.dumps((function, unit, cache.key(function, unit))), each
        )
        if cluster
        else delayed(_here)(number, function, unit, os.getpid())
        for number, unit in enumerate(units)
    ]
    with _on(cluster):
        parallel = Parallel(
            n_jobs=-1 if cluster else workers or fitting(each),
            return_as="generator_unordered",  # to say at once what has finished
            batch_size=1,  # a lost worker loses one unit
            pre_dispatch="all",  # workers that join later find something to do
        )
        started = time.perf_counter()
        for number, result in parallel(tasks):
            results[number] = result
            elapsed = time.perf_counter() - started
            cache.report(f"{len(results)} of {len(units)} units, {elapsed:.0f} s")
    return [results[number] for number in range(len(units))]
