"""Files that are not what they seem: named in one line, before anything runs."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from lib.site.book import Book
from lib.site.cli import main

from ..conftest import write_chapter
from .conftest import Shows


@pytest.fixture
def book(new_book: Callable[..., Book]) -> Book:
    return new_book("print(epsilon)")


def refused(book: Book, *arguments: str) -> str:
    """Return the one line that refuses a command."""
    before = {path for path in book.root.rglob("*")}
    result = CliRunner().invoke(main, arguments or ("build",), obj=Book(book.root))
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert {path for path in book.root.rglob("*")} == before
    return result.stderr


def edit(book: Book, change: Callable[[dict], object], chapter: str = "01_tiny") -> None:
    """Change the source of a chapter, as parsed."""
    path = book.source / f"{chapter}.ipynb"
    notebook = json.loads(path.read_text("utf-8"))
    change(notebook)
    path.write_text(json.dumps(notebook), "utf-8")


def cell(notebook: dict) -> dict:
    return next(c for c in notebook["cells"] if "parameters" in c["metadata"].get("tags", []))


class TestParametersCell:
    """papermill passes over what it does not understand, and runs with other values."""

    @pytest.mark.parametrize(
        "line",
        [
            "epsilon = 0.3  # a radius",
            "epsilon: Epsilon = 0.3; other = 1",
            "epsilon: Epsilon = 3 / 10",
            "epsilon: Epsilon",
            "if True:\n    epsilon: Epsilon = 0.3",
            "epsilon: Epsilon = 0.3\nepsilon: Epsilon = 0.2",
            "seeds[0]: int = 3",
            "print(0.3)",
        ],
    )
    def test_what_declares_no_parameter(self, book: Book, line: str, shows: Shows) -> None:
        edit(book, lambda notebook: cell(notebook).update(source=line))
        said = refused(book, "run", "01_tiny")
        shows(said)
        assert "parameters cell" in said

    @pytest.mark.parametrize(
        "comment", ["x = y", 'a = "b" # c = d', "none: all = of this", "as in f(x=1, y=2)"]
    )
    def test_an_equals_sign_in_a_comment_is_no_line(
        self, book: Book, comment: str, shows: Shows
    ) -> None:
        edit(
            book,
            lambda notebook: cell(notebook).update(source=f"epsilon: Epsilon = 0.3 # {comment}"),
        )
        (found,) = Book(book.root).chapters["01_tiny"].parameters.values()
        shows(f"{found.name} = {found.default}, {found.help}")
        assert (found.name, found.default, found.help) == ("epsilon", 0.3, comment)

    @pytest.mark.parametrize("tags", [[], ["Parameters"], ["hide-input"], ["parameter"]])
    def test_a_lost_tag(self, book: Book, tags: list[str], shows: Shows) -> None:
        edit(book, lambda notebook: cell(notebook)["metadata"].update(tags=tags))
        said = refused(book, "build", "--record")
        shows(said)
        assert "0 code cells tagged `parameters`" in said

    def test_two_cells_of_parameters(self, book: Book, shows: Shows) -> None:
        edit(book, lambda n: n["cells"].append({**cell(n), "id": "second"}))
        said = refused(book)
        shows(said)
        assert "2 code cells" in said

    def test_a_text_cell_of_parameters(self, book: Book, shows: Shows) -> None:
        def change(notebook: dict) -> None:
            cell(notebook)["metadata"]["tags"] = []
            notebook["cells"][0]["metadata"]["tags"] = ["parameters"]

        edit(book, change)
        said = refused(book)
        shows(said)
        assert "tagged `parameters`" in said


@pytest.mark.parametrize("position", [1, 2, 3])
def test_a_stale_injected_cell(book: Book, position: int, shows: Shows) -> None:
    stale = {
        "cell_type": "code",
        "id": "stale",
        "metadata": {"tags": ["injected-parameters"]},
        "execution_count": None,
        "outputs": [],
        "source": "# Parameters\nepsilon = 0.05\n",
    }
    edit(book, lambda notebook: notebook["cells"].insert(position, stale))
    said = refused(book, "run", "01_tiny", "-p", "epsilon", "0.1")
    shows(said)
    assert f"cell {position + 1} holds the parameters of an earlier run" in said


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"\n\n", "it is empty"),
        (b"{}", "not a notebook"),
        (b"[]", "not a notebook"),
        (b'{"cells": [', "not a notebook"),
        (b"<html>", "not a notebook"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b"\xff\xfe{\x00}\x00", "not text in UTF-8"),
        (b'{"cells": [\n<<<<<<< HEAD\n', "merge conflict"),
        (b'{"cells": [\n=======\n>>>>>>> theirs\n', "merge conflict"),
        (b'{"cells": [], "metadata": {}, "nbformat": 3, "nbformat_minor": 0}', "not a notebook"),
        (b'{"cells": 7, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}', "not a notebook"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_notebook_that_is_none(book: Book, content: bytes, reason: str, shows: Shows) -> None:
    (book.source / "01_tiny.ipynb").write_bytes(content)
    said = refused(book)
    shows(said)
    assert "01_tiny" in said
    assert reason in said


@pytest.mark.parametrize("code", ["x = = 1", "def f(:", "print('"])
def test_a_cell_that_is_not_python(book: Book, code: str, shows: Shows) -> None:
    edit(book, lambda notebook: notebook["cells"][-1].update(source=code))
    said = refused(book)
    shows(said)
    assert "01_tiny: cell 3 is not Python" in said


@pytest.mark.parametrize(
    ("file", "content"),
    [
        *(("_toc.yml", text) for text in ("a: [", "- a\n- b", "just text", "{1: 2}", "a: b: c")),
        ("_toc.yml", "root: book/intro\nchapters:\n- file: book/99_gone"),
        ("book/presets/classroom.yaml", "epsilon: [0.1"),
        ("book/presets/classroom.yaml", "- epsilon"),
        ("book/presets/classroom.yaml", "0.1"),
        ("book/presets/classroom.yaml", "epsilon = 0.1"),
        ("book/presets/classroom.yaml", "\ufeffepsilon: 0.1"),
        ("book/presets/classroom.yaml", "<<<<<<< HEAD\nepsilon: 0.1"),
        ("book/presets/classroom.yaml", "seed: 010"),
        ("book/presets/classroom.yaml", "seed: 1:30"),
        ("book/presets/classroom.yaml", "seed: yes"),
        ("book/presets/classroom.yaml", "epsilon: 2"),
        ("book/presets/classroom.yaml", "epsilon: none"),
        ("book/presets/classroom.yaml", "epsilon: 0.1\nepsilon: 0.2"),
        ("book/presets/classroom.yaml", "seed: 2026-13-45"),
        ("book/presets/classroom.yaml", "epsilon: *other"),
        ("book/presets/classroom.yaml", "epsilon: !!python/name:os.system"),
        ("book/presets/classroom.yaml", "epsilon:\t0.1\n\tseed: 1"),
        ("_toc.yml", "root: book/intro\nchapters: []\nroot: book/01_tiny"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_broken_table_of_contents_or_preset(
    book: Book, file: str, content: str, shows: Shows
) -> None:
    (book.root / file).write_text(content, "utf-8")
    said = refused(book)
    shows(said)
    assert Path(file).name in said or "epsilon: " in said


def test_an_empty_preset_and_one_of_comments_are_fine(book: Book, shows: Shows) -> None:
    for content in ("", "# nothing\n", "---\n"):
        (book.source / "presets" / "classroom.yaml").write_text(content, "utf-8")
        assert book.preset("classroom") == {}
    shows("no values")


def test_an_unknown_type(book: Book, shows: Shows) -> None:
    for annotation in ("Radius", "int", "check", "RefusedErrors"):
        edit(book, lambda n, a=annotation: cell(n).update(source=f"epsilon: {a} = 0.3"))
        said = refused(book)
        shows(said)
        assert f"epsilon: its type {annotation} is not one of lib.compute.parameters" in said


def test_two_chapters_and_one_is_wrong(book: Book, shows: Shows) -> None:
    write_chapter(book, "02_tiny", "print(1)")
    edit(book, lambda n: cell(n).update(source="x = 1"), "02_tiny")
    said = refused(book)
    shows(said)
    assert "02_tiny: line 1 of its parameters cell, `x = 1`" in said


@pytest.mark.parametrize(
    "reference",
    [
        "See {doc}`02_gone`.",
        "See {doc}`that one <02_gone>`.",
        "See [that one](02_gone.ipynb#section).",
        "{glue:text}`02_gone.ipynb::number`",
        "```{glue} table\n:doc: 02_gone.ipynb\n```",
    ],
)
@pytest.mark.parametrize("place", ["intro.md", "01_tiny.ipynb"])
def test_a_chapter_that_is_gone_though_others_refer_to_it(
    book: Book, reference: str, place: str, shows: Shows
) -> None:
    write_chapter(book, "02_gone", "print(1)")
    path = book.source / place
    if place == "intro.md":
        path.write_text(f"{path.read_text('utf-8')}\n{reference}\n", "utf-8")
    else:
        edit(book, lambda notebook: notebook["cells"][0].update(source=f"# One\n{reference}"))
    assert set(Book(book.root).chapters) == {"01_tiny", "02_gone"}
    (book.root / "_toc.yml").write_text("root: book/intro\nchapters:\n- file: book/01_tiny\n")
    said = refused(book)
    shows(said)
    assert f"it does not name 02_gone, to which book/{path.stem} refers: put it back" in said


@pytest.mark.parametrize("ends", ["\r\n", "\r"])
def test_ends_of_lines_of_another_system(book: Book, ends: str, shows: Shows) -> None:
    """In the file, in the cell of parameters and in the preset: the same parameters."""
    before = Book(book.root).chapters["01_tiny"].parameters
    source = cell(json.loads((book.source / "01_tiny.ipynb").read_text("utf-8")))["source"]
    text = source if isinstance(source, str) else "".join(source)
    edit(book, lambda n: cell(n).update(source=text.replace("\n", ends)))
    path = book.source / "01_tiny.ipynb"
    path.write_bytes(
        json.dumps(json.loads(path.read_text()), indent=1).replace("\n", ends).encode()
    )
    (book.source / "presets" / "classroom.yaml").write_bytes(f"epsilon: 0.2{ends}".encode())
    after = Book(book.root)
    assert {
        k: (p.default, p.annotation) for k, p in after.chapters["01_tiny"].parameters.items()
    } == {k: (p.default, p.annotation) for k, p in before.items()}
    assert after.preset("classroom") == {"epsilon": 0.2}
    shows("the same")
