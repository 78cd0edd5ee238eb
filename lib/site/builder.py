"""Runs chapters with papermill: checks what was asked for first, publishes only what is whole.

A chapter is executed under ``_build/unfinished`` and moved to ``_build/executed`` when every
cell has succeeded. The executed copy carries a digest of all that determined it, so a chapter
whose source, code, parameters and data are unchanged is not executed again.
"""

import ast
import difflib
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from textwrap import shorten
from typing import Any

import nbformat
import yaml
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from jupyter_core.paths import jupyter_runtime_dir
from papermill import PapermillExecutionError, execute_notebook, inspect_notebook
from pydantic import TypeAdapter, ValidationError
from traitlets import default

from lib.compute import parameters, provenance, registered

DEFAULT_PRESET = "classroom"
DRAWING_PACKAGES = ("papermill", "ipykernel", "matplotlib", "seaborn", "pandas")
"""What determines an executed chapter besides the packages that compute the numbers."""

OnCell = Callable[[int, int], None]
"""Called with the number of the cell that starts, and how many there are."""

_kernels: list["subprocess.Popen[bytes]"] = []
"""The kernels that were started, ended ones among them."""


class RefusedError(ValueError):
    """What was asked for is not possible; nothing has run and nothing was written."""


class ExecutionError(RuntimeError):
    """A chapter failed, and was not published."""


@dataclass(frozen=True)
class Parameter:
    """One line of a chapter's parameters cell."""

    name: str
    annotation: str
    default: Any
    help: str

    @cached_property
    def _type(self) -> TypeAdapter[Any]:
        annotation = str if self.annotation == "str" else getattr(parameters, self.annotation, None)
        if annotation is None:
            raise RefusedError(
                f"{self.name}: its type {self.annotation} is not one of lib.compute.parameters"
            )
        return TypeAdapter(annotation)

    @property
    def allowed(self) -> str:
        """What the parameter may be, in words."""
        return _in_words(self._type.json_schema())

    def validated(self, value: object) -> Any:
        """Return ``value`` as the chapter gets it: plain numbers, text and lists.

        Raises
        ------
        RefusedError
            The value is of the wrong type or out of range.
        """
        try:
            valid = self._type.validate_python(value)
        except ValidationError:
            valid = None
        # Pydantic takes true for the number 1.
        if valid is None or (isinstance(value, bool) and not isinstance(valid, bool)):
            raise RefusedError(
                f"{self.name}: {_shown(value)} is not allowed; it must be {self.allowed}"
            )
        return self._type.dump_python(valid, mode="json")


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _in_words(schema: Mapping[str, Any]) -> str:
    match schema:
        case {"enum": values}:
            return "one of " + ", ".join(values)
        case {"type": "array", "items": items}:
            return f"a list of one or more, as in [a, b], each {_in_words(items)}"
        case {"type": "boolean"}:
            return "true or false"
        case {"type": "string"}:
            return "text"
        case {"type": "integer" | "number" as kind}:
            noun = "a whole number" if kind == "integer" else "a number"
            lowest = schema.get("minimum")
            # An open upper end is used for whole numbers only.
            highest = schema.get("maximum", schema.get("exclusiveMaximum", 0) - 1)
            if lowest is None:
                return noun
            return f"{noun} from {lowest:g} " + (
                f"to {highest:.10g}" if highest >= lowest else "up"
            )
    return str(schema.get("type", "text"))


