"""What the guide says is enough: its files, put into a copy of the checkout, and nothing else."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from .conftest import ROOT

BLOCK = re.compile(r"^```(?:python|yaml)\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def guide() -> dict[str, str]:
    """Return the files that the guide adds, by their paths."""
    return dict(BLOCK.findall((ROOT / "lib" / "README.md").read_text(encoding="utf-8")))


def as_notebook(text: str) -> nbformat.NotebookNode:
    """Make a notebook of text in which ``# %%`` begins a cell."""
    cells = []
    for part in text.split("# %%")[1:]:
        kind, _, source = part.partition("\n")
        if "markdown" in kind:
            cells.append(new_markdown_cell(re.sub("^# ", "", source, flags=re.MULTILINE).strip()))
        else:
            tags = ["parameters"] if "parameters" in kind else []
            cells.append(new_code_cell(source.strip(), metadata={"tags": tags}))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of what is needed, with what the guide adds."""
    copy: Path = tmp_path_factory.mktemp("checkout")
    for name in ("lib", "book"):
        ignored = shutil.ignore_patterns("__pycache__", "*.ipynb", "models")
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    shutil.copy(ROOT / "book" / "01_model.ipynb", copy / "book")
    toc = "format: jb-book\nroot: book/intro\nchapters:\n  - file: book/01_model\n"
    for name, text in guide().items():
        if name == "_toc.yml":
            (copy / name).write_text(toc + text)
        elif name.startswith("book/"):
            nbformat.write(as_notebook(text), (copy / name).with_suffix(".ipynb"))
        else:
            assert not (copy / name).exists()
            (copy / name).write_text(text)
    return copy


def lib(checkout: Path, *arguments: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", "lib", *arguments], cwd=checkout, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_the_guide_adds_one_of_each_kind() -> None:
    folders = [Path(name).parent.as_posix() for name in guide()]
    rooms = [f"lib/stages/{folder}" for folder in ("datasets", "networks", "attackers")]
    assert folders == [*rooms, "book", "."]


def test_what_is_added_is_listed_where_it_may_be_given(checkout: Path) -> None:
    listed = lib(checkout, "list")
    assert "one of mnist-tiny, mnist-5k, mnist, fashion-5k, fashion-mnist, halves" in listed
    assert "one of shallow, base, dense, residual, smooth" in listed
    assert "one of clean, noise, grey, static" in listed
    assert "An example" in listed
    assert listed.count("fashion-mnist, halves") >= 2  # in the chapters that were there before, too


def test_what_is_added_runs_in_a_chapter_and_stands_in_its_table(checkout: Path) -> None:
    lib(checkout, "run", "11_example", "--preset", "classroom", "-p", "dataset", "halves")
    copy = checkout / "_build" / "run" / "11_example-dataset-halves.ipynb"
    executed = nbformat.read(copy, as_version=4)
    shown = [
        output["data"].get("text/html", "")
        for cell in executed.cells
        for output in cell.get("outputs", ())
        if "data" in output
    ]
    assert any("fading to grey" in html and "What is left" in html for html in shown), shown
