"""Chapters read like a paper: small cells, sentences by people, names with one meaning."""

import ast
import statistics
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest

from lib.site import names

from .conftest import REAL_BOOK

CHAPTERS = sorted(REAL_BOOK.source.glob("*.ipynb"))
LONGEST_CELL, MEDIAN_CELL, ALL_LINES = 25, 8, 4_500

each_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    cells = nbformat.read(path, as_version=4).cells
    return [cell for cell in cells if cell.cell_type == "code"]


def tags(cell: nbformat.NotebookNode) -> list[str]:
    return list(cell.metadata.get("tags", []))


def lines(path: Path) -> list[int]:
    cells = (cell for cell in code_cells(path) if "parameters" not in tags(cell))
    return [len(cell.source.splitlines()) for cell in cells]


@each_chapter
def test_no_cell_is_longer_than_a_screen(path: Path) -> None:
    assert max(lines(path)) <= LONGEST_CELL


@each_chapter
def test_no_cell_writes_sentences(path: Path) -> None:
    for cell in code_cells(path):
        assert "Markdown(" not in cell.source, cell.id


@each_chapter
def test_a_name_is_bound_in_one_cell(path: Path) -> None:
    """So that a cell can be run again, whatever was run since."""
    places: dict[str, set[str]] = {}
    for cell in code_cells(path):
        for name in names.bound(names.plain(cell.source)) - {"_"}:
            places.setdefault(name, set()).add(cell.id)
    assert not {name: ids for name, ids in places.items() if len(ids) > 1}


KERAS = {"keras", "tensorflow", "cleverhans"}


def imported(path: Path) -> list[str]:
    """Return the modules that a notebook imports at the top level of its cells, in order."""
    trees = (ast.parse(names.plain(cell.source)) for cell in code_cells(path))
    found: list[str] = []
    for node in (node for tree in trees for node in tree.body):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(node.module or "")
    return found


@each_chapter
def test_lib_has_looked_at_the_settings_before_keras_starts(path: Path) -> None:
    """Keras stops at a broken keras.json with a traceback that names no file, whoever runs it."""
    modules = imported(path)
    of_keras = [module for module in modules if module.split(".")[0] in KERAS]
    if of_keras:
        assert "lib.stages" in modules[: modules.index(of_keras[0])]


@each_chapter
def test_no_two_folded_cells_follow_each_other_without_a_word(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    for above, below in pairwise(cells):
        folded = [
            cell.cell_type == "code" and "hide-input" in tags(cell) for cell in (above, below)
        ]
        assert not all(folded), f"{above.id} and {below.id}"


def test_cells_are_small_and_the_book_is_short() -> None:
    found = [count for path in CHAPTERS for count in lines(path)]
    assert statistics.median(found or [0]) <= MEDIAN_CELL
    assert sum(found) <= ALL_LINES
