"""Values as people write them mean the same in both ways of running, or are refused in one line."""

import json
import os
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
    ("1e-1", Epsilon, 0.1),
    ("1_000", Seed, 1000),
    ("-0", Seed, 0),
    ("1e3/1e5", Epsilon, 0.01),
    ("0.3 # a radius", Epsilon, 0.3),
    ("[0,1]", Seeds, [0, 1]),
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
    ("[0, 0]", Seeds),
    ("[0.1, 1/10]", Epsilons),
    ("[[0]]", Seeds),
    ("[0.1]", Epsilon),
    ("0,3", Epsilon),
    ("1e400", Epsilon),
    ("-inf", Epsilon),
    ("inf/inf", Epsilon),
    ("0b1", Seed),
    ("--1", Seed),
    ("\u0663", Seed),
    ("~", Epsilon),
    ("None", Seed),
    ("1" * 5000, Seed),
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


@pytest.mark.parametrize(
    "value", ["one", "-1", "1.5", "1,", "1_000", "0x2", "\u00b2", "99999", "True"]
)
def test_a_number_of_threads_that_is_none(
    value: str, monkeypatch: pytest.MonkeyPatch, shows: Shows
) -> None:
    from lib.compute import sweeps

    monkeypatch.setenv(sweeps.THREADS, value)
    with pytest.raises(RefusedError, match=f"{sweeps.THREADS}: {value} is not allowed") as raised:
        sweeps.threads()
    shows(str(raised.value))
    for unset in ("", " ", "0"):
        monkeypatch.setenv(sweeps.THREADS, unset)
        assert sweeps.threads() == sweeps._processors()


@pytest.mark.parametrize(
    "text",
    ["<img src=x onerror=alert(1)>", "a|b", "`code`", "[link](javascript:alert(1))", "{{x}}"],
)
def test_a_value_shows_as_what_it_is(text: str, shows: Shows) -> None:
    from lib.site import render

    shown = render._plain(text)
    shows(shown)
    assert not set("<>|`(){}") & set(shown)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"floatx": "float17"}', "floatx: Input should be 'float16', 'float32' or 'float64'"),
        ('{"epsilon": 1}', "epsilon: Input should be a valid number"),
        ('{"epsilon": "small"}', "epsilon: Input should be a valid number"),
        ('{"image_data_format": "any"}', "image_data_format: Input should be"),
        ('{"floatx": "float32",', "Invalid JSON"),
        ("[]", "Input should be an object"),
        ("", "Invalid JSON"),
        ("<<<<<<< HEAD", "Invalid JSON"),
    ],
)
def test_a_keras_file_that_keras_would_stop_at(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    book: Book,
    content: str,
    reason: str,
    shows: Shows,
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "keras.json").write_text(content)
    result = CliRunner().invoke(main, ["run", "01_tiny"], obj=book)
    shows(result.stderr)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith(f"Error: {tmp_path / 'keras.json'}: {reason}")
    script = subprocess.run(
        [sys.executable, "-c", "import lib.stages"], capture_output=True, text=True, cwd=ROOT
    )
    assert script.returncode == 1
    assert f"RefusedError: {tmp_path / 'keras.json'}: {reason}" in script.stderr


@pytest.mark.parametrize("variable", ["MNIST_NPZ", "FASHION_MNIST_NPZ"])
@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("", ""),
        ("  ", ""),
        ("~/mnist.npz", "{home}/mnist.npz"),
        ("data/mnist.npz", "{here}/data/mnist.npz"),
        (" /data/mnist.npz ", "/data/mnist.npz"),
    ],
)
def test_a_named_file_means_what_a_shell_means(
    variable: str,
    value: str,
    meant: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    shows: Shows,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(variable, value)
    parameters.name_files()
    found = os.environ[variable]  # for all who read it, kernels and workers too
    shows(f"{value!r}: {found!r}")
    assert found == meant.format(home=tmp_path / "home", here=tmp_path)


@pytest.mark.parametrize("variable", ["LIB_CACHE", "LIB_RESULTS", "MNIST_NPZ"])
def test_a_user_that_there_is_not(
    variable: str, monkeypatch: pytest.MonkeyPatch, shows: Shows
) -> None:
    monkeypatch.setenv(variable, "~no-such-user/file")
    with pytest.raises(RefusedError, match=f"{variable}: ~no-such-user/file is not al") as raised:
        parameters.named_path(variable)
    shows(str(raised.value))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-p", "epsilon", "0.1", "-p", "epsilon", "0.2"), "epsilon: it is given twice, as 0.1"),
        (("-p", "seeds", "9" * 5000), "seeds: Infinity is not"),
        (("-p", "seeds", "{a: 1, a: 2}"), "seeds: {a: 1, a: 2} cannot be read"),
        (("-p", "seeds", "!!python/name:os.system"), "seeds: !!python/name:os.system cannot be"),
    ],
    ids=["twice", "5000 digits", "twice inside", "a tag of Python"],
)
def test_a_command_line_that_cannot_be_meant(
    book: Book, arguments: tuple[str, ...], said: str, shows: Shows
) -> None:
    result = CliRunner().invoke(main, ["run", "01_tiny", *arguments], obj=book)
    shows(result.stderr)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {said}")
    assert len(result.stderr) < 400
