"""Renders the site from a staging tree that holds the executed chapters.

The staging tree has the layout of the repository, with executed copies in place of the
sources: the page's Download gives what was executed, its other buttons open the clean source.
"""

import errno
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import nbformat
import yaml

from lib.compute import provenance
from lib.site import folders, origins, reading
from lib.site.book import Book
from lib.site.runner import Run

RUN_TABLE = "run_table.md"
"""The page that the introduction includes: what ran, with which parameters, how long."""

TIMES = "times.md"
"""What the page for those who teach includes: how long each chapter takes."""

FIGURES = "figures"
"""The folder of the chapters' named figures, for pages that show one of another chapter."""

SVG = "image/svg+xml"

FULL_SCALE = "paper"
"""The preset of the full-scale run."""

FOR_THE_SITE = origins.FOLDER
"""A folder beside the results of a run: what chapters put there is copied into the site."""

FOLDED = {
    "parameters": "Parameters and their defaults",
    "injected-parameters": "Parameters of this run",
}
"""Cells that are folded on the page by their tags, so that a chapter begins with its question."""

FOLDED_BY_ITSELF = {"hide-input", "hide-output", "hide-cell"}
"""Tags by which a cell says that it is folded."""

RENDERING_PACKAGES = ("jupyter-book", "sphinx", "myst-nb", "sphinx-book-theme")


class RenderError(RuntimeError):
    """The pages have warnings; the site was left as it was."""


def render(book: Book, runs: Iterable[Run]) -> tuple[Path, bool]:
    """Render the executed chapters, unless the site shows just that already.

    Parameters
    ----------
    book
        Its pages are rendered.
    runs
        The chapters to show. With fewer than all chapters, references to the others lead
        nowhere, so warnings are not errors then.

    Returns
    -------
    site : pathlib.Path
        The site's first page.
    rendered : bool
        False if the site was current.

    Raises
    ------
    RenderError
        Sphinx warned. The site was left as it was.
    """
    runs = list(runs)
    site, stamp = book.build / "html", book.build / "html.digest"
    first_page = site / "index.html"
    book.build.mkdir(parents=True, exist_ok=True)
    # A folder of its own: two builds at once do not disturb each other.
    with folders.private(book.build, "rendering-") as workplace:
        stage = workplace / "stage"
        _stage(book, runs, stage)
        current = _digest(stage)
        if first_page.is_file() and stamp.is_file() and stamp.read_text("utf-8") == current:
            return first_page, False
        strict = {run.chapter.name for run in runs} == set(book.chapters)
        rendered = _sphinx(stage, workplace, strict=strict)
        if (stage / "book" / "slides").is_dir():
            _slides(stage / "book", rendered)
        if (stage / FOR_THE_SITE).is_dir():
            shutil.copytree(stage / FOR_THE_SITE, rendered, dirs_exist_ok=True)
        stamp.unlink(missing_ok=True)
        _swap(rendered, site)
        stamp.write_text(current, "utf-8")
    return first_page, True


def _stage(book: Book, runs: list[Run], stage: Path) -> None:
    sources = shutil.ignore_patterns(".*", "*.ipynb", "presets", "__pycache__")
    shutil.copytree(book.source, stage / "book", ignore=sources)
    shutil.copy(book.root / "_config.yml", stage)

    absent = set(book.chapters) - {run.chapter.name for run in runs}
    contents = yaml.safe_load((book.root / "_toc.yml").read_text("utf-8"))
    left = _without(contents, {f"book/{name}" for name in absent})
    (stage / "_toc.yml").write_text(yaml.safe_dump(left, sort_keys=False), "utf-8")

    notebooks = {run: nbformat.read(run.executed, as_version=4) for run in runs}
    (stage / "book" / RUN_TABLE).write_text(_run_table(notebooks) + _full_scale(book), "utf-8")
    seconds = {
        run: float(found.metadata["papermill"]["duration"]) for run, found in notebooks.items()
    }
    named = {run.chapter.name: (found, seconds[run]) for run, found in notebooks.items()}
    (stage / "book" / TIMES).write_text(reading.table(named), "utf-8")
    for page in (stage / "book").glob("*.md"):
        page.write_text(_without_glue(page.read_text("utf-8"), absent), "utf-8")
    for folder in {run.results / FOR_THE_SITE for run in runs}:
        if folder.is_dir():
            shutil.copytree(folder, stage / FOR_THE_SITE)
    (stage / "book" / FIGURES).mkdir()
    for run, notebook in notebooks.items():
        _save_figures(notebook, stage / "book" / FIGURES)
        kept = _records(book, run)
        for name in origins.note(notebook, kept.keys()):
            for group, path in kept[name].items():
                copy = stage / FOR_THE_SITE / origins.RECORDS / group / path.name
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, copy)
        shown = _for_readers(notebook, book.root)
        for cell in shown.cells:
            if cell.cell_type == "markdown":
                cell.source = _without_glue(cell.source, absent)
        reading.stated(shown, seconds[run])
        nbformat.write(shown, stage / "book" / f"{run.chapter.name}.ipynb")


