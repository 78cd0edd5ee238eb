"""Times functions in turn, and says how they compare.

Other work on a machine slows down whatever runs just then. So what is compared runs in turn,
round after round, and what counts is the ratio within a round: its median, and its quartiles.
"""

import os
import platform
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

COLUMNS = ["section", "case", "way", "to", "seconds", "ratio", "low", "high"]
COLUMNS += ["images_per_second", "goal", "reached"]
"""Of :meth:`Comparison.rows`; the rate only where it means something."""


@dataclass(frozen=True)
class Comparison:
    """Seconds of some ways to do the same, and what is asked of them.

    Attributes
    ----------
    section, case
        What is done.
    seconds
        One row a round, one column a way.
    to
        The way that the others are compared with.
    goals
        Largest ratio of its time to that of ``to`` that a way should have.
    images
        How many images a run goes through, where a rate means something.
    """

    section: str
    case: str
    seconds: pd.DataFrame
    to: str
    goals: Mapping[str, float] = field(default_factory=dict)
    images: int | None = None

    def rows(self) -> pd.DataFrame:
        """Return one row a way, with its ratio and, where there is one, its goal."""
        rows = ratios(self.seconds, self.to)
        rows.insert(0, "section", self.section)
        rows.insert(1, "case", self.case)
        rows.insert(3, "to", self.to)
        if self.images is not None:
            rows["images_per_second"] = self.images / rows["seconds"]
        rows["goal"] = rows["way"].map(self.goals).astype(float)
        rows["reached"] = [
            _reached(row["ratio"], row["low"], row["goal"]) for row in rows.to_dict("records")
        ]
        return rows


def _reached(ratio: float, low: float, goal: float) -> str:
    if np.isnan(goal):
        return ""
    return "yes" if ratio <= goal else "within the spread" if low <= goal else "no"


def in_turn(
    ways: Mapping[str, Callable[[], object]],
    rounds: int,
    before: Callable[[], object] = lambda: None,
) -> pd.DataFrame:
    """Time some functions in turn, each after a first run that is not timed.

    Parameters
    ----------
    ways
        Functions by name.
    rounds
        How often each one is timed. Every round begins with another one.
    before
        Is run before each timing and not timed: it undoes what one way leaves to the next.

    Returns
    -------
    pandas.DataFrame
        Seconds, one row a round, one column a way.
    """
    for run in ways.values():
        run()
    seconds: list[dict[str, float]] = []
    names = list(ways)
    for number in range(rounds):
        first = number % len(names)
        timed = {}
        for name in names[first:] + names[:first]:
            before()
            started = time.perf_counter()
            ways[name]()
            timed[name] = time.perf_counter() - started
        seconds.append(timed)
    return pd.DataFrame(seconds, columns=names)


def ratios(seconds: pd.DataFrame, to: str) -> pd.DataFrame:
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
        ``way``; ``seconds``, the median; ``ratio``, the median over the rounds of the ratio
        within a round; ``low`` and ``high``, its quartiles.
    """
    relative = seconds.div(seconds[to], axis=0)
    return pd.DataFrame(
        {
            "way": seconds.columns,
            "seconds": seconds.median().to_numpy(),
            "ratio": relative.median().to_numpy(),
            "low": relative.quantile(0.25).to_numpy(),
            "high": relative.quantile(0.75).to_numpy(),
        }
    )


def in_words(rows: pd.DataFrame) -> str:
    """Return the rows of a comparison as lines for a terminal."""
    first = rows.iloc[0]
    lines = [f"\n{first['section']}: {first['case']}, time relative to {first['to']}"]
    for row in rows.to_dict("records"):
        line = f"{row['way']:>40}  {row['ratio']:5.2f}  ({row['low']:.2f} to {row['high']:.2f})"
        line += f"  {1000 * row['seconds']:9.1f} ms"
        if "images_per_second" in row:
            line += f"  {row['images_per_second']:9.0f} images/s"
        if row["reached"]:
            line += f"   goal at most {row['goal']:g}: {row['reached']}"
        lines.append(line)
    return "\n".join(lines)


def _set(environment: dict[str, str]) -> None:
    os.environ.update(environment)


def fresh_process(**environment: str) -> ProcessPoolExecutor:
    """Return a process of its own for TensorFlow, whose threads are set before it starts."""
    return ProcessPoolExecutor(
        1, mp_context=get_context("spawn"), initializer=_set, initargs=(environment,)
    )


def machine() -> dict[str, Any]:
    """Describe the machine and what runs on it."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in ("tensorflow", "keras", "numpy")},
        "threads": {
            name: int(os.environ.get(f"TF_NUM_{name.upper()}_THREADS", 0)) or "default"
            for name in ("intraop", "interop")
        },
        "load": round(os.getloadavg()[0], 2),
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
