"""The tables of two runs side by side: of one chapter, or of all that both have."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
from bs4 import BeautifulSoup

from lib.compute.parameters import RefusedError, suggestion
from lib.site.book import DEFAULT_PRESET, Book
from lib.site.runner import Run
from lib.site.schema import declared

SITE = "site"
"""What the default preset's build is called here, beside its own name."""

LAB = "lab"
"""The copies that Jupyter opens, in a folder of this name."""

LONGEST_NAME = 120

NONE = "\N{EN DASH}"

Tables = Mapping[tuple[str, int], tuple[str, pd.DataFrame]]
"""By cell and place in it: the caption, and the cells as a reader sees them."""


def changes(run: Run) -> str:
    """Return what a run changes, as the end of a file's name; empty if it changes nothing."""
    preset = [] if run.preset == DEFAULT_PRESET else [run.preset]
    values = {
        name: ",".join(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in sorted(run.given.items())
    }
    parts = [*preset, *(f"{name}-{value}" for name, value in values.items())]
    name = "".join("-" + re.sub(r"[^\w.,+-]+", "_", part) for part in parts)
    if len(name) > LONGEST_NAME:
        name = name[:LONGEST_NAME] + "-" + hashlib.sha256(name.encode()).hexdigest()[:8]
    return name


def known(book: Book) -> dict[str, dict[str, Path]]:
    """Return the runs that there are: by name, the executed copy of each of their chapters."""
    found: dict[str, dict[str, Path]] = {}
    folders = [*sorted((book.build / "executed").glob("*")), book.build / LAB]
    for folder in folders:
        copies = {name: folder / f"{name}.ipynb" for name in book.chapters}
        found[folder.name] = {name: path for name, path in copies.items() if path.is_file()}
    if DEFAULT_PRESET in found:
        found[SITE] = found[DEFAULT_PRESET]
    for path in sorted((book.build / "run").glob("*.ipynb")):
        of = [name for name in book.chapters if f"{path.stem}-".startswith(f"{name}-")]
        if of:
            found[path.stem] = {of[0]: path}
    return {name: paths for name, paths in found.items() if paths}


def _named(book: Book, name: str) -> dict[str, Path]:
    runs = known(book)
    if name not in runs:
        raise RefusedError(
            f"{name}: no such run{suggestion(name, runs)} There are {', '.join(runs) or 'none yet'}"
        )
    return runs[name]


@dataclass(frozen=True)
class Executed:
    """What a chapter was run with, and the tables that it showed."""

    parameters: Mapping[str, Any]
    tables: Tables

    @classmethod
    def read(cls, path: Path) -> "Executed":
        """Read an executed chapter; parameters that no builder noted are those of its cell."""
        notebook = nbformat.read(path, as_version=4)
        noted = notebook.metadata.get("run", {}).get("parameters")
        if noted is None:
            lines = declared(notebook, path.name).values()
            noted = {line.name: line.validated(line.default) for line in lines}
        tables = {
            (cell.id, place): table
            for cell in notebook.cells
            for place, table in enumerate(_shown(cell.get("outputs", [])))
        }
        return cls(noted, tables)


def _shown(outputs: list[Any]) -> Iterator[tuple[str, pd.DataFrame]]:
    for output in outputs:
        html = BeautifulSoup(output.get("data", {}).get("text/html", ""), "html.parser")
        for table in html.find_all("table"):
            caption = table.caption.get_text(" ", strip=True) if table.caption else ""
            rows = [
                [cell.get_text(" ", strip=True) for cell in row.find_all(["th", "td"])]
                for row in table.find_all("tr")
            ]
            width = max(map(len, rows), default=0)
            head, *body = [row + [""] * (width - len(row)) for row in rows] or [[]]
            # Columns of one name are told apart by their places.
            names = [f"{name} {n}" if name in head[:n] else name for n, name in enumerate(head)]
            yield caption, pd.DataFrame(body, columns=names)


def beside(ours: pd.DataFrame, others: pd.DataFrame, names: tuple[str, str]) -> pd.DataFrame:
    """Return two tables as one: the columns that differ, each twice, beside what names a row.

    Rows belong together if their first columns agree, as many as it takes to tell rows apart.
    """
    shared = [column for column in ours if column in others]
    prefixes = (shared[:count] for count in range(1, len(shared) + 1))
    keys = next(
        (
            keys
            for keys in prefixes
            if not (ours.duplicated(keys).any() or others.duplicated(keys).any())
        ),
        None,
    )
    if keys is None:
        keys = ["row"]
        ours, others = (frame.assign(row=range(1, len(frame) + 1)) for frame in (ours, others))
    frame = pd.concat([ours[keys], others[keys]]).drop_duplicates(ignore_index=True)
    left, right = (frame.merge(part, on=keys, how="left") for part in (ours, others))
    for column in dict.fromkeys([*ours, *others]):
        if column in keys:
            continue
        columns = [part.get(column, pd.Series(NONE, frame.index)) for part in (left, right)]
        if not columns[0].equals(columns[1]):
            for name, values in zip(names, columns, strict=True):
                frame[f"{column}, {name}"] = values.fillna(NONE)
    return frame


def report(book: Book, names: tuple[str, str]) -> Iterator[str]:
    """Yield what two runs have that differs, chapter by chapter, as text.

    Parameters
    ----------
    book
        Whose ``_build`` holds the runs.
    names
        Two of :func:`known`.

    Raises
    ------
    RefusedError
        There is no such run, or the two have no chapter in common.
    """
    runs = [_named(book, name) for name in names]
    common = [chapter for chapter in runs[0] if chapter in runs[1]]
    if not common:
        raise RefusedError(
            f"{names[0]} has {', '.join(runs[0])} and {names[1]} has {', '.join(runs[1])}: "
            "they have no chapter in common"
        )
    for chapter in common:
        yield f"{chapter}: {names[0]} and {names[1]}"
        ours, others = (Executed.read(run[chapter]) for run in runs)
        for name in sorted({*ours.parameters, *others.parameters}):
            values = [run.parameters.get(name) for run in (ours, others)]
            if values[0] != values[1]:
                yield f"  {name}: {values[0]} and {values[1]}"
        same = 0
        for place in dict.fromkeys([*ours.tables, *others.tables]):
            pair = [run.tables.get(place) for run in (ours, others)]
            caption = next(table[0] for table in pair if table)
            if pair[0] is None or pair[1] is None:
                yield f"\n{caption or 'A table'}: only in {names[pair[0] is None]}"
            elif pair[0][1].equals(pair[1][1]):
                same += 1
            else:
                frame = beside(pair[0][1], pair[1][1], names)
                yield f"\n{caption}\n{frame.to_string(index=False)}"
        yield f"\n{same} tables are the same\n" if same else ""