def _records(book: Book, run: Run) -> dict[str, dict[str, Path]]:
    """Return the records that there are, by name and by the folder of the site that has them."""
    found: dict[str, dict[str, Path]] = {}
    places = {origins.FULL_SCALE: book.source / "results", origins.THIS_RUN: run.results}
    for folder, results in places.items():
        for path in [*sorted(results.glob("*.csv")), *results.glob("bench.json")]:
            found.setdefault(path.stem, {})[folder] = path
    return found


def _without(contents: Any, pages: set[str]) -> Any:
    """Return a table of contents without the entries of some pages."""
    if isinstance(contents, list):
        return [
            _without(entry, pages)
            for entry in contents
            if not (isinstance(entry, dict) and entry.get("file") in pages)
        ]
    if isinstance(contents, dict):
        return {key: _without(value, pages) for key, value in contents.items()}
    return contents


def _without_glue(text: str, absent: set[str]) -> str:
    """Return a page that says so where it would show what an absent chapter found."""

    def replaced(glue: re.Match[str]) -> str:
        if glue[1] not in absent:
            return glue[0]
        return f"Not built yet: `python -m lib build {glue[1]}` shows it here."

    text = re.sub(r"```\{glue\} [\w-]+\n:doc: (\w+)\.ipynb\n```", replaced, text)
    return re.sub(
        r"\{glue:text\}`(\w+)\.ipynb::[^`]+`",
        lambda glue: "(not built yet)" if glue[1] in absent else glue[0],
        text,
    )


def _for_readers(notebook: nbformat.NotebookNode, root: Path) -> nbformat.NotebookNode:
    """Fold the parameters, place computed alt texts, drop paths of this machine."""
    own = [f"{folder}{os.sep}" for folder in (sys.prefix, root, Path.home())]
    _name_folded(notebook)
    for bookkeeping in ("papermill", "run"):
        notebook.metadata.pop(bookkeeping, None)
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        for tag, prompt in FOLDED.items():
            if tag in cell.metadata.get("tags", []):
                cell.metadata.tags.append("hide-input")
                cell.metadata.setdefault("mystnb", {})["code_prompt_show"] = prompt
        for output in cell.get("outputs", []):
            for details in output.get("metadata", {}).values():
                if isinstance(details, dict) and "alt" in details:
                    image = cell.metadata.setdefault("mystnb", {}).setdefault("image", {})
                    image["alt"] = details["alt"]
            for folder in own if "text" in output else ():  # warnings name the file they are in
                output["text"] = output["text"].replace(folder, "")
    return notebook


def _name_folded(notebook: nbformat.NotebookNode) -> None:
    """Give every folded cell a bar of its own: what it is, and under which heading it stands."""
    heading, used = "", Counter[str]()
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for found in re.findall(r"^#+ (.+)$", cell.source, re.MULTILINE):
                heading = re.sub(r"\{[\w:]+\}|[`$*{}]", "", found)
        elif FOLDED_BY_ITSELF & {*(tags := cell.metadata.get("tags", []))}:
            name = heading
            if "facts" in tags:
                name = f"what the text quotes ({heading})"
            elif comment := re.match(r"# (.+)", cell.source):
                name = comment[1]
            elif re.match(r"(?:import|from) ", cell.source):
                name = f"imports ({heading})"
            used[name] += 1
            name += f", {used[name]}" if used[name] > 1 else ""
            prompts = cell.metadata.setdefault("mystnb", {})
            prompts.setdefault("code_prompt_show", f"Show the {{type}}: {name}")
            prompts.setdefault("code_prompt_hide", f"Hide the {{type}}: {name}")


def _save_figures(notebook: nbformat.NotebookNode, folder: Path) -> None:
    """Write the figures that have a name to files of that name."""
    for cell in notebook.cells:
        name = cell.metadata.get("mystnb", {}).get("figure", {}).get("name")
        drawn = [output.data for output in cell.get("outputs", []) if "data" in output]
        if name and (images := [data[SVG] for data in drawn if SVG in data]):
            (folder / f"{name}.svg").write_text(images[-1], "utf-8")