def _suggestion(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else "."


@dataclass(frozen=True)
class Chapter:
    """A notebook of the book, without outputs."""

    path: Path

    @property
    def name(self) -> str:
        """The file's name without its suffix, such as ``01_model``."""
        return self.path.stem

    @cached_property
    def notebook(self) -> nbformat.NotebookNode:
        """The parsed source."""
        notebook: nbformat.NotebookNode = nbformat.read(self.path, as_version=4)
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
        found = inspect_notebook(self.path).values()
        return {
            line["name"]: Parameter(
                line["name"],
                line["inferred_type_name"],
                ast.literal_eval(line["default"]),
                line["help"],
            )
            for line in found
        }

    @cached_property
    def reads_this_run(self) -> bool:
        """Whether it shows what earlier chapters of the same run computed."""
        asks = re.compile(r"\bthis_run\(")  # not of_this_run(, as a chapter may name its own
        return any(asks.search(cell.source) for cell in self.notebook.cells)

    @property
    def runs_alone(self) -> bool:
        """Whether it measures time, or reads what all chapters before it computed."""
        return self.reads_this_run or "bench.timing" in provenance.code_closure(self.modules())

    def modules(self) -> set[str]:
        """Return the modules of ``lib`` that the chapter imports by name.

        Raises
        ------
        RefusedError
            A cell is not Python.
        """
        from IPython.core.inputtransformer2 import TransformerManager

        plain_python = TransformerManager().transform_cell  # without IPython's % and !
        names: set[str] = set()
        for number, cell in enumerate(self.notebook.cells, start=1):
            if cell.cell_type != "code":
                continue
            try:
                names |= provenance.imported_modules(ast.parse(plain_python(cell.source)))
            except SyntaxError as error:
                raise RefusedError(f"{self.name}: cell {number} is not Python: {error}") from None
        return names


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
        """The chapters by name, in the order of the table of contents."""
        contents = yaml.safe_load((self.root / "_toc.yml").read_text(encoding="utf-8"))
        notebooks = (self.root / f"{page}.ipynb" for page in pages(contents))
        return {path.stem: Chapter(path) for path in notebooks if path.is_file()}

    def chosen(self, names: Iterable[str]) -> list[Chapter]:
        """Return the named chapters in the book's order; all of them if there are no names."""
        wanted = {Path(name).stem for name in names}
        for name in sorted(wanted - set(self.chapters)):
            raise RefusedError(
                f"{name}: no such chapter{_suggestion(name, self.chapters)} "
                f"Chapters: {', '.join(self.chapters)}"
            )
        return [chapter for name, chapter in self.chapters.items() if not wanted or name in wanted]

    def preset(self, name: str) -> dict[str, Any]:
        """Return the values of a preset by parameter name."""
        known = {path.stem: path for path in sorted((self.source / "presets").glob("*.yaml"))}
        if name not in known:
            raise RefusedError(
                f"preset: {name} is not allowed{_suggestion(name, known)} "
                f"It must be one of {', '.join(known)}"
            )
        values: dict[str, Any] = yaml.safe_load(known[name].read_text(encoding="utf-8")) or {}
        return values


def pages(contents: object) -> list[str]:
    """Return the files that a table of contents names, in order."""
    if isinstance(contents, list):
        return [page for entry in contents for page in pages(entry)]
    if isinstance(contents, dict):
        here = [contents[key] for key in ("root", "file") if key in contents]
        return here + [page for value in contents.values() for page in pages(value)]
    return []


def settings(
    chapters: Iterable[Chapter], preset: Mapping[str, object], given: Mapping[str, object]
) -> dict[str, dict[str, Any]]:
    """Return the validated parameters to be injected, by chapter.

    Parameters
    ----------
    chapters
        Those that are to run. Each gets the values that it declares.
    preset
        Values of the preset, by parameter name.
    given
        Values of the command line, which take precedence.

    Raises
    ------
    RefusedError
        A value is not allowed, or none of the chapters declares a given name.
    """
    chapters = list(chapters)
    declared = {name for chapter in chapters for name in chapter.parameters}
    for name in given:
        if name not in declared:
            raise RefusedError(
                f"{name}: no such parameter{_suggestion(name, declared)} "
                f"{' and '.join(chapter.name for chapter in chapters)} declare"
                f"{'s' if len(chapters) == 1 else ''} {', '.join(sorted(declared))}"
            )
    values = {**preset, **given}
    return {
        chapter.name: {
            name: parameter.validated(values[name])
            for name, parameter in chapter.parameters.items()
            if name in values
        }
        for chapter in chapters
    }


def _contents(folder: Path, pattern: str) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob(pattern))
        if path.is_file()
    }


def _times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.csv")}


def _data_file() -> list[object]:
    path = Path(os.environ.get("MNIST_NPZ", ""))
    return [path.stat().st_size, path.stat().st_mtime_ns] if path.is_file() else []


