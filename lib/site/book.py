"""The book as it lies in the repository: chapters, presets, table of contents."""

import ast
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import nbformat
import yaml

from lib.compute import parameters, provenance
from lib.compute.parameters import RefusedError
from lib.site import names
from lib.site.schema import Parameter, declared

DEFAULT_PRESET = "classroom"


@dataclass(frozen=True)
class Chapter:
    """A notebook of the book, without outputs.

    What the builder has to know about it stands in the notebook's metadata, under ``book``:
    ``reads_this_run`` says that it shows what other chapters of the same run computed,
    ``measures_time`` that nothing may run beside it.
    """

    path: Path

    @property
    def name(self) -> str:
        """The file's name without its suffix, such as ``01_model``."""
        return self.path.stem

    @cached_property
    def notebook(self) -> nbformat.NotebookNode:
        """The parsed source.

        Raises
        ------
        RefusedError
            The file is not a notebook.
        """
        content = _text(self.path)
        try:
            notebook: nbformat.NotebookNode = nbformat.reads(content, as_version=4)
            nbformat.validate(notebook)
        except (ValueError, TypeError, AttributeError, nbformat.ValidationError) as error:
            reason = str(error).splitlines()[0] if content.strip() else "it is empty"
            if any(line.startswith(("<<<<<<< ", ">>>>>>> ")) for line in content.splitlines()):
                reason = "it holds the marks of a merge conflict"
            raise RefusedError(f"{self.path}: not a notebook: {reason}") from None
        return notebook

    @property
    def title(self) -> str:
        """The first heading."""
        text = "\n".join(cell.source for cell in self.notebook.cells if cell.cell_type != "code")
        headings = [line[2:].strip() for line in text.splitlines() if line.startswith("# ")]
        return headings[0] if headings else self.name

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        """The declared parameters by name, in the order of the parameters cell."""
        return declared(self.notebook, self.name)

    def _says(self, what: str) -> bool:
        return bool(self.notebook.metadata.get("book", {}).get(what, False))

    @property
    def reads_this_run(self) -> bool:
        """Whether it shows what earlier chapters of the same run computed."""
        return self._says("reads_this_run")

    @property
    def runs_alone(self) -> bool:
        """Whether it measures time, or reads what all chapters before it computed."""
        return self.reads_this_run or self._says("measures_time")

    def modules(self) -> set[str]:
        """Return the modules of ``lib`` that the chapter imports by name.

        Raises
        ------
        RefusedError
            A cell is not Python.
        """
        found: set[str] = set()
        for number, cell in enumerate(self.notebook.cells, start=1):
            if cell.cell_type != "code":
                continue
            try:
                found |= provenance.imported_modules(ast.parse(names.plain(cell.source)))
            except SyntaxError as error:
                raise RefusedError(f"{self.name}: cell {number} is not Python: {error}") from None
        return found


@dataclass(frozen=True)
class Book:
    """The repository: where its chapters and presets are, and where what is built goes."""

    root: Path
    build_folder: str = "_build"

    @property
    def source(self) -> Path:
        """The folder of pages, chapters and presets."""
        return self.root / "book"

    @property
    def build(self) -> Path:
        """The folder of everything that is built."""
        return self.root / self.build_folder

    @cached_property
    def chapters(self) -> dict[str, Chapter]:
        """The chapters by name, in the order of the table of contents.

        Raises
        ------
        RefusedError
            The table of contents cannot be read, or names a page that is not there.
        """
        path = self.root / "_toc.yml"
        named = pages(_mapping(path))
        found = {}
        for page in named:
            if not re.fullmatch(r"[\w-]+", Path(page).name):
                raise RefusedError(f"{path}: {page}: its name may have letters, digits, - and _")
            notebook = self.root / f"{page}.ipynb"
            if notebook.is_file():
                found[notebook.stem] = Chapter(notebook)
            elif not (self.root / f"{page}.md").is_file():
                raise RefusedError(f"{path}: it names {page}, but there is no such .ipynb or .md")
        return found

    def refuse_lost_references(self) -> None:
        """Refuse a table of contents without a page to which one of its pages refers.

        Raises
        ------
        RefusedError
            Names both, and the way out: the renderer would warn once for every reference.
        """
        path = self.root / "_toc.yml"
        named = {Path(page).name: page for page in pages(_mapping(path))}
        for name, page in named.items():
            source = self.chapters[name].path if name in self.chapters else self.root / f"{page}.md"
            for gone in sorted(_referred_to(_text(source)) - set(named)):
                raise RefusedError(
                    f"{path}: it does not name {gone}, to which {page} refers: put it back, or "
                    "take out what refers to it"
                )

    def chosen(self, names: Iterable[str]) -> list[Chapter]:
        """Return the named chapters in the book's order; all of them if there are no names."""
        wanted = {Path(name).stem for name in names}
        for name in sorted(wanted - set(self.chapters)):
            raise RefusedError(
                f"{name}: no such chapter{parameters.suggestion(name, self.chapters)} "
                f"Chapters: {', '.join(self.chapters)}"
            )
        return [chapter for name, chapter in self.chapters.items() if not wanted or name in wanted]

    def preset(self, name: str) -> dict[str, Any]:
        """Return the values of a preset by parameter name.

        Raises
        ------
        RefusedError
            There is no such preset, or it cannot be read.
        """
        known = {path.stem: path for path in sorted((self.source / "presets").glob("*.yaml"))}
        if name not in known:
            raise RefusedError(
                f"preset: {name} is not allowed{parameters.suggestion(name, known)} "
                f"It must be one of {', '.join(known)}"
            )
        values = _mapping(known[name])
        try:  # so papermill reads the file
            by_papermill = yaml.safe_load(_text(known[name])) or {}
        except ValueError as error:
            raise RefusedError(f"{known[name]}: {error}") from None
        for key, value in by_papermill.items():
            # What it takes for text, the chapter reads as we do.
            if value != values.get(key) and not isinstance(value, str):
                raise RefusedError(
                    f"{known[name]}: {key} may be read as {value} or as {values.get(key)}: "
                    "write it plainly"
                )
        return values


def _text(path: Path) -> str:
    try:
        content = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        raise RefusedError(f"{path}: not text in UTF-8: save it as such") from None
    if content.startswith("\ufeff"):
        raise RefusedError(f"{path}: it starts with a byte order mark: save it as UTF-8 without")
    return content


def _mapping(path: Path) -> dict[str, Any]:
    """Return what a YAML file says by name."""
    try:
        found = parameters.parsed(_text(path))
    except yaml.YAMLError as error:
        raise RefusedError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if found is not None and not (isinstance(found, dict) and all(type(k) is str for k in found)):
        raise RefusedError(f"{path}: it must hold lines NAME: VALUE, not {json.dumps(found)[:60]}")
    return found or {}


def _referred_to(text: str) -> set[str]:
    """Return the pages to which a page refers by name."""
    name = r"(?:/?book/)?(\w+)"
    by_role, by_file = rf"{{doc}}`(?:[^`<]*<)?{name}>?`", rf"(?:[`(]|:doc: ){name}\.ipynb\b"
    return {*re.findall(by_role, text), *re.findall(by_file, text)}


def pages(contents: object) -> list[str]:
    """Return the files that a table of contents names, in order."""
    if isinstance(contents, list):
        return [page for entry in contents for page in pages(entry)]
    if isinstance(contents, dict):
        here = [str(contents[key]) for key in ("root", "file") if key in contents]
        return here + [page for value in contents.values() for page in pages(value)]
    return []
