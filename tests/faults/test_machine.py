"""A user's real machine: long homes, other code pages, own settings of other programs."""

import errno
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner

from lib.compute import cache
from lib.compute.parameters import RefusedError
from lib.site.book import Book
from lib.site.cli import main

from ..conftest import ROOT, write_chapter
from .conftest import Shows

FIGURE = """\
from matplotlib import pyplot as plt

from lib.figures import style

style.use_style()
figure, axes = plt.subplots()
image = axes.imshow([[0, 1], [2, 3]])
print(image.origin, plt.rcParams["savefig.pad_inches"], plt.get_backend())
"""


def build(
    book: Book, *arguments: str, program: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a command of the book in a process of its own, with some variables."""
    code = (
        "import sys; from pathlib import Path; from lib.site.book import Book; "
        "from lib.site.cli import main; "
        f"{program}\nmain(sys.argv[2:], obj=Book(Path(sys.argv[1])))"
    )
    return subprocess.run(
        [sys.executable, "-c", code, str(book.root), *(arguments or ("run", "01_tiny"))],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )


def outputs(book: Book, path: str = "run/01_tiny.ipynb") -> list[nbformat.NotebookNode]:
    cells = nbformat.read(book.build / path, as_version=4).cells
    return [output for cell in cells for output in cell.get("outputs", [])]


def with_figure(book: Book, *cells: str) -> Book:
    """Give the last cell of the chapter a caption."""
    path = write_chapter(book, "01_tiny", *cells)
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[-1].metadata.mystnb = {"figure": {"name": "fig", "caption": "A caption."}}
    nbformat.write(notebook, path)
    return Book(book.root)


@pytest.fixture
def drawing(new_book: Callable[..., Book]) -> Book:
    return with_figure(new_book(), FIGURE)


def rc_file(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "matplotlibrc"
    path.write_text(text)
    return path


def profile(folder: Path, *lines: str) -> Path:
    place = folder / "profile_default"
    (place / "startup").mkdir(parents=True)
    (place / "ipython_kernel_config.py").write_text("\n".join(["c = get_config()", *lines]))
    (place / "startup" / "00.py").write_text("import matplotlib; matplotlib.use('agg')\n")
    return folder


UPSIDE_DOWN = "image.origin: lower\nsavefig.pad_inches: 9\n"

LEAKS: dict[str, Callable[[Path, Book], Mapping[str, str]]] = {
    "matplotlibrc and backend by variables": lambda tmp, _: {
        "MATPLOTLIBRC": str(rc_file(tmp, UPSIDE_DOWN)),
        "MPLBACKEND": "agg",
    },
    "profile and matplotlibrc of the user": lambda tmp, _: {
        "IPYTHONDIR": str(profile(tmp / "ipython", "c.InlineBackend.figure_formats = {'jpeg'}")),
        "MPLCONFIGDIR": str(rc_file(tmp / "mpl", UPSIDE_DOWN).parent),
    },
    "matplotlibrc in the book, startup file, no such backend": lambda tmp, book: {
        "PYTHONSTARTUP": str(rc_file(tmp / "start", "import matplotlib; matplotlib.use('agg')")),
        "MPLBACKEND": rc_file(book.root, UPSIDE_DOWN + "backend: agg\n").name,
    },
    "profile that fails": lambda tmp, _: {
        "IPYTHONDIR": str(profile(tmp / "ipython", "raise ValueError('mine')"))
    },
}


@pytest.mark.parametrize("leak", LEAKS)
def test_settings_of_the_user_do_not_leak_in(
    drawing: Book, tmp_path: Path, leak: str, shows: Shows
) -> None:
    done = build(drawing, **LEAKS[leak](tmp_path, drawing))
    assert done.returncode == 0, done.stderr
    found = outputs(drawing)
    printed = "".join(output.get("text", "") for output in found)
    kinds = {kind for output in found for kind in output.get("data", {})}
    shows(f"{printed.strip()}, {', '.join(sorted(kinds))}")
    assert printed.startswith("upper 0.1 ")
    assert "image/svg+xml" in kinds


@pytest.mark.parametrize(
    "cell",
    [
        FIGURE + "plt.close('all')",
        "import matplotlib; matplotlib.use('agg')\n" + FIGURE,
        "print('no figure at all')",
    ],
    ids=["closed", "another backend", "none"],
)
def test_a_chapter_without_its_figures_is_not_published(
    new_book: Callable[..., Book], cell: str, shows: Shows
) -> None:
    book = with_figure(new_book(), cell)
    result = CliRunner().invoke(main, ["build"], obj=book)
    shows(result.stderr)
    assert result.exit_code == 1
    assert "has a caption, but showed no figure" in result.stderr
    assert not (book.build / "executed").exists()


def test_a_chapter_that_prints_thirty_megabytes(
    new_book: Callable[..., Book], shows: Shows
) -> None:
    book = new_book("print('x' * 30_000_000)")
    result = CliRunner().invoke(main, ["run", "01_tiny"], obj=book)
    shows(result.stderr)
    assert result.exit_code == 1
    assert "cell 4 printed 30,000,001 characters" in result.stderr


SOCKETS = ("ipc", "socket", "connection.json")


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if any(name in path.name for name in SOCKETS)]


@pytest.mark.parametrize(("variable", "length"), [("HOME", 60), ("HOME", 200), ("TMPDIR", 200)])
def test_a_long_path_to_a_private_folder(
    new_book: Callable[..., Book], tmp_path: Path, variable: str, length: int, shows: Shows
) -> None:
    book = new_book("print('ran')")
    place = tmp_path / ("ad.university.edu-" + "x" * 180)[: max(1, length - len(str(tmp_path)))]
    place.mkdir()
    done = build(book, **{variable: str(place)})
    shows(f"{variable} of {len(str(place))}: {done.stdout.splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    assert [output.text for output in outputs(book)] == ["ran\n"]
    assert not leftovers(place)
    assert not leftovers(book.root)


@pytest.mark.parametrize("folder", ["Müller's $HOME", "日本 [a]", "naïve #1"])
def test_a_folder_with_any_name_and_a_console_of_another_code_page(
    new_book: Callable[..., Book], tmp_path: Path, folder: str, shows: Shows
) -> None:
    made = new_book("import os\nprint(os.environ['LIB_RESULTS'])")
    book = Book(made.root.rename(tmp_path / folder))
    intro = book.source / "intro.md"
    intro.write_text(intro.read_text("utf-8") + "\nSee {numref}`fig-ünknown`.\n", "utf-8")
    done = build(book, "build", PYTHONIOENCODING="latin-1:replace", PYTHONUTF8="0")
    shows(done.stderr)
    assert "Traceback" not in done.stderr
    assert done.returncode == 1
    assert "nknown" in done.stderr  # the warning of Sphinx, not a fault of ours
    (printed,) = outputs(book, "executed/classroom/01_tiny.ipynb")
    assert printed.text == f"{book.build / 'results' / 'classroom'}\n"


class TestCacheFolder:
    """Kept results are pickles: to read one that others wrote is to run their code."""

    @pytest.mark.skipif(os.name == "nt", reason="Windows has other rights")
    @pytest.mark.parametrize("mode", [0o777, 0o775, 0o757, 0o1777, 0o722])
    @pytest.mark.parametrize("inner", ["", "joblib"])
    def test_one_that_others_can_write_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, inner: str, shows: Shows
    ) -> None:
        place = tmp_path / "cache" / inner
        place.mkdir(parents=True)
        place.chmod(mode)
        monkeypatch.setenv("LIB_CACHE", str(tmp_path / "cache"))
        with pytest.raises(RefusedError, match=r"others can write there .* runs code") as raised:
            cache.lock("any")
        shows(str(raised.value))

    @pytest.mark.skipif(os.name == "nt" or os.geteuid(), reason="who gives away needs to be root")
    def test_one_of_another_user_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shows: Shows
    ) -> None:
        os.chown(tmp_path, 12345, -1)
        monkeypatch.setenv("LIB_CACHE", str(tmp_path))
        with pytest.raises(RefusedError, match="owner 12345") as raised:
            cache.lock("any")
        shows(str(raised.value))

    def test_a_new_one_is_private_whatever_the_umask(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shows: Shows
    ) -> None:
        monkeypatch.setenv("LIB_CACHE", str(tmp_path / "new"))
        before = os.umask(0)
        try:
            cache.lock("any")
        finally:
            os.umask(before)
        shows(f"mode {(tmp_path / 'new').stat().st_mode & 0o777:o}")
        assert (tmp_path / "new").stat().st_mode & 0o077 == 0


class TestFilesThatCannotBeWritten:
    @pytest.mark.parametrize("place", ["_build", "_build/unfinished", "_build/run"])
    def test_a_file_in_the_place_of_a_folder(
        self, new_book: Callable[..., Book], place: str, shows: Shows
    ) -> None:
        book = new_book("print(1)")
        (book.root / place).parent.mkdir(exist_ok=True)
        (book.root / place).write_text("")
        result = CliRunner().invoke(main, ["run", "01_tiny"], obj=book)
        shows(result.stderr)
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: ")
        assert str(book.root / place) in result.stderr

    @pytest.mark.parametrize(
        ("number", "way_out"),
        [
            (errno.ENOSPC, "make room"),
            (errno.EDQUOT, "make room"),
            (errno.EROFS, "needs to write there"),
            (errno.EACCES, "needs to write there"),
            (errno.ENOENT, "run the same command again"),
        ],
        ids=["full", "quota", "read-only", "no rights", "deleted meanwhile"],
    )
    def test_what_the_system_says_comes_with_a_way_out(
        self,
        new_book: Callable[..., Book],
        monkeypatch: pytest.MonkeyPatch,
        number: int,
        way_out: str,
        shows: Shows,
    ) -> None:
        def fail(notebook: object, path: Path) -> None:
            raise OSError(number, os.strerror(number), str(path))

        book = new_book("print(1)")
        monkeypatch.setattr("lib.site.runner.nbformat.write", fail)
        result = CliRunner().invoke(main, ["run", "01_tiny"], obj=book)
        shows(result.stderr)
        assert result.exit_code == 1
        assert result.stderr.count("\n") == 1
        assert f"01_tiny.ipynb: {os.strerror(number)}: " in result.stderr
        assert way_out in result.stderr


class TestStateOfTheMachine:
    """Made for the test: a real full disk, and a folder that goes while a chapter runs."""

    @pytest.mark.parametrize("room", [0, 10_000_000, cache.ROOM - 1])
    def test_a_full_cache_is_said_before_anything_is_computed(
        self,
        new_book: Callable[..., Book],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        room: int,
        shows: Shows,
    ) -> None:
        usage = shutil.disk_usage(tmp_path)._replace(free=room)
        monkeypatch.setattr(cache.shutil, "disk_usage", lambda _: usage)
        result = CliRunner().invoke(main, ["run", "01_tiny"], obj=new_book("print(1)"))
        shows(result.stderr)
        assert result.exit_code == 2
        assert "less than 200 MB are free there" in result.stderr

    @pytest.mark.skipif(
        os.name == "nt" or bool(os.geteuid()) or not shutil.which("unshare"),
        reason="who mounts needs to be root",
    )
    @pytest.mark.parametrize(
        ("options", "said"),
        [("size=64k", "No space left on device: make room"), ("ro", "Read-only file system: the")],
    )
    def test_a_full_or_read_only_build_folder(
        self, new_book: Callable[..., Book], options: str, said: str, shows: Shows
    ) -> None:
        book = new_book("print('x' * 200_000)")
        book.build.mkdir()
        mount = f"mount -t tmpfs -o {options} none {book.build} && exec "
        code = "import sys; from pathlib import Path; from lib.site.book import Book; "
        code += "from lib.site.cli import main; main(['build'], obj=Book(Path(sys.argv[1])))"
        python = shlex.join([sys.executable, "-c", code, str(book.root)])
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", mount + python],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if "mount:" in done.stderr:
            pytest.skip(done.stderr)
        shows(done.stderr)
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert said in done.stderr

    def test_a_build_folder_that_is_deleted_meanwhile(
        self, new_book: Callable[..., Book], shows: Shows
    ) -> None:
        book = new_book("import shutil\nshutil.rmtree('_build')", "print(2)")
        result = CliRunner().invoke(main, ["run", "01_tiny"], obj=book)
        shows(result.stderr)
        assert result.exit_code == 1
        assert "run the same command again if something removed it" in result.stderr


def test_what_a_killed_build_left_goes_with_the_next(
    new_book: Callable[..., Book], tmp_path: Path, shows: Shows
) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for name in (f"book-kernel-{ended.pid}-abc", f"book-kernel-{os.getpid()}-abc", "book-kernel-x"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "socket-1").touch()
    done = build(new_book("print(1)"), TMPDIR=str(tmp_path) if len(str(tmp_path)) < 50 else "/tmp")
    assert done.returncode == 0, done.stderr
    if len(str(tmp_path)) < 50:
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            f"book-kernel-{os.getpid()}-abc",
            "book-kernel-x",
        ]
    shows("left alone: what a living process uses, and what is not ours")