@dataclass(frozen=True, eq=False)
class Run:
    """One chapter under given parameters, and where what it makes goes."""

    book: Book
    chapter: Chapter
    values: Mapping[str, Any]
    """Validated parameters to inject; the chapter's defaults hold for the others."""
    executed: Path
    """The executed copy."""
    results: Path
    """The folder where the chapter leaves the numbers that it computed."""
    preset: str
    """The preset that the values are from, noted beside those numbers."""

    @property
    def unfinished(self) -> Path:
        """The copy while it runs, and what is left of it after a failure."""
        return self.book.build / "unfinished" / self.executed.parent.name / self.executed.name

    @property
    def parameters(self) -> dict[str, Any]:
        """All parameters of the chapter, injected or default, by name."""
        defaults = {name: line.default for name, line in self.chapter.parameters.items()}
        return {**defaults, **self.values}

    @property
    def given(self) -> dict[str, Any]:
        """The values that neither the preset nor the chapter's defaults give, by name."""
        preset = self.book.preset(self.preset)
        usual = {
            name: line.validated(preset.get(name, line.default))
            for name, line in self.chapter.parameters.items()
        }
        # Where it was computed does not determine a number, and names a machine.
        return {
            name: value
            for name, value in self.values.items()
            if value != usual[name] and name != "cluster"
        }

    @cached_property
    def digest(self) -> str:
        """A digest of all that determines the executed chapter.

        Its source, the code that it imports here, its parameters, the data, the recorded
        results that it reads, and the versions of the packages that compute and draw.
        """
        modules = self.chapter.modules()
        reads = provenance.code_closure(modules)
        determined_by = {
            "cells": [
                (cell.cell_type, cell.source, cell.metadata) for cell in self.chapter.notebook.cells
            ],
            "parameters": self.parameters,
            "code": provenance.code_digest(*sorted(modules), *registered.all_modules()),
            "tables": _contents(provenance.PACKAGE, "*.csv"),
            "recorded": _contents(self.book.source / "results", "*")
            if "evidence.records" in reads
            else {},
            "data": _data_file() if self.parameters.get("dataset") == "mnist" else [],
            "versions": provenance.versions()
            | {name: metadata.version(name) for name in DRAWING_PACKAGES}
            | {"python": list(sys.version_info[:2])},
            "results": self.results.relative_to(self.book.root).as_posix(),
        }
        return hashlib.sha256(json.dumps(determined_by, sort_keys=True).encode()).hexdigest()

    @property
    def is_current(self) -> bool:
        """Whether the executed copy is what running the chapter would give again."""
        try:
            stored = nbformat.read(self.executed, as_version=4).metadata["run"]
            return bool(
                stored["digest"] == self.digest and stored["read"] == self._read(stored["saved"])
            )
        except (OSError, ValueError, KeyError):
            return False

    def _read(self, saved: Iterable[str]) -> dict[str, str]:
        """Return what earlier chapters of this run saved, if the chapter asks for it."""
        if not self.chapter.reads_this_run:
            return {}
        found = _contents(self.results, "*.csv")
        return {name: content for name, content in found.items() if name not in saved}

    def execute(self, on_cell: OnCell) -> None:
        """Run the chapter, and publish the executed copy if every cell succeeded.

        Raises
        ------
        ExecutionError
            A cell failed or the kernel died. The partial copy is kept at ``unfinished``.
        """
        total = len(self.chapter.notebook.cells) + bool(self.values)
        cell = 0

        def started(cell_index: int, **_: object) -> None:
            nonlocal cell
            cell = cell_index + 1
            on_cell(cell, total)

        self.unfinished.parent.mkdir(parents=True, exist_ok=True)
        # Taken first: what changes while the chapter runs must not count as run.
        digest = self.digest
        before = _times(self.results)
        try:
            notebook = execute_notebook(
                self.chapter.path,
                self.unfinished,
                parameters=dict(self.values),
                kernel_name="python3",
                progress_bar=False,
                kernel_manager_class=_kernel_manager(
                    self.book.root,
                    {
                        "LIB_RESULTS": str(self.results),
                        "LIB_PRESET": self.preset,
                        "LIB_GIVEN": json.dumps(self.given),
                    },
                ),
                on_cell_start=started,
            )
        except PapermillExecutionError as error:
            raise self._failure(cell, total, f"{error.ename}: {error.evalue}") from error
        except RuntimeError as error:  # the kernel died, or did not start
            raise self._failure(cell, total, str(error)) from error
        if not _is_whole(notebook):
            raise self._failure(cell, total, "not every cell was executed without an error")

        # Chapters side by side save into the same folder: which file is whose counts only for
        # one that reads them, and it runs alone.
        saved = [name for name, time in _times(self.results).items() if before.get(name) != time]
        notebook.metadata["run"] = {
            "digest": digest,
            "parameters": self.parameters,
            "saved": saved,
            "read": self._read(saved),
        }
        nbformat.write(notebook, self.unfinished)
        self.executed.parent.mkdir(parents=True, exist_ok=True)
        self.unfinished.replace(self.executed)

    def _failure(self, cell: int, total: int, reason: str) -> ExecutionError:
        return ExecutionError(
            f"{self.chapter.name} failed in cell {cell} of {total}: "
            f"{shorten(reason, 500)}\n"
            f"The partial notebook is {self.unfinished}"
        )


