"""Runs have names of their own, stand side by side, and Jupyter opens copies of the sources."""

from collections.abc import Callable
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from nbformat.v4 import new_code_cell, new_output

from lib.site import compare, copies
from lib.site.book import Book
from lib.site.cli import main
from lib.site.runner import Run

from ..conftest import write_chapter


@pytest.fixture
def book(new_book: Callable[..., Book]) -> Book:
    return new_book("print(epsilon)")


def invoke(book: Book, *arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, obj=book)


def changes(book: Book, preset: str = "classroom", **values: object) -> str:
    nowhere = book.build / "nowhere"
    return compare.changes(Run(book, book.chapters["01_tiny"], values, nowhere, nowhere, preset))


def test_a_run_is_named_by_what_it_changes(book: Book) -> None:
    assert changes(book, epsilon=0.2) == ""
    assert changes(book, epsilon=0.4, seeds=[0, 1]) == "-epsilon-0.4-seeds-0,1"
    assert changes(book, "smoke", epsilon=0.1) == "-smoke"
    assert changes(book, model="../a b") == "-model-.._a_b"
    long = [changes(book, seeds=[*range(100), last]) for last in (1, 2)]
    assert long[0] != long[1] and max(map(len, long)) < 150


def executed(path: Path, epsilon: float, *frames: pd.DataFrame) -> None:
    """Write what running the tiny chapter leaves, with tables as pages show them."""
    cells = [
        new_code_cell(
            "table", id=f"c{n}", outputs=[new_output("display_data", {"text/html": html})]
        )
        for n, html in enumerate(frame.style.hide(axis="index").to_html() for frame in frames)
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["run"] = {"parameters": {"epsilon": epsilon, "seeds": [0]}}
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


FRAME = pd.DataFrame(
    {
        "model": ["base", "base", "dense"],
        "attack": ["fgsm", "pgd", "pgd"],
        "left": ["9%", "8%", "7%"],
    }
)


def test_tables_that_differ_stand_side_by_side(book: Book) -> None:
    changed = FRAME.assign(left=["9%", "1%", "7%"]).iloc[[2, 1, 0]]
    same = pd.DataFrame({"image": ["a"]})
    executed(book.build / "executed" / "classroom" / "01_tiny.ipynb", 0.2, FRAME, same)
    executed(book.build / "run" / "01_tiny-epsilon-0.4.ipynb", 0.4, changed, same)
    listed = invoke(book, "compare").stdout
    assert "site  (01_tiny)" in listed and "01_tiny-epsilon-0.4" in listed
    said = invoke(book, "compare", "01_tiny-epsilon-0.4")
    assert said.exit_code == 0, said.output
    lines = [line.split() for line in said.stdout.splitlines()]
    assert ["epsilon:", "0.4", "and", "0.2"] in lines
    assert ["base", "pgd", "1%", "8%"] in lines
    assert ["dense", "pgd", "7%", "7%"] in lines
    assert "1 tables are the same" in said.stdout
    assert "seeds" not in said.stdout


def test_rows_belong_together_by_what_tells_them_apart() -> None:
    other = pd.DataFrame({"model": ["base", "new"], "attack": ["pgd", "pgd"], "left": ["8%", "5%"]})
    found = compare.beside(FRAME, other, ("A", "B")).set_index(["model", "attack"])
    assert list(found.columns) == ["left, A", "left, B"]
    assert found.loc[("base", "pgd")].tolist() == ["8%", "8%"]
    assert found.loc[("base", "fgsm")].tolist() == ["9%", compare.NONE]
    assert found.loc[("new", "pgd")].tolist() == [compare.NONE, "5%"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("lap",), "lap: no such run; did you mean lab? There are lab"),
        (("lab", "lab", "lab"), "compare takes two runs at most"),
        (("lab",), "site: no such run"),
    ],
)
def test_what_cannot_be_compared_is_said(
    book: Book, arguments: tuple[str, ...], reason: str
) -> None:
    list(copies.update(book))
    said = invoke(book, "compare", *arguments)
    assert said.exit_code == 2
    assert reason in said.stderr


def test_copies_are_made_once_and_never_replaced_when_edited(book: Book) -> None:
    copy, source = book.build / "lab" / "01_tiny.ipynb", book.source / "01_tiny.ipynb"
    assert list(copies.update(book)) == []
    assert copy.read_bytes() == source.read_bytes()
    write_chapter(book, "01_tiny", "print('changed')")
    assert list(copies.update(book)) == []
    assert copy.read_bytes() == source.read_bytes()
    copy.write_text(copy.read_text().replace("changed", "mine"))
    edited = copy.read_bytes()
    assert list(copies.update(book)) == [f"{copy}: yours, left as it is"]
    write_chapter(book, "01_tiny", "print('changed again')")
    (line,) = copies.update(book)
    assert "the chapter has changed since" in line
    assert copy.read_bytes() == edited


def test_parameters_of_an_edited_copy_are_those_of_its_cell(book: Book) -> None:
    list(copies.update(book))
    assert compare.Executed.read(book.build / "lab" / "01_tiny.ipynb").parameters["epsilon"] == 0.3
