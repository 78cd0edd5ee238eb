"""A tiny book to break, and the site of the real one, built once a session."""

import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
import yaml
from absl import logging as absl_logging
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from lib.site.book import Book
from lib.site.cli import main

ROOT = Path(__file__).parent.parent
REAL_BOOK = Book(ROOT, "_build/test")

# What configures logging, as the import of ART does, has absl close the stream that it found: where
# that is not sys.stderr any more, pytest would lose its own, and every later test with it.
absl_logging.get_absl_handler().python_handler.setStream(sys.__stderr__)

PARAMETERS = """\
from lib.compute.parameters import Architecture, Dataset, Epsilon, Seeds

dataset: Dataset = "mnist-5k"  # which images
model: Architecture = "base"  # which network
epsilon: Epsilon = 0.3  # L-infinity radius
seeds: Seeds = [0]  # one model a seed
"""


LONGEST = (
    "test_pages",
    "test_runner",
    "test_adaptive",
    "test_splitting",
    "test_machine",
    "test_rebuild",
    "test_bench",
    "test_accelerated",
    "test_attacks",
    "test_survivors",
    "test_hardening",
    "test_radius",
    "test_cards",
    "test_residual",
    "test_sweeps",
    "test_code",
    "test_values",
    "test_lab",
    "test_training",
    "test_chapters",  # it takes from the cache what the site computed
    "test_exercises",  # so does this
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest: each runs in one of several processes.

    Where pytest-xdist keeps this order (``--no-loadscope-reorder``), short ones fill the end.
    """
    order = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


@pytest.fixture(autouse=True)
def no_process_of_another_test() -> Iterator[None]:
    """End the processes of a sweep: they would serve the next test in this one's environment."""
    yield
    loky = sys.modules.get("joblib.externals.loky.reusable_executor")
    if loky and loky._executor:
        loky._executor.shutdown(wait=True, kill_workers=True)


def write_chapter(
    book: Book, name: str, *cells: str, title: str = "A tiny chapter", **says: bool
) -> Path:
    """Write a chapter of a title, the parameters above and some code cells.

    What it says of itself in its metadata comes by keywords.
    """
    notebook = new_notebook(
        cells=[
            new_markdown_cell(f"# {title}", id="title"),
            new_code_cell(PARAMETERS, id="parameters", metadata={"tags": ["parameters"]}),
            *(new_code_cell(textwrap.dedent(cell), id=f"c{n}") for n, cell in enumerate(cells)),
        ]
    )
    notebook.metadata.kernelspec = {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }
    notebook.metadata.book = says
    path = book.source / f"{name}.ipynb"
    nbformat.write(notebook, path)
    names = sorted(path.stem for path in book.source.glob("*.ipynb"))
    contents = {
        "format": "jb-book",
        "root": "book/intro",
        "chapters": [{"file": f"book/{name}"} for name in names],
    }
    (book.root / "_toc.yml").write_text(yaml.safe_dump(contents, sort_keys=False))
    return path


@pytest.fixture(scope="session")
def new_book(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Book]:
    """Return a function that makes a book with one chapter of the given cells."""

    def make(*cells: str) -> Book:
        book = Book(tmp_path_factory.mktemp("book"))
        (book.source / "presets").mkdir(parents=True)
        (book.source / "presets" / "classroom.yaml").write_text("epsilon: 0.2\nunused: 1\n")
        (book.source / "presets" / "smoke.yaml").write_text("epsilon: 0.1\n")
        (book.source / "intro.md").write_text("# Tiny\n\n```{include} run_table.md\n```\n")
        (book.source / "references.bib").write_text("")
        shutil.copytree(ROOT / "book" / "_static", book.source / "_static")
        shutil.copy(ROOT / "_config.yml", book.root)
        write_chapter(book, "01_tiny", *cells)
        return book

    return make


@pytest.fixture(scope="session")
def site(pytestconfig: pytest.Config) -> Path:
    """Return the folder of the real book's site, built strictly under the smoke preset."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    try:
        with capture.global_and_fixture_disabled():  # it takes minutes: show how far it is
            print()
            main(["build", "--preset", "smoke"], obj=REAL_BOOK, standalone_mode=False)
    except SystemExit as failure:
        pytest.fail(f"the book does not build, exit code {failure.code}: see its message")
    return REAL_BOOK.build / "html"