def execute_all(
    runs: Sequence[Run],
    *,
    progress: Callable[[Run], AbstractContextManager[OnCell]],
    unchanged: Callable[[Run], object],
    jobs: int,
) -> None:
    """Execute the chapters that have changed, some of them side by side.

    What two of them need is computed by one while the other waits (:mod:`lib.compute.cache`).

    Parameters
    ----------
    runs
        The chapters in the book's order, in which they start. One that runs alone waits for all
        before it, and all after it wait for it.
    progress
        Told when a chapter begins and ends; it gives what is called at each cell.
    unchanged
        Told of a chapter that is not executed again.
    jobs
        How many run at once.

    Raises
    ------
    ExecutionError
        A chapter failed. Those that ran beside it were stopped, and none has started since.
    """

    def execute(one: Run) -> None:
        with progress(one) as on_cell:
            one.execute(on_cell)

    groups: list[list[Run]] = []
    for one in runs:
        if one.chapter.runs_alone or not groups or groups[-1][-1].chapter.runs_alone:
            groups.append([])
        groups[-1].append(one)
    for group in groups:
        # Asked before each group: what earlier chapters saved may have changed.
        current = [one for one in group if one.is_current]
        for one in current:
            unchanged(one)
        with ThreadPoolExecutor(jobs) as pool:
            futures = [pool.submit(execute, one) for one in group if one not in current]
            try:
                ended, _ = wait(futures, return_when=FIRST_EXCEPTION)
                for future in ended:
                    future.result()
            except BaseException:  # Ctrl-C too
                pool.shutdown(wait=False, cancel_futures=True)
                for kernel in _kernels:
                    kernel.kill()
                raise


def _is_whole(notebook: nbformat.NotebookNode) -> bool:
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    return all(
        cell.execution_count and all(output.output_type != "error" for output in cell.outputs)
        for cell in code
    )


def _kernel_manager(folder: Path, environment: Mapping[str, str]) -> type[AsyncKernelManager]:
    """Return a manager whose kernel is this Python, whatever else is installed as python3."""

    class ThisPython(AsyncKernelManager):
        @default("transport")
        def _private_transport(self) -> str:
            # Others on the machine could read a TCP port. Windows has nothing else.
            return "tcp" if os.name == "nt" else "ipc"

        def _ip_default(self) -> str:
            # Else the sockets have the same names, in whatever folder a process is in.
            if self.transport == "ipc":
                private = Path(jupyter_runtime_dir())
                private.mkdir(mode=0o700, parents=True, exist_ok=True)
                return str(private / f"{self.kernel_id}-ipc")
            return super()._ip_default()

        # The base class declares a plain function where it has a coroutine.
        async def start_kernel(self, **options: Any) -> None:  # type: ignore[override]
            options["cwd"] = str(folder)  # papermill would change the whole process's folder
            # What cells print is in the notebook; this is the kernel talking about itself.
            await super().start_kernel(stderr=subprocess.DEVNULL, **options)
            assert isinstance(self.provisioner, LocalProvisioner) and self.provisioner.process
            _kernels.append(self.provisioner.process)

        @property
        def kernel_spec(self) -> KernelSpec:
            return KernelSpec(
                argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
                display_name="Python 3",
                language="python",
                env={
                    **environment,
                    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
                    "TF_CPP_MIN_LOG_LEVEL": "3",
                },
            )

    return ThisPython
