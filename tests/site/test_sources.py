"""The chapters' sources are clean, documented and complete."""

import ast
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import nbformat
import pytest
import yaml

from lib.compute import provenance
from lib.site.book import Chapter, pages

from ..conftest import REAL_BOOK, ROOT

CHAPTERS = sorted(REAL_BOOK.source.glob("*.ipynb"))

each_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)


def cells(path: Path) -> list[nbformat.NotebookNode]:
    notebook: nbformat.NotebookNode = nbformat.read(path, as_version=4)
    return list(notebook.cells)


def tags(cell: nbformat.NotebookNode) -> list[str]:
    return list(cell.metadata.get("tags", []))


def test_the_contents_name_every_chapter() -> None:
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    named = [page for page in pages(contents) if (ROOT / f"{page}.ipynb").is_file()]
    assert sorted(named) == [f"book/{path.stem}" for path in CHAPTERS]
    numbered = [page for page in named if page[5:7].isdigit()]
    assert numbered == sorted(numbered) == named[: len(numbered)]


def test_sources_carry_no_outputs() -> None:
    subprocess.run(
        [
            *(sys.executable, "-m", "nbstripout", "--verify", "--keep-id"),
            *("--extra-keys", "metadata.papermill cell.metadata.papermill"),
            *map(str, CHAPTERS),
        ],
        check=True,
    )


@each_chapter
def test_cells_have_ids_of_their_own(path: Path) -> None:
    ids = [cell.id for cell in cells(path)]
    assert len(ids) == len(set(ids))
    assert '"name": "python3"' in path.read_text(encoding="utf-8")


@each_chapter
def test_parameters_are_typed_documented_and_valid(path: Path) -> None:
    tagged = [cell for cell in cells(path) if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    chapter = Chapter(path)
    assert chapter.parameters
    for parameter in chapter.parameters.values():
        assert parameter.help, f"{parameter.name} has no comment"
        parameter.validated(parameter.default)


CHECK = "from lib.compute import parameters\n\nparameters.check(globals())"


@each_chapter
def test_a_chapter_checks_its_parameters_at_once(path: Path) -> None:
    """So that papermill alone is as safe as the builder."""
    code = [cell for cell in cells(path) if cell.cell_type == "code"]
    tagged = [number for number, cell in enumerate(code) if "parameters" in tags(cell)]
    assert code[tagged[0] + 1].source.startswith(CHECK)


@each_chapter
def test_a_chapter_says_what_the_builder_has_to_know(path: Path) -> None:
    chapter = Chapter(path)
    code = "\n".join(cell.source for cell in cells(path) if cell.cell_type == "code")
    calls = re.search(r"\bthis_run\(", code)  # not of_this_run(, as a chapter may name its own
    reads = bool(calls) or "evidence.claims" in chapter.modules()
    assert chapter.reads_this_run == reads
    measures = "bench.timing" in provenance.code_closure(chapter.modules())
    assert chapter.runs_alone == (reads or measures)


def test_a_parameter_means_the_same_in_every_chapter() -> None:
    """Where the help has to differ, the name should."""
    texts: dict[tuple[str, str], set[str]] = {}
    for path in CHAPTERS:
        for parameter in Chapter(path).parameters.values():
            texts.setdefault((parameter.name, parameter.annotation), set()).add(parameter.help)
    assert not {name: found for name, found in texts.items() if len(found) > 1}


@each_chapter
def test_figures_have_a_name_a_caption_and_alt_text(path: Path) -> None:
    for cell in cells(path):
        drawing = cell.metadata.get("mystnb", {})
        if "figure" not in drawing:
            continue
        assert re.fullmatch(r"[a-z0-9-]+", drawing["figure"]["name"])
        assert len(drawing["figure"]["caption"]) > 20
        # Text that the cell computes comes with its output.
        assert drawing.get("image", {}).get("alt") or '"alt"' in cell.source


@each_chapter
def test_code_in_the_text_is_closed_and_is_python_where_it_says_so(path: Path) -> None:
    for text in (cell.source for cell in cells(path) if cell.cell_type == "markdown"):
        language, code = "", None
        for line in text.splitlines():
            if code is None:
                opening = re.match(r"\s*```([^`]*)$", line)
                language, code = (opening[1], []) if opening else ("", None)
            elif line.strip() == "```":
                if language == "python":
                    ast.parse(textwrap.dedent("\n".join(code)))
                code = None
            else:
                code.append(line)
        assert code is None, f"not closed: {code}"


def test_sources_name_no_machine() -> None:
    sources = [*CHAPTERS, *REAL_BOOK.source.glob("*.md"), *REAL_BOOK.source.glob("presets/*")]
    for path in sources:
        found = re.search(
            r"(/home|/root|/tmp|/Users|[A-Z]:\\\\Users)[/\\]\S*|localhost",
            path.read_text(encoding="utf-8"),
        )
        assert not found, f"{path.name}: {found}"
