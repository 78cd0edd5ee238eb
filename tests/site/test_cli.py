"""The command line refuses what is not possible, in one line and before anything runs."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lib.compute.parameters import RefusedError
from lib.site.book import DEFAULT_PRESET, Book
from lib.site.cli import main
from lib.site.schema import Parameter, settings

from ..conftest import REAL_BOOK, ROOT


@pytest.fixture(scope="module")
def book(new_book: Callable[..., Book]) -> Book:
    return new_book("print(epsilon)")


def invoke(book: Book, *arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, obj=book)


def files(book: Book) -> set[Path]:
    return set(book.root.rglob("*"))


RUN = ("run", "01_tiny", "-p")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (*RUN, "epsilon", "7"),
            "epsilon: 7 is not allowed; it must be a number from 0 to 1",
        ),
        (
            (*RUN, "epsilon", "abc"),
            "epsilon: abc is not allowed; it must be a number from 0 to 1",
        ),
        (
            (*RUN, "epsilon", "true"),
            "epsilon: true is not allowed; it must be a number from 0 to 1",
        ),
        (
            (*RUN, "epsilonn", "0.3"),
            "epsilonn: no such parameter; did you mean epsilon? "
            "01_tiny declares dataset, epsilon, model, seeds",
        ),
        (
            (*RUN, "model", "huge"),
            "model: huge is not allowed; it must be one of shallow, base, dense, residual",
        ),
        (
            (*RUN, "seeds", "[]"),
            "seeds: [] is not allowed; it must be a list of one or more different, as in [a, b], "
            "each a whole number from 0 to 2147483647",
        ),
        ((*RUN, "seeds", "[0,"), "seeds: [0, cannot be read as a value"),
        (
            ("run", "02_tiny"),
            "02_tiny: no such chapter; did you mean 01_tiny? Chapters: 01_tiny",
        ),
        (
            ("build", "--preset", "clasroom"),
            "preset: clasroom is not allowed; did you mean classroom? "
            "It must be one of classroom, smoke",
        ),
        (
            ("build", "-p", "epsilon", "-0.1"),
            "epsilon: -0.1 is not allowed; it must be a number from 0 to 1",
        ),
    ],
)
def test_refuses_in_one_line(book: Book, arguments: tuple[str, ...], message: str) -> None:
    before = files(book)
    result = invoke(book, *arguments)
    assert result.exit_code == 2
    assert result.stderr == f"Error: {message}\n"
    assert result.stdout == ""
    assert files(book) == before


def test_a_preset_with_a_wrong_value_is_refused(new_book: Callable[..., Book]) -> None:
    book = new_book("print(epsilon)")
    (book.source / "presets" / "classroom.yaml").write_text("model: huge\n")
    result = invoke(book, "build")
    assert result.exit_code == 2
    assert "model: huge is not allowed" in result.stderr


def test_the_command_line_takes_precedence_over_the_preset(book: Book) -> None:
    chapters = book.chapters.values()
    assert settings(chapters, {"epsilon": 0.2, "unused": 1}, {}) == {"01_tiny": {"epsilon": 0.2}}
    assert settings(chapters, {"epsilon": 0.2}, {"epsilon": 0.5, "seeds": [1, 2]}) == {
        "01_tiny": {"epsilon": 0.5, "seeds": [1, 2]}
    }


def test_a_parameter_may_be_text() -> None:
    cluster = Parameter("cluster", "str", "", "where to compute")
    assert cluster.validated("tcp://host:8786") == "tcp://host:8786"
    with pytest.raises(RefusedError, match="cluster: 8786 is not allowed; it must be text"):
        cluster.validated(8786)


def test_a_log_gets_a_line_a_minute(
    new_book: Callable[..., Book], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lib.site.board.Board.MINUTE", 0.1)
    result = invoke(new_book("import time; time.sleep(2)"), "run", "01_tiny")
    assert result.exit_code == 0
    assert re.search(r"^01_tiny: cell \d of \d, \d+ s$", result.stdout, re.M)
    assert "\r" not in result.stdout


def test_lists_chapters_with_types_defaults_and_help(book: Book) -> None:
    result = invoke(book, "list")
    assert result.exit_code == 0
    for text in ("01_tiny  A tiny chapter", "epsilon: Epsilon = 0.3", "L-infinity radius"):
        assert text in result.stdout
    assert "one of shallow, base, dense" in result.stdout
    assert invoke(book, "list", "01_tiny").stdout == result.stdout
    assert "other: no such chapter" in invoke(book, "list", "other").stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such pipes")
def test_a_reader_that_has_enough_is_no_error() -> None:
    listing = [sys.executable, "-m", "lib", "list"]
    process = subprocess.Popen(
        listing, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout and process.stderr
    process.stdout.close()
    assert (process.stderr.read(), process.wait()) == ("", 1)


@pytest.mark.parametrize("command", [[], ["build"], ["run"], ["list"]])
def test_help_says_what_a_command_does(command: list[str]) -> None:
    result = CliRunner().invoke(main, [*command, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.stdout


@pytest.mark.parametrize("preset", ["smoke", "classroom", "paper", "fashion"])
def test_presets_fit_the_chapters(preset: str) -> None:
    values = REAL_BOOK.preset(preset)
    chapters = REAL_BOOK.chapters.values()
    declared = {name for chapter in chapters for name in chapter.parameters}
    assert set(values) <= declared, "a preset names a parameter that no chapter declares"
    settings(chapters, values, {})


def test_an_unchanged_notebook_gives_the_numbers_of_the_default_preset() -> None:
    """Jupyter and Colab run a notebook with what stands in it, the site with this preset."""
    usual = REAL_BOOK.preset(DEFAULT_PRESET)
    for chapter in REAL_BOOK.chapters.values():
        for name, parameter in chapter.parameters.items():
            default = parameter.validated(parameter.default)
            assert parameter.validated(usual.get(name, default)) == default, (chapter.name, name)
