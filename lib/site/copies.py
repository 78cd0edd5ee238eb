"""Copies of the chapters for Jupyter: edits leave the sources, which the build reads, alone."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from lib.compute.parameters import RefusedError
from lib.site.book import Book
from lib.site.compare import LAB


def _sum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def update(book: Book) -> Iterator[str]:
    """Copy the chapters to ``_build/lab``, and yield a line for each copy that is left alone.

    A copy that is as it was made is replaced when its chapter has changed; one that somebody has
    edited or run never is.
    """
    folder = book.build / LAB
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / ".copied.json"
    made = json.loads(note.read_text("utf-8")) if note.is_file() else {}
    for chapter in book.chapters.values():
        copy, source = folder / chapter.path.name, _sum(chapter.path)
        if copy.is_file() and _sum(copy) not in (made.get(copy.name), source):
            older = source != made.get(copy.name)
            yield f"{copy}: yours, left as it is" + (
                "; the chapter has changed since: rename your copy to get it" if older else ""
            )
            continue
        copy.write_bytes(chapter.path.read_bytes())
        made[copy.name] = source
        note.write_text(json.dumps(made, indent=2), "utf-8")


def open_jupyter(book: Book, options: Sequence[str]) -> int:
    """Open JupyterLab at the copies, until it is stopped; return its exit status.

    Parameters
    ----------
    book
        Its ``_build/results/lab`` gets the numbers that the chapters record.
    options
        For JupyterLab, as ``--no-browser``.

    Raises
    ------
    RefusedError
        JupyterLab is not installed.
    """
    if find_spec("jupyterlab") is None:
        raise RefusedError("JupyterLab is not installed: `make lab` does that")
    first = next(iter(book.chapters), "")
    command = [
        *(sys.executable, "-m", "jupyterlab"),
        f"--ServerApp.root_dir={(book.build / LAB).absolute()}",
        f"--LabApp.default_url=/lab/tree/{first}.ipynb",
        *options,
    ]
    results = book.build / "results" / LAB
    return subprocess.run(command, env={**os.environ, "LIB_RESULTS": str(results)}).returncode
