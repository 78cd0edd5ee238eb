"""Runs the solutions of exercises as they are printed, and measures how long that takes."""

import ast
import contextlib
import io
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lib.exercises import printed
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


def _names(source: str, context: type[ast.expr_context]) -> set[str]:
    tree = ast.parse(source)
    found = {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, context)
    }
    if context is ast.Store:
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                found |= {(each.asname or each.name).partition(".")[0] for each in node.names}
    return found


def needed(chapter: Chapter, code: str) -> list[str]:
    """Return the cells of a chapter that bind what some code needs, and what they need.

    A name is bound in one cell of a chapter, which makes this complete.
    """
    wanted, found = _names(code, ast.Load), []
    for cell in reversed([each for each in chapter.notebook.cells if each.cell_type == "code"]):
        if "parameters" in cell.metadata.get("tags", []) or _names(cell.source, ast.Store) & wanted:
            found.append(cell.source)
            wanted |= _names(cell.source, ast.Load)
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
    names: dict[str, Any] = {"__name__": "notebook"}
    for cell in needed(chapter, "\n".join(codes.values())):
        exec(cell, names)
        names |= {name: value for name, value in values.items() if name in chapter.parameters}
    exec("from lib import exercises\nexercises.quiet()", names)
    for number, code in codes.items():
        said, started = io.StringIO(), time.process_time()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            exec(code, names)
        yield Solved(number, time.process_time() - started, said.getvalue(), names)


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
    time = f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{max(1.0, seconds):.0f} s"
    return f"*Measured: {time} of one processor's time; less where the chapter's results are kept.*"
