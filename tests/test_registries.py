"""What the guide says is enough: its files, put into a copy of the checkout, and nothing else."""

import os
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
    return new_notebook(cells=cells)  # without a kernel's name, as Jupytext makes it


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of what is needed, with what the guide adds."""
    copy: Path = tmp_path_factory.mktemp("checkout")
    for name in ("lib", "book"):
        ignored = shutil.ignore_patterns("__pycache__", "models")
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    toc = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    shutil.copy(ROOT / "pyproject.toml", copy)
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
        [sys.executable, "-m", "lib", *arguments],
        cwd=checkout,
        env=os.environ | {"PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_the_guide_adds_one_of_each_kind() -> None:
    folders = [Path(name).parent.as_posix() for name in guide()]
    rooms = [f"lib/stages/{folder}" for folder in ("datasets", "networks", "attackers")]
    assert folders == [*rooms, "book", "."]


def test_what_is_added_is_listed_where_it_may_be_given(checkout: Path) -> None:
    listed = lib(checkout, "list")
    assert re.search("one of mnist-tiny, mnist-5k, mnist, .*halves", listed)
    assert re.search("one of shallow, base, dense, .*smooth", listed)
    assert re.search("one of clean, noise, grey, .*static", listed)
    assert "An example" in listed
    assert listed.count("halves") > 2  # in the chapters that were there before, too


def test_what_is_added_runs_in_a_chapter_and_stands_in_its_table(checkout: Path) -> None:
    lib(checkout, "run", "11_example", "--preset", "classroom")
    executed = nbformat.read(checkout / "_build" / "run" / "11_example.ipynb", as_version=4)
    shown = [
        output["data"].get("text/html", "")
        for cell in executed.cells
        for output in cell.get("outputs", ())
        if "data" in output
    ]
    assert executed.metadata["run"]["parameters"]["pictures"] == "halves"  # whatever a preset says
    assert any("fading to grey" in html and "What is left" in html for html in shown), shown


def test_what_is_added_passes_the_checks_of_style(checkout: Path) -> None:
    added = [name.replace("example.py", "example.ipynb") for name in guide() if ".py" in name]
    for command in (["check"], ["format", "--check"]):
        ran = subprocess.run(
            [sys.executable, "-m", "ruff", *command, *added],
            cwd=checkout,
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
