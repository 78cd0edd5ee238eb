"""Values as people write them mean the same in both ways of running, or are refused in one line."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner

from lib.compute import parameters
from lib.compute.parameters import Architecture, Count, Epsilon, Epsilons, RefusedError, Seed, Seeds
from lib.site.book import Book
from lib.site.cli import main

from ..conftest import ROOT
from .conftest import Shows

MEANT = [
    ("8/255", Epsilon, 8 / 255),
    ("16 / 255", Epsilon, 16 / 255),
    ("1/2", Epsilon, 0.5),
    ("4/2", Count, 2),
    ("1e-3", Epsilon, 1e-3),
    (".5", Epsilon, 0.5),
    ("1.", Epsilon, 1.0),
    ("1E-1", Epsilon, 0.1),
    ("010", Seed, 10),
    ("007", Seed, 7),
    ("08", Seed, 8),
    ("+3", Seed, 3),
    ("1e3", Seed, 1000),
    ("[2/255, 8/255]", Epsilons, [2 / 255, 8 / 255]),
    ("[0, 010]", Seeds, [0, 10]),
    ("base", Architecture, "base"),
    ("tcp://host:8786", str, "tcp://host:8786"),
    ("8/255", str, "8/255"),
    ("yes", str, "yes"),
]

REFUSED = [
    ("1:30", Seed),
    ("0x10", Seed),
    ("0o10", Seed),
    ("1/0", Epsilon),
    ("255/8", Epsilon),
    ("1/255", Count),
    ("1/2/3", Epsilon),
    ("nan", Epsilon),
    ("inf", Epsilon),
    ("-1", Seed),
    ("1.5", Seed),
    ("2147483648", Seed),
    ("true", Epsilon),
    ("True", Seed),
    ("yes", Seed),
    ("null", Epsilon),
    ("", Epsilon),
    ("Base", Architecture),
    ("base ", Count),
    ("__import__('os').getcwd()", Epsilon),
    ("[]", Seeds),
    ("[0, true]", Count),
    ("0, 1", Seeds),
    ("2026-11-26", Seed),
    ("{a: 1}", Epsilon),
]


@pytest.mark.parametrize(("text", "annotation", "meant"), MEANT, ids=lambda value: str(value)[:30])
def test_what_a_person_means(text: str, annotation: object, meant: object, shows: Shows) -> None:
    """Of the builder, which parses, and of papermill, which may pass on the text."""
    by_builder = text if annotation is str else parameters.parsed(text)
    for given in (by_builder, text):
        found = parameters.validated("name", annotation, given)
        assert found == meant
        assert type(found) is type(meant)
    shows(f"{text} is {meant!r}")


@pytest.mark.parametrize(("text", "annotation"), REFUSED, ids=lambda value: str(value)[:30])
def test_what_is_no_value(text: str, annotation: object, shows: Shows) -> None:
    for given in (parameters.parsed(text), text):
        with pytest.raises(RefusedError, match=r"name: .* is not allowed; it must be ") as raised:
            parameters.validated("name", annotation, given)
    shows(str(raised.value))


CHECKED = """\
from lib.compute import parameters