def _run_table(notebooks: Mapping[Run, nbformat.NotebookNode]) -> str:
    rows = ["| Chapter | Parameters | Seconds | Executed (UTC) |", "| --- | --- | ---: | --- |"]
    for run, notebook in notebooks.items():
        timing = notebook.metadata["papermill"]
        when = datetime.fromisoformat(timing["start_time"])
        rows.append(
            f"| [](/book/{run.chapter.name}.ipynb) "
            f"| {_listed(notebook.metadata['run']['parameters'])} "
            f"| {timing['duration']:.0f} | {when:%Y-%m-%d %H:%M} |"
        )
    versions = {"Python": sys.version.split()[0], **provenance.versions()}
    with_versions = ", ".join(f"{name} {version}" for name, version in versions.items())
    return "\n".join([*rows, "", f"Computed with {with_versions}.", ""])


def _full_scale(book: Book) -> str:
    """Say which parameters the full-scale run had, if the book has its preset."""
    if not (book.source / "presets" / f"{FULL_SCALE}.yaml").is_file():
        return ""
    return (
        f"\n*Full scale* was computed under the preset `{FULL_SCALE}`: "
        f"{_listed(book.preset(FULL_SCALE))}. For every other parameter the chapter's own default "
        "holds.\n"
    )


def _listed(parameters: Mapping[str, Any]) -> str:
    return ", ".join(
        f"`{name}` {_plain(value)}" for name, value in parameters.items() if value not in ("", None)
    )


def _plain(value: object) -> str:
    """Return a value as text in which Markdown and HTML find nothing of theirs."""
    return re.sub(r"[^\w\s.,:+\[\]/'-]", lambda sign: f"&#{ord(sign[0])};", str(value))


def _digest(stage: Path) -> str:
    """Return a digest of all that determines the site."""
    text = hashlib.sha256()
    for path in sorted(path for path in stage.rglob("*") if path.is_file()):
        text.update(f"{path.relative_to(stage).as_posix()} {path.stat().st_size}\n".encode())
        text.update(path.read_bytes())
    for name in RENDERING_PACKAGES:
        text.update(f"{name} {metadata.version(name)}\n".encode())
    text.update(provenance.code_digest("site.render", "site.theme", "site.lesson").encode())
    return text.hexdigest()


def in_one_file(book: Book, runs: Iterable[Run], workplace: Path) -> Path:
    """Render the executed chapters as one page in a folder, and return that page.

    Raises
    ------
    RenderError
        Sphinx failed.
    """
    stage = workplace / "stage"
    _stage(book, list(runs), stage)
    root = yaml.safe_load((stage / "_toc.yml").read_text("utf-8"))["root"]
    site = _sphinx(stage, workplace, "singlehtml", strict=False)
    # Its addresses are those of a page at the top.
    return (site / f"{root}.html").replace(site / "index.html")


def _sphinx(stage: Path, output: Path, builder: str = "html", *, strict: bool) -> Path:
    jupyter_book = "from jupyter_book.cli.main import main; main()"
    command = ["-c", jupyter_book, "build", str(stage), "--path-output", str(output)]
    if builder != "html":
        command += ["--builder", "custom", "--custom-builder", builder]
    log = _run([*command, "--keep-going", *(["-W", "-n"] if strict else [])], stage)
    site = output / "_build" / builder
    if not (site / "index.html").is_file():
        raise RenderError(_complaints(log, stage))
    return site


def _slides(pages: Path, site: Path) -> None:
    """Add the slides of the lessons to the site, with the figures of its chapters."""
    built = pages / "built"
    options = ["-m", "sphinx", "-q", "-b", "revealjs", "-c", str(pages / "slides")]
    _run([*options, str(pages), str(built)], pages)
    for part in ("slides", "_images", "_static/revealjs"):
        if (built / part).is_dir():  # a site of few chapters may lack what slides draw
            shutil.copytree(built / part, site / part, dirs_exist_ok=True)


def _run(options: list[str], stage: Path) -> str:
    """Run Python on the staging tree and return what it said; failure is a RenderError."""
    # Whatever the code page of the console: what it says is read as UTF-8.
    environment = os.environ | {"PYTHONWARNINGS": "ignore", "PYTHONUTF8": "1"}
    environment.pop("PYTHONIOENCODING", None)
    done = subprocess.run(
        [sys.executable, *options],
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=environment,
        check=False,
    )
    if (full := os.strerror(errno.ENOSPC)) in done.stderr:
        raise OSError(errno.ENOSPC, full, str(stage.parent))
    if done.returncode:
        raise RenderError(_complaints(done.stdout + done.stderr, stage))
    return done.stdout + done.stderr


def _complaints(log: str, stage: Path) -> str:
    warnings = [line for line in log.splitlines() if "WARNING" in line or "ERROR" in line]
    return "\n".join(warnings or log.splitlines()[-20:]).replace(f"{stage}{os.sep}", "")


def _swap(rendered: Path, site: Path) -> None:
    if site.exists():
        site.rename(rendered.with_name("old"))
    rendered.rename(site)
