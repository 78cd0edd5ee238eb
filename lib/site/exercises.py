"""Runs the solutions of exercises as they are printed, and measures how long that takes."""

import contextlib
import io
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lib.exercises import printed
from lib.site import names
from lib.site.book import Chapter

SECONDS = "seconds.json"
"""A file beside the solutions: what they took under the default preset, by their numbers."""


class Solved(NamedTuple):
    """What came of a solution."""

    number: str
    seconds: float
    """Of processor time, after the chapter's cells that it needs have run."""
    said: str
    """What it printed, its warnings and progress too."""
    names: Mapping[str, Any]
    """Those of the notebook afterwards."""


def needed(chapter: Chapter, code: str) -> list[str]:
    """Return the cells of a chapter that bind what some code needs, and what they need.

    A name is bound in one cell of a chapter, which makes this complete.
    """
    wanted, found = names.used(code), []
    for cell in reversed([each for each in chapter.notebook.cells if each.cell_type == "code"]):
        plain = names.plain(cell.source)
        if "parameters" in cell.metadata.get("tags", []) or names.bound(plain) & wanted:
            found.append(plain)
            wanted |= names.used(plain)
    return found[::-1]


def printed_in(chapter: Chapter) -> Path | None:
    """Return the file with the solutions of a chapter, if it has any."""
    path = printed.FOLDER / f"{chapter.name}.md"
    return path if path.is_file() else None


def solve(chapter: Chapter, values: Mapping[str, Any]) -> Iterator[Solved]:
    """Run the solutions of a chapter, one after the other, in one notebook.

    Parameters
    ----------
    chapter
        Only those of its cells run that bind what the solutions need.
    values
        Parameters in place of the chapter's defaults.

    Yields
    ------
    Solved
        Each solution, as soon as it has run.
    """
    path = printed_in(chapter)
    solutions = printed.read(path) if path else {}
    codes = {number: printed.code(text) for number, text in solutions.items()}
    notebook: dict[str, Any] = {"__name__": "notebook"}
    for cell in needed(chapter, "\n".join(codes.values())):
        exec(cell, notebook)
        notebook |= {name: value for name, value in values.items() if name in chapter.parameters}
    exec("from lib import exercises\nexercises.quiet()", notebook)
    for number, code in codes.items():
        said, started = io.StringIO(), time.process_time()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            exec(code, notebook)
        yield Solved(number, time.process_time() - started, said.getvalue(), notebook)


def write(seconds: Mapping[str, float]) -> None:
    """Keep measured times of some solutions for the pages."""
    path = printed.FOLDER / SECONDS
    known = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    path.write_text(json.dumps({**known, **seconds}, indent=1) + "\n", "utf-8", newline="\n")


def took(folder: Path, number: str) -> str:
    """Say how long a solution was measured to run; nothing if it was not.

    Parameters
    ----------
    folder
        Where the record is.
    number
        Of the exercise.
    """
    try:
        seconds = float(json.loads((folder / SECONDS).read_text("utf-8"))[number])
    except (OSError, KeyError):
        return ""
    spent = f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{seconds:.0f} seconds"
    if seconds < 1.5:
        spent = "about a second" if seconds >= 0.5 else "less than a second"
    return (
        f"*Measured: {spent} of one processor's time; less where the chapter's results are kept.*"
    )
