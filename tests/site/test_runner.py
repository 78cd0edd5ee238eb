"""The builder runs what changed, and publishes only what is whole."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import wait
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
from click.testing import CliRunner, Result

from lib.compute import provenance
from lib.site import runner
from lib.site.book import Book, Chapter
from lib.site.cli import main
from lib.site.runner import Run

from ..conftest import ROOT, write_chapter

CELLS = (
    """\
    import os, sys
    from pathlib import Path
    print(sys.executable, epsilon)
    print(Path.cwd() / "module.py:1: a warning", file=sys.stderr)
    """,
    """\
    folder = Path(os.environ["LIB_RESULTS"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "numbers.csv").write_text(f"epsilon\\n{epsilon}\\n")
    print("numbers in", folder.name)
    """,
    """\
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><path d="M0 0h9v9z"/></svg>'
    details = {"image/svg+xml": {"alt": f"A triangle, {epsilon:.0%}"}}
    display({"image/svg+xml": svg}, raw=True, metadata=details)
    """,
)


def invoke(book: Book, *arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, obj=book)


def run_of(book: Book, **values: object) -> Run:
    """Return the run that a build under the classroom preset makes."""
    executed = book.build / "executed" / "classroom" / "01_tiny.ipynb"
    chapter = book.chapters["01_tiny"]
    results = book.build / "results" / "classroom"
    return Run(book, chapter, {"epsilon": 0.2, **values}, executed, results, "classroom")


def printed(path: Path) -> str:
    notebook = nbformat.read(path, as_version=4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(output.get("text", "") for output in outputs)


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def built(new_book: Callable[..., Book]) -> Book:
    """Return a book that was built once; tests do not change it."""
    book = new_book(*CELLS)
    result = invoke(book, "build")
    assert result.exit_code == 0, result.output
    return book


@pytest.fixture
def unrendered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a build end where its pages would be rendered: nothing below looks at them."""

    def no_render(book: Book, runs: object) -> tuple[Path, bool]:
        return book.build / "html" / "index.html", False

    monkeypatch.setattr("lib.site.cli.render.render", no_render)


@pytest.fixture
def copy(built: Book, tmp_path: Path) -> Book:
    """Return a copy of the built book, to be changed."""
    shutil.copytree(built.root, tmp_path / "copy")
    return Book(tmp_path / "copy")


class TestBuild:
    def test_the_kernel_is_this_python_and_gets_the_preset(self, built: Book) -> None:
        assert f"{sys.executable} 0.2" in printed(run_of(built).executed)

    def test_the_kernel_gets_what_the_preset_does_not_say(self, copy: Book) -> None:
        write_chapter(copy, "01_tiny", "import os\nprint(os.environ['LIB_GIVEN'])")
        book = Book(copy.root)
        given = ("-p", "epsilon", "0.4", "-p", "model", "base", "-p", "seeds", "[0, 1]")
        for arguments, expected in (((), {}), (given, {"epsilon": 0.4, "seeds": [0, 1]})):
            assert invoke(book, "run", "01_tiny", *arguments).exit_code == 0
            (copy_of_it,) = (book.build / "run").glob(f"01_tiny{'-*' if arguments else ''}.ipynb")
            assert json.loads(printed(copy_of_it)) == expected

    def test_results_go_to_the_folder_of_the_preset(self, built: Book) -> None:
        numbers = built.build / "results" / "classroom" / "numbers.csv"
        assert numbers.read_text() == "epsilon\n0.2\n"

    def test_the_site_shows_the_executed_chapter_and_the_run_table(self, built: Book) -> None:
        site = built.build / "html"
        assert "numbers in classroom" in (site / "book" / "01_tiny.html").read_text()
        intro = (site / "book" / "intro.html").read_text()
        assert "A tiny chapter" in intro
        for text in ("epsilon", "0.2", "tensorflow"):
            assert text in intro

    def test_computed_alt_text_reaches_the_page(self, built: Book) -> None:
        page = (built.build / "html" / "book" / "01_tiny.html").read_text()
        assert 'alt="A triangle, 20%"' in page

    def test_the_download_is_executed_and_names_no_folder_of_this_machine(
        self, built: Book
    ) -> None:
        download = built.build / "html" / "_sources" / "book" / "01_tiny.ipynb"
        assert "numbers in classroom" in printed(download)
        assert "module.py:1: a warning" in printed(download)
        assert str(built.root) not in download.read_text()

    def test_nothing_unfinished_is_left(self, built: Book) -> None:
        assert not list((built.build / "unfinished").rglob("*.ipynb"))

    def test_a_second_build_does_nothing(self, built: Book) -> None:
        def times() -> dict[Path, int]:
            folders = (built.build / "html", built.build / "executed")
            return {
                path: path.stat().st_mtime_ns for folder in folders for path in folder.rglob("*")
            }

        before = times()
        result = invoke(built, "build")
        assert result.exit_code == 0
        assert "01_tiny: unchanged, not run again" in result.stdout
        assert times() == before

    def test_a_subset_leaves_out_what_has_not_run(self, copy: Book) -> None:
        write_chapter(copy, "02_tiny", "print('second')", title="A second chapter")
        result = invoke(copy, "build", "01_tiny")
        assert result.exit_code == 0, result.output
        assert "02_tiny: left out" in result.stdout
        assert (copy.build / "html" / "book" / "01_tiny.html").is_file()
        assert not (copy.build / "html" / "book" / "02_tiny.html").exists()

    @pytest.mark.usefixtures("unrendered")
    def test_recorded_numbers_go_to_the_books_results(self, copy: Book) -> None:
        result = invoke(copy, "build", "--record", "-p", "epsilon", "0.4")
        assert result.exit_code == 0, result.output
        assert (copy.source / "results" / "numbers.csv").read_text() == "epsilon\n0.4\n"

    @pytest.mark.usefixtures("unrendered")
    def test_what_a_recorded_run_has_computed_stays_when_it_fails(
        self, new_book: Callable[..., Book]
    ) -> None:
        noting = "from lib.compute import units\nunits.note({key!r}, 'f', 'e', 0.5)"
        book = new_book(noting.format(key="first"), "raise ValueError('no')")
        assert invoke(book, "build").exit_code == 1
        kept = book.source / "results" / "units" / "01_tiny.jsonl"
        assert not kept.exists()
        assert invoke(book, "build", "--record").exit_code == 1
        assert [json.loads(line)["key"] for line in kept.open()] == ["first"]
        write_chapter(book, "01_tiny", noting.format(key="second"))
        assert invoke(Book(book.root), "build", "--record").exit_code == 0
        assert [json.loads(line)["key"] for line in kept.open()] == ["second"]
        assert not [*book.build.rglob("*.units*")]


def test_run_executes_one_chapter_without_the_site(new_book: Callable[..., Book]) -> None:
    book = new_book(*CELLS)
    result = invoke(book, "run", "01_tiny", "-p", "epsilon", "1e-3")
    assert result.exit_code == 0, result.output
    target = book.build / "run" / "01_tiny-epsilon-0.001.ipynb"
    assert result.stdout.splitlines()[-1] == str(target)
    assert result.stdout.startswith("set by -p: epsilon 0.001\n")
    preset = invoke(book, "run", "01_tiny", "--preset", "smoke", "-p", "model", "dense").stdout
    assert preset.startswith("set by -p: model dense\nset by preset smoke: epsilon 0.1\n")
    assert " 0.001\n" in printed(target)
    numbers = book.build / "results" / "run-epsilon-0.001" / "numbers.csv"
    assert numbers.read_text() == "epsilon\n0.001\n"
    assert not (book.build / "html").exists()


class TestWhatDeterminesAChapter:
    def test_parameters(self, built: Book) -> None:
        assert run_of(built).is_current
        assert not run_of(built, epsilon=0.25).is_current
        assert not run_of(built, seeds=[0, 1]).is_current

    def test_source_but_not_cell_ids(self, copy: Book) -> None:
        path = copy.source / "01_tiny.ipynb"
        notebook = nbformat.read(path, as_version=4)
        notebook.cells[-1].id = "renamed"
        nbformat.write(notebook, path)
        assert run_of(Book(copy.root)).is_current
        notebook.cells[-1].source += "\nprint('more')"
        nbformat.write(notebook, path)
        assert not run_of(Book(copy.root)).is_current

    def test_code_that_it_imports(
        self, copy: Book, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        package = shutil.copytree(provenance.PACKAGE, tmp_path / "lib")
        monkeypatch.setattr(provenance, "PACKAGE", package)

        path = write_chapter(copy, "02_data", "from lib.stages import data")
        reader = replace(run_of(copy), chapter=Chapter(path))

        def changes_with(module: str, line: str) -> list[bool]:
            runs = run_of(copy), reader
            before = [replace(one).digest for one in runs]
            path = package / f"{module}.py"
            path.write_text(path.read_text(encoding="utf-8") + line, encoding="utf-8")
            return [replace(one).digest != old for one, old in zip(runs, before, strict=True)]

        assert changes_with("stages/data", "# a comment\n") == [False, False]
        assert changes_with("stages/data", "NEW = 1\n") == [False, True]
        assert changes_with("compute/parameters", "NEW = 1\n") == [False, False]

    def test_where_full_mnist_lies_does_not_count(
        self, built: Book, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its arrays are checked against sums, which stand in the code."""
        before = run_of(built, dataset="mnist").digest
        (tmp_path / "mnist.npz").write_bytes(b"other")
        monkeypatch.setenv("MNIST_NPZ", str(tmp_path / "mnist.npz"))
        assert run_of(built, dataset="mnist").digest == before

    def test_recorded_results_that_it_reads(self, copy: Book) -> None:
        reader = write_chapter(copy, "02_reader", "from lib.evidence import records")

        def digests() -> list[str]:
            return [
                replace(run_of(copy), chapter=Chapter(path)).digest
                for path in (copy.source / "01_tiny.ipynb", reader)
            ]

        before = digests()
        (copy.source / "results").mkdir()
        (copy.source / "results" / "table_04.csv").write_text("value\n1\n")
        after = digests()
        assert after[0] == before[0]
        assert after[1] != before[1]

    @pytest.mark.usefixtures("unrendered")
    def test_what_earlier_chapters_of_the_run_saved(self, copy: Book) -> None:
        cells = (
            "import os\nfrom pathlib import Path\nfolder = Path(os.environ['LIB_RESULTS'])",
            "(folder / 'own.csv').write_text('value\\n1\\n')",
            "(folder / 'numbers.csv').read_text()",
        )
        write_chapter(copy, "02_reader", *cells, reads_this_run=True)
        assert invoke(copy, "build").exit_code == 0
        second = invoke(copy, "build")
        assert "02_reader: unchanged" in second.stdout
        (copy.build / "results" / "classroom" / "numbers.csv").write_text("epsilon\n0.3\n")
        chapter = copy.chapters["02_reader"]
        again = replace(
            run_of(copy), chapter=chapter, executed=run_of(copy).executed.with_stem("02_reader")
        )
        assert not again.is_current
        first = next(name for name in copy.chapters if name != "02_reader")
        assert "02_reader: done" in invoke(copy, "build", first).stdout
        assert again.is_current

    def test_magics_are_not_taken_for_python(self, copy: Book) -> None:
        path = write_chapter(
            copy, "02_magic", "%matplotlib inline\nfrom lib.stages import data\n!ls"
        )
        modules = {"compute", "compute.parameters", "stages", "stages.data"}
        assert Chapter(path).modules() == modules


@pytest.mark.usefixtures("unrendered")
class TestSideBySide:
    MEET = """\
    import os, time
    from pathlib import Path
    Path({here!r}).touch()
    end = time.monotonic() + 120
    while not Path({other!r}).exists():
        assert time.monotonic() < end, "the other one does not run"
        time.sleep(0.05)
    assert os.environ["LIB_JOBS"] == "2", "sweeps do not know of the other one"
    """

    def test_two_chapters_run_at_once(self, new_book: Callable[..., Book]) -> None:
        book = new_book(self.MEET.format(here="one", other="two"))
        write_chapter(book, "02_tiny", self.MEET.format(here="two", other="one"))
        result = invoke(book, "build", "--jobs", "2")
        assert result.exit_code == 0, result.output

    @pytest.mark.parametrize("says", ["measures_time", "reads_this_run"])
    def test_who_measures_or_reads_the_others_runs_alone(
        self, new_book: Callable[..., Book], says: str
    ) -> None:
        took = "import os, time; began = time.time(); time.sleep(1); print(began, time.time())"
        took += "\nassert os.environ['LIB_JOBS'] == '1'"
        book = new_book(took)
        write_chapter(book, "02_alone", took, **{says: True})
        write_chapter(book, "03_after", took)
        assert invoke(book, "build", "--jobs", "3").exit_code == 0
        executed = book.build / "executed" / "classroom"
        times = [
            float(moment)
            for name in book.chapters
            for moment in printed(executed / f"{name}.ipynb").split()
        ]
        assert times == sorted(times)

    def test_a_failure_stops_the_others(self, new_book: Callable[..., Book]) -> None:
        begun = "import os, time\nfrom pathlib import Path\n"
        book = new_book(
            begun + "while not Path('pid').exists(): time.sleep(0.05)", "raise ValueError('no')"
        )
        write_chapter(
            book,
            "02_tiny",
            begun + "Path('part').write_text(str(os.getpid()))\nos.rename('part', 'pid')",
            "time.sleep(300)",
        )
        write_chapter(book, "03_tiny", "Path('never').touch()")
        result = invoke(book, "build", "--jobs", "2")
        assert result.exit_code == 1
        assert "01_tiny failed in cell 5 of 5: ValueError: no" in result.stderr
        _wait_until(lambda: not _is_alive(int((book.root / "pid").read_text())))
        assert not (book.build / "executed").exists()
        assert not (book.root / "never").exists()

    def test_none_starts_while_a_failure_is_on_its_way(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A thread takes the next chapter before the one that waits has heard of the failure."""
        begun: list[str] = []
        beside, killed = Event(), Event()

        class Fake(SimpleNamespace):
            chapter, is_current = SimpleNamespace(runs_alone=False), False

            def execute(self, *_: object) -> None:
                begun.append(self.name)
                if self.name == "fails":
                    beside.wait()
                    raise RuntimeError("no")
                beside.set()
                killed.wait()

        def waits(*arguments: Any, **options: Any) -> Any:
            found = wait(*arguments, **options)
            time.sleep(0.2)
            return found

        kills = iter([lambda: None, lambda: None, killed.set])  # its kernel is not there at first
        monkeypatch.setattr(runner, "wait", waits)
        monkeypatch.setattr(runner.kernels, "stop_all", lambda: next(kills)())
        runs: Any = [Fake(name=name) for name in ("fails", "starts late", "never")]
        with pytest.raises(RuntimeError, match="no"):
            runner.execute_all(runs, progress=lambda _: nullcontext(print), unchanged=print, jobs=2)
        assert begun == ["fails", "starts late"]


class TestFailures:
    @pytest.mark.parametrize(
        ("cell", "reason"),
        [
            ("raise ValueError('too large')", "failed in cell 4 of 5: ValueError: too large"),
            ("import os\nos._exit(1)", "failed in cell 4 of 5: Kernel died"),
        ],
        ids=["error", "dead kernel"],
    )
    def test_a_failed_chapter_is_not_published(self, copy: Book, cell: str, reason: str) -> None:
        before = contents(copy.build / "html") | contents(copy.build / "executed")
        write_chapter(copy, "01_tiny", cell, "print('after')")
        result = invoke(Book(copy.root), "build")
        assert result.exit_code == 1
        assert f"01_tiny {reason}" in result.stderr
        assert "Traceback" not in result.output
        partial = copy.build / "unfinished" / "classroom" / "01_tiny.ipynb"
        assert str(partial) in result.stderr
        assert partial.is_file()
        assert contents(copy.build / "html") | contents(copy.build / "executed") == before

    def test_a_chapter_that_ends_itself_early_is_not_whole(self, copy: Book) -> None:
        write_chapter(copy, "01_tiny", "raise SystemExit(0)", "print('after')")
        result = invoke(Book(copy.root), "build")
        assert result.exit_code == 1
        assert "01_tiny failed" in result.stderr

    def test_a_warning_leaves_the_site_as_it_was(self, copy: Book) -> None:
        before = contents(copy.build / "html")
        intro = copy.source / "intro.md"
        intro.write_text(intro.read_text() + "\nSee {numref}`fig-nowhere`.\n")
        result = invoke(copy, "build")
        assert result.exit_code == 1
        assert "fig-nowhere" in result.stderr
        assert "Traceback" not in result.output
        assert contents(copy.build / "html") == before

    @pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
    @pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill"])
    def test_an_interrupted_chapter_is_not_published(
        self, new_book: Callable[..., Book], kill: signal.Signals
    ) -> None:
        book = new_book(
            "import os, time\nfrom pathlib import Path",
            "Path('running').write_text(str(os.getpid()))\ntime.sleep(300)",
        )
        started = book.root / "running"
        process = subprocess.Popen(
            [
                *(sys.executable, "-c"),
                # A shell without job control makes what it runs behind it deaf to Ctrl-C.
                "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
                "from pathlib import Path; from lib.site.book import Book; "
                "from lib.site.cli import main; main(['build'], obj=Book(Path(sys.argv[1])))",
                str(book.root),
            ],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        _wait_until(lambda: started.is_file() and started.read_text() != "")
        process.send_signal(kill)
        _, told = process.communicate(timeout=120)
        if kill == signal.SIGINT:
            assert process.returncode == 130
            assert "Interrupted" in told
            assert "Traceback" not in told
        assert not (book.build / "executed").exists()
        assert not (book.build / "html").exists()
        _wait_until(lambda: not _is_alive(int(started.read_text())))


def _wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
