"""Runs chapters with papermill, and publishes only what is whole.

A chapter is executed under ``_build/unfinished`` and moved to ``_build/executed`` when every
cell has succeeded. The executed copy carries a digest of all that determined it, so a chapter
whose source, code, parameters and data are unchanged is not executed again.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from textwrap import shorten
from threading import Event
from time import sleep
from typing import Any

import nbformat
from papermill import PapermillExecutionError, execute_notebook

from lib.compute import provenance, registered, sweeps, units
from lib.site import kernels
from lib.site.board import OnCell
from lib.site.book import Book, Chapter

DRAWING_PACKAGES = ("papermill", "ipykernel", "matplotlib", "seaborn", "pandas")
"""What determines an executed chapter besides the packages that compute the numbers."""

MOST_TEXT = 5_000_000
"""Characters that a cell may print: a page with more is none that a browser shows."""


class ExecutionError(RuntimeError):
    """A chapter failed, and was not published."""


def _contents(folder: Path, pattern: str) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob(pattern))
        if path.is_file()
    }


def _times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.csv")}


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
        defaults = {
            name: line.validated(line.default) for name, line in self.chapter.parameters.items()
        }
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

        Its source, the code that it imports here, its parameters, the recorded results that it
        reads, and the versions of the packages that compute and draw. The data are in the code:
        every data set is checked against the sums of its arrays, which stand there.
        """
        modules = self.chapter.modules()
        reads = provenance.code_closure(modules)
        # What its parameters may name is found by listing files.
        named = registered.all_modules() if "stages" in reads else []
        determined_by = {
            "cells": [
                (cell.cell_type, cell.source, cell.metadata) for cell in self.chapter.notebook.cells
            ],
            "parameters": self.parameters,
            "code": provenance.code_digest(*sorted(modules), *named),
            "tables": _contents(provenance.PACKAGE, "*.csv"),
            # Their docstrings stand on the page.
            "rules": _contents(provenance.PACKAGE / "evidence" / "claims", "*.py")
            if "evidence.claims.page" in reads
            else {},
            "recorded": _contents(self.book.source / "results", "*")
            if "evidence.records" in reads
            else {},
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

    def execute(self, on_cell: OnCell, jobs: int = 1) -> None:
        """Run the chapter, and publish the executed copy if every cell succeeded.

        ``jobs`` chapters run at once: they share the processors for their sweeps.

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
        modules = sorted(self.chapter.modules())
        before = _times(self.results)
        variables = {
            "LIB_RESULTS": str(self.results),
            "LIB_PRESET": self.preset,
            sweeps.JOBS: str(jobs),
            "LIB_GIVEN": json.dumps(self.given),
            # The chapter compares: what it runs with, and by which code.
            "LIB_RUN": json.dumps(
                {
                    "parameters": self.parameters,
                    "modules": modules,
                    "code": provenance.code_digest(*modules),
                }
            ),
        }
        notes, whole = self.unfinished.with_suffix(".units"), False
        kept = self.book.source / "results" / "units" / f"{self.chapter.name}.jsonl"
        units.keep(notes, kept, whole=whole)  # of a run that was killed
        if self.results == self.book.source / "results":
            variables[units.NOTES] = str(notes)
        try:
            with kernels.manager(self.book.root, variables) as kernel_manager:
                notebook = execute_notebook(
                    self.chapter.path,
                    self.unfinished,
                    parameters=dict(self.values),
                    kernel_name="python3",
                    language="python",  # an editor need not have written it down
                    progress_bar=False,
                    kernel_manager_class=kernel_manager,
                    on_cell_start=started,
                )
            whole = True
        except PapermillExecutionError as error:
            raise self._failure(cell, total, f"{error.ename}: {error.evalue}") from error
        except RuntimeError as error:  # the kernel died, or did not start
            raise self._failure(cell, total, str(error)) from error
        finally:
            units.keep(notes, kept, whole=whole)
        if lack := _lack(notebook):
            raise self._failure(cell, total, lack)

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
        Entered when a chapter begins, left when it ends; it gives what is called at each cell.
    unchanged
        Called with a chapter that is not executed again.
    jobs
        How many run at once.

    Raises
    ------
    ExecutionError
        A chapter failed. Those that ran beside it were stopped, and none has started since.
    """
    stopped = Event()

    def execute(run: Run, at_once: int) -> None:
        if stopped.is_set():  # by the chapter that ran before in this thread
            return
        try:
            with progress(run) as on_cell:
                run.execute(on_cell, at_once)
        except BaseException:
            stopped.set()
            raise

    groups: list[list[Run]] = []
    for run in runs:
        if run.chapter.runs_alone or not groups or groups[-1][-1].chapter.runs_alone:
            groups.append([])
        groups[-1].append(run)
    for group in groups:
        # Asked before each group: what earlier chapters saved may have changed.
        current = [run for run in group if run.is_current]
        for run in current:
            unchanged(run)
        with ThreadPoolExecutor(jobs) as pool:
            waiting = [run for run in group if run not in current]
            futures = [pool.submit(execute, run, min(jobs, len(waiting))) for run in waiting]
            try:
                ended, _ = wait(futures, return_when=FIRST_EXCEPTION)
                for future in ended:
                    future.result()
            except BaseException:  # Ctrl-C too
                stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)
                while not all(future.done() for future in futures):
                    kernels.stop_all()  # again: one may just have been about to start
                    sleep(0.1)
                raise


def _lack(notebook: nbformat.NotebookNode) -> str:
    """Say what an executed chapter lacks to be published; nothing if it is whole."""
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        if not cell.execution_count or any(out.output_type == "error" for out in cell.outputs):
            return "not every cell was executed without an error"
        kinds = {kind for output in cell.outputs for kind in output.get("data", {})}
        if "figure" in cell.metadata.get("mystnb", {}) and not any(
            kind.startswith("image/") for kind in kinds
        ):
            return f"cell {number} has a caption, but showed no figure"
        shown = sum(len(str(out.get("data", out.get("text")))) for out in cell.outputs)
        if shown > MOST_TEXT:
            return f"cell {number} printed {shown:,} characters: no page can show that"
    return ""