parameters.check(globals())
print(epsilon, seeds)
"""


@pytest.fixture(scope="module")
def book(new_book: Callable[..., Book]) -> Book:
    return new_book(CHECKED)


def papermill(book: Book, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the chapter as the README says, without the builder."""
    chapter, preset = book.source / "01_tiny.ipynb", ROOT / "book" / "presets" / "smoke.yaml"
    return subprocess.run(
        [
            *(sys.executable, "-m", "papermill", str(chapter), str(book.root / "mine.ipynb")),
            *("-f", str(preset), "--no-progress-bar", *arguments),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("-p", "sed", "3"), "Error: sed: no such parameter; did you mean seeds?"),
        (("-p", "model", "Base"), "Error: model: Base is not allowed; it must be one of"),
        (("-r", "epsilon", "0,2"), "Error: epsilon: 0,2 is not allowed; it must be a number"),
        (("-p", "epsilon", "1:30"), "Error: epsilon: 1:30 is not allowed"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_papermill_alone_is_as_safe(
    book: Book, arguments: tuple[str, ...], line: str, shows: Shows
) -> None:
    done = papermill(book, *arguments)
    last = done.stderr.strip().splitlines()[-1]
    shows(last)
    assert done.returncode == 1
    assert last.startswith(line)


def test_papermill_alone_means_the_same(book: Book, shows: Shows) -> None:
    done = papermill(book, "-r", "epsilon", "8/255", "-p", "seeds", "[0, 010]")
    assert done.returncode == 0, done.stderr
    cells = nbformat.read(book.root / "mine.ipynb", as_version=4).cells
    printed = [output.text for cell in cells for output in cell.get("outputs", [])]
    shows(printed[-1])
    assert printed == [f"{8 / 255} [0, 10]\n"]


@pytest.mark.parametrize(
    "line",
    ["epsilon = 0.3", "seeds = [7]", "model = 'dense'"],
)
def test_a_value_that_does_not_arrive_is_noticed_before_anything_is_recorded(
    new_book: Callable[..., Book], line: str, shows: Shows
) -> None:
    book = new_book(line, CHECKED, "raise SystemError('computed')")
    result = CliRunner().invoke(main, ["build", "--record"], obj=book)
    shows(result.stderr)
    assert result.exit_code == 1
    name = line.split()[0]
    assert f"RefusedError: {name}: this chapter runs with " in result.stderr


class TestCheck:
    """In a notebook, where what was annotated is all that there is to know."""

    def namespace(self, **values: object) -> dict[str, object]:
        declared = {"epsilon": Epsilon, "seeds": Seeds, "frame": dict}
        usual = {"epsilon": 0.3, "seeds": [0], "frame": {}}
        return {"__annotations__": declared, **usual, **values}

    def test_text_becomes_what_it_means(self) -> None:
        namespace = self.namespace(epsilon="8/255", seeds="[1, 2]")
        parameters.check(namespace)
        assert (namespace["epsilon"], namespace["seeds"]) == (8 / 255, [1, 2])

    @pytest.mark.parametrize("cell", ["# Parameters\nsed = 3\n", "# Parameters\nepsilonn = 0.1"])
    def test_an_unknown_name(self, cell: str) -> None:
        with pytest.raises(RefusedError, match="did you mean"):
            parameters.check(self.namespace(In=["", cell]))

    def test_what_a_preset_says_to_other_chapters_is_no_mistake(self) -> None:
        smoke = Book(ROOT).preset("smoke")
        other = next(name for name in smoke if name not in ("epsilon", "seeds"))
        parameters.check(self.namespace(In=[f"# Parameters\n{other} = {smoke[other]!r}\n"]))
        with pytest.raises(RefusedError, match=f"{other}: no such parameter"):
            parameters.check(self.namespace(In=[f"# Parameters\n{other} = 'else'\n"]))

    def test_code_that_changed_since_the_start(self, monkeypatch: pytest.MonkeyPatch) -> None:
        run = {"parameters": {}, "modules": ["evidence.paper"], "code": "0" * 16}
        monkeypatch.setenv("LIB_RUN", json.dumps(run))
        with pytest.raises(RefusedError, match="code in lib has changed"):
            parameters.check(self.namespace())


@pytest.mark.parametrize(
    "value", ["", "~/cache", "cache/here", "/elsewhere/cache", "  "], ids=["empty", *"~r/s"]
)
def test_a_named_folder_means_what_a_shell_means(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shows: Shows
) -> None:
    from lib.compute import cache

    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LIB_CACHE", value)
    monkeypatch.chdir(tmp_path)
    expected = {
        "~/cache": tmp_path / "home" / "cache",
        "cache/here": tmp_path / "cache" / "here",
        "/elsewhere/cache": Path("/elsewhere/cache"),
    }.get(value, ROOT / "_build" / "cache")
    assert cache.folder() == expected
    shows(f"{value!r}: {expected}")


@pytest.mark.parametrize("value", ["one", "-1", "1.5", "1,"])
def test_a_number_of_threads_that_is_none(
    value: str, monkeypatch: pytest.MonkeyPatch, shows: Shows
) -> None:
    from lib.compute import sweeps

    monkeypatch.setenv(sweeps.THREADS, value)
    with pytest.raises(RefusedError, match=f"{sweeps.THREADS}: {value} is not allowed") as raised:
        sweeps._threads()
    shows(str(raised.value))
    for unset in ("", " ", "0"):
        monkeypatch.setenv(sweeps.THREADS, unset)
        assert sweeps._threads() == sweeps._processors()


@pytest.mark.parametrize(
    "text",
    ["<img src=x onerror=alert(1)>", "a|b", "`code`", "[link](javascript:alert(1))", "{{x}}"],
)
def test_a_value_shows_as_what_it_is(text: str, shows: Shows) -> None:
    from lib.site import render

    shown = render._plain(text)
    shows(shown)
    assert not set("<>|`(){}") & set(shown)
