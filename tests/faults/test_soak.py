"""Twenty kills at random moments, and the book is what it would have been undisturbed.

Not among the tests of every day, as it takes about three times as long as the book itself:
``python -m pytest tests/faults -m soak``. ``SOAK_LOG`` names a file that says how far it is, and
``SOAK_CHAPTERS`` chooses some of the chapters.
"""

import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import psutil
import pytest

from ..conftest import ROOT
from .conftest import Shows

KILLS, SEED = 20, 20
SOON = 60.0
"""Seconds in which what a killed build has started must have ended by itself."""

SHARED_MEMORY = Path("/dev/shm")


@pytest.fixture
def short() -> Iterator[Path]:
    """Return a folder for temporary files; the names of sockets in it must not be too long."""
    folder = Path(tempfile.mkdtemp(prefix="soak-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


def say(text: str) -> None:
    if path := os.environ.get("SOAK_LOG"):
        with Path(path).open("a") as log:
            print(time.strftime("%H:%M:%S"), text, file=log)


def checkout(folder: Path) -> Path:
    """Copy all that a build needs: the code too, so that nobody changes it meanwhile."""
    left_out = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
    for name in ("book", "lib"):
        shutil.copytree(ROOT / name, folder / name, ignore=left_out)
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(ROOT / name, folder)
    return folder


def build(folder: Path, temporary: Path) -> "subprocess.Popen[bytes]":
    """Start to build, in a process group of its own."""
    unset = ("LIB_CACHE", "LIB_RESULTS", "PYTHONPATH")
    variables = {name: value for name, value in os.environ.items() if name not in unset}
    chapters = os.environ.get("SOAK_CHAPTERS", "").split()
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "lib", "build", "--preset", "smoke", *chapters],
            cwd=folder,
            env={**variables, "TMPDIR": str(temporary), "TF_NUM_INTRAOP_THREADS": "1"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def running_in(folder: Path) -> list[psutil.Process]:
    """Return the processes that a build in a folder has started, wherever they hang now."""
    found = []
    for process in psutil.process_iter(["cwd", "status"]):
        if process.info["status"] != psutil.STATUS_ZOMBIE:
            found += [process] if process.info["cwd"] == str(folder) else []
    return found


def ended_in(folder: Path) -> float:
    """Wait until nothing runs there; return the seconds that took."""
    since = time.monotonic()
    while left := running_in(folder):
        waited = time.monotonic() - since
        assert waited < SOON, [process.cmdline() for process in left]
        time.sleep(0.2)
    return time.monotonic() - since


def everyone(sign: signal.Signals) -> Callable[["subprocess.Popen[bytes]"], object]:
    return lambda build: os.killpg(build.pid, sign)


def kernels(build: "subprocess.Popen[bytes]") -> None:
    """Kill what the build has started, as the system does where memory is short.

    The build then ends by itself; before it has started anything, it is killed.
    """
    children = psutil.Process(build.pid).children()
    for process in children or [build]:
        process.kill()


def kernels_and_builder(build: "subprocess.Popen[bytes]") -> None:
    children = psutil.Process(build.pid).children(recursive=True)
    for process in [psutil.Process(build.pid), *children]:
        process.kill()


WAYS = {
    "SIGKILL": everyone(signal.SIGKILL),
    "SIGTERM": everyone(signal.SIGTERM),
    "SIGINT": everyone(signal.SIGINT),
    "SIGKILL to the kernels": kernels,
    "SIGKILL to kernels and builder": kernels_and_builder,
}


OF_THIS_MACHINE = re.compile(
    r"T_[0-9a-f]{12}"  # names a table by its contents
    r"|<tr>(?:(?!</tr>).)*>(?:step|bill|crafting|sweeps?), (?:(?!</tr>).)*</tr>",
    re.DOTALL,
)
"""What a page that reads other chapters' results says of the times that they measured."""


def shown(folder: Path) -> dict[str, str]:
    """Return what the build computed: its tables and what pages show, by a digest each.

    Without times, and without what goes to the log alone.
    """
    found = {}
    results = folder / "_build" / "results" / "smoke"
    for path in sorted(results.rglob("*.csv")):
        content = path.read_bytes()
        if b"seconds" not in content.split(b"\n", 1)[0]:
            found[path.name] = hashlib.sha256(content).hexdigest()
    for path in sorted((folder / "_build" / "executed" / "smoke").iterdir()):
        notebook = nbformat.read(path, as_version=4)
        if notebook.metadata.get("book", {}).get("measures_time"):
            continue
        for cell in notebook.cells:
            outputs = [out for out in cell.get("outputs", []) if out.get("name") != "stderr"]
            for number, output in enumerate(outputs):
                data = dict(output.get("data") or {"text": output.get("text")})
                if "text/html" in data:  # what stands beside it names a place in memory
                    data.pop("text/plain", None)
                content = OF_THIS_MACHINE.sub("", repr(sorted(data.items())))
                found[f"{path.stem} {cell.id} {number}"] = content
    pages = (folder / "_build" / "html").rglob("*.html")
    return found | {path.name: "rendered" for path in sorted(pages)}


def left_behind(folder: Path, temporary: Path) -> list[str]:
    """Return what is there of a build that is over, though it should not be."""
    made = folder / "_build"
    found = [*made.glob("rendering-*"), *(made / "unfinished").rglob("*.ipynb")]
    found += [*(made / "results").rglob(".*"), *temporary.iterdir()]
    return [str(path) for path in found]


@pytest.mark.soak
@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals to send")
def test_twenty_kills_change_no_number_and_leave_nothing(
    tmp_path: Path, short: Path, shows: Shows
) -> None:
    # Where tests run in the background it is ignored, and what they start inherits that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    undisturbed, killed = checkout(tmp_path / "undisturbed"), checkout(tmp_path / "killed")
    in_memory = set(SHARED_MEMORY.glob("*"))
    (short / "1").mkdir()
    (short / "2").mkdir()
    say(f"undisturbed, in {tmp_path}")
    started = time.monotonic()
    code = build(undisturbed, short / "1").wait()
    lasted = time.monotonic() - started
    say(f"undisturbed: code {code}, {lasted:.0f} s")
    assert code == 0, (undisturbed / "log").read_text()

    moments = random.Random(SEED)
    interrupted = 0
    for number in range(KILLS):
        way = [*WAYS][number % len(WAYS)]
        process = build(killed, short / "2")
        # On average half of this: all kills together last a little longer than the book.
        moment = moments.uniform(1, lasted / 8)
        try:
            code = process.wait(moment)
        except subprocess.TimeoutExpired:
            interrupted += 1
            WAYS[way](process)
            code = process.wait(SOON)
        # Every other time the next build meets what the one before has not yet tidied up.
        waited = f"all ended after {ended_in(killed):.1f} s" if number % 2 else "and on at once"
        say(f"kill {number + 1} of {KILLS}: {way} after {moment:.0f} s: code {code}, {waited}")

    code = build(killed, short / "2").wait()
    say(f"the build after them: code {code}")
    assert code == 0, (killed / "log").read_text()
    expected, found = shown(undisturbed), shown(killed)
    differ = [name for name in expected | found if expected.get(name) != found.get(name)]
    leftovers = left_behind(killed, short / "2")
    for folder in (undisturbed, killed):
        ended_in(folder)
    new = sorted(
        path.name for path in set(SHARED_MEMORY.glob("*")) - in_memory if _of_no_process(path)
    )
    say(f"{interrupted} interrupted, {len(expected)} outputs, differ: {differ}, left: {leftovers}")
    say(f"in shared memory of processes that ended: {new}")
    assert interrupted >= KILLS / 2
    assert not differ
    assert not leftovers
    assert not new
    shows(f"{interrupted} of {KILLS} killed at work; {len(expected)} outputs as undisturbed")


def _of_no_process(path: Path) -> bool:
    """Tell whether a name in shared memory has the number of a process that has ended."""
    numbers = [int(part) for part in path.name.replace("_", "-").split("-") if part.isdigit()]
    return not any(psutil.pid_exists(number) for number in numbers)
