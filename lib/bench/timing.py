"""Times functions in turn, and says how they compare.

Other work on a machine slows down whatever runs just then. So what is compared runs in turn,
round after round, and what counts is the ratio within a round: its median, and its quartiles. The
time of the processors (CPU time) stands beside that of the clock: it counts what is computed,
not what is waited for, so that its ratio can be repeated on a busy machine.
"""

import os
import platform
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from importlib import metadata
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import psutil  # type: ignore[import-untyped]

PACKAGES = ("tensorflow", "keras", "numpy")
"""Whose versions a measurement holds for."""


class Seconds(NamedTuple):
    """Of the clock and of the processors: one row a round, one column a way to do the same."""

    wall: pd.DataFrame
    cpu: pd.DataFrame

    def __truediv__(self, count: int) -> "Seconds":
        """Return the seconds of one of so many repetitions."""
        return Seconds(self.wall / count, self.cpu / count)


def _cpu_of_children() -> float:
    children = psutil.Process().children(recursive=True)
    return float(sum(sum(child.cpu_times()[:2]) for child in children))


def in_turn(
    functions: Mapping[str, Callable[[], object]],
    rounds: int,
    before: Callable[[], object] = lambda: None,
) -> Seconds:
    """Time some functions in turn, each after a first run that is not timed.

    Parameters
    ----------
    functions
        By name.
    rounds
        How often each one is timed. Every round begins with another one.
    before
        Is run before each timing and not timed: it undoes what one leaves to the next.

    Returns
    -------
    Seconds
        The CPU time is that of this process, all its threads, and the processes it started.
    """
    for run in functions.values():
        run()
    wall: list[dict[str, float]] = []
    cpu: list[dict[str, float]] = []
    names = list(functions)
    for number in range(rounds):
        first = number % len(names)
        wall.append({})
        cpu.append({})
        for name in names[first:] + names[:first]:
            before()
            of_children = _cpu_of_children()
            spent, started = time.process_time(), time.perf_counter()
            functions[name]()
            wall[-1][name] = time.perf_counter() - started
            spent = time.process_time() - spent
            cpu[-1][name] = spent + _cpu_of_children() - of_children
    return Seconds(pd.DataFrame(wall, columns=names), pd.DataFrame(cpu, columns=names))


def ratios(seconds: Seconds, to: str) -> pd.DataFrame:
    """Return how long each way takes compared with one of them.

    Parameters
    ----------
    seconds
        From :func:`in_turn`.
    to
        The way whose ratio is 1.

    Returns
    -------
    pandas.DataFrame
        ``way`` and ``to``; ``seconds``, the median; ``ratio``, the median over the rounds of the
        ratio within a round; ``low`` and ``high``, its quartiles. The same of the CPU time:
        ``cpu_seconds``, ``cpu_ratio``, ``cpu_low`` and ``cpu_high``.
    """
    columns: dict[str, Any] = {"way": seconds.wall.columns, "to": to}
    for prefix, times in (("", seconds.wall), ("cpu_", seconds.cpu)):
        relative = times.div(times[to], axis=0)
        columns[f"{prefix}seconds"] = times.median().to_numpy()
        columns[f"{prefix}ratio"] = relative.median().to_numpy()
        columns[f"{prefix}low"] = relative.quantile(0.25).to_numpy()
        columns[f"{prefix}high"] = relative.quantile(0.75).to_numpy()
    return pd.DataFrame(columns)


def compared(
    section: str,
    case: str,
    seconds: Seconds,
    to: str,
    goals: Mapping[str, float] | None = None,
    images: int | None = None,
) -> pd.DataFrame:
    """Return the rows of the record for some ways to do the same.

    Parameters
    ----------
    section, case
        What is done.
    seconds, to
        As for :func:`ratios`.
    goals
        Largest ratio of its CPU time to that of ``to`` that a way should have.
    images
        How many images a run goes through, where a rate means something.
    """
    rows = ratios(seconds, to)
    rows.insert(0, "section", section)
    rows.insert(1, "case", case)
    if images is not None:
        rows["images_per_second"] = images / rows["seconds"]
    goal = rows["way"].map(goals or {}).astype(float)
    reached = np.where(rows["cpu_ratio"] <= goal, "yes", "no")
    return rows.assign(goal=goal, reached=np.where(goal.isna(), "", reached))


def in_words(rows: pd.DataFrame) -> str:
    """Return the rows of a comparison as lines for a terminal."""
    section, case, to = rows.loc[rows.index[0], ["section", "case", "to"]]
    shown = rows.drop(columns=["section", "case", "to"]).set_index("way")
    lines = shown.to_string(float_format="{:.4g}".format, na_rep="")
    return f"\n{section}: {case}, relative to {to}\n{lines}"


def _set(environment: dict[str, str]) -> None:
    os.environ.update(environment)


def fresh_process(**environment: str) -> ProcessPoolExecutor:
    """Return a process of its own for TensorFlow, whose threads are set before it starts."""
    return ProcessPoolExecutor(
        1, mp_context=get_context("spawn"), initializer=_set, initargs=(environment,)
    )


def machine() -> dict[str, Any]:
    """Describe the machine and what runs on it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": (names or [platform.processor()])[0],
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "threads": os.environ.get("TF_NUM_INTRAOP_THREADS", "default"),
        "load": round(os.getloadavg()[0], 2),
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
    }
