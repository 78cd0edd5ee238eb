"""Shows how far chapters are: bars on a terminal, else a line a minute."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

OnCell = Callable[[int, int], None]
"""Called with the number of the cell that starts, and how many there are."""


class Board:
    """The chapters that run, with the cell that each is at and its seconds."""

    MINUTE = 60.0

    def __init__(self) -> None:
        on_terminal = sys.stdout.isatty()
        console = Console(force_terminal=on_terminal, soft_wrap=True, highlight=False)
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("cell"),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not on_terminal,
        )
        self._closed = threading.Event()
        self._logger = threading.Thread(target=self._log, daemon=True)

    def __enter__(self) -> "Board":
        """Start to show."""
        self._bars.start()
        self._logger.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Remove what does not stay."""
        self._closed.set()
        self._logger.join()
        self._bars.stop()

    def _log(self) -> None:
        while not self._closed.wait(self.MINUTE):
            line = "   ".join(
                f"{task.description}: cell {task.completed:.0f} of {task.total or 0:.0f}, "
                f"{task.elapsed or 0:.0f} s"
                for task in self._bars.tasks
            )
            if line and self._bars.disable:
                self.say(line)

    def say(self, text: str) -> None:
        """Write a line that stays."""
        self._bars.console.print(text, markup=False)

    @contextmanager
    def line(self, chapter: str) -> Iterator[OnCell]:
        """Show one chapter, as long as it runs."""
        started = time.monotonic()
        task = self._bars.add_task(chapter, total=None)
        if self._bars.disable:
            self.say(f"{chapter}: running")
        try:
            yield lambda number, total: self._bars.update(task, completed=number, total=total)
        finally:
            self._bars.remove_task(task)
        self.say(f"{chapter}: done in {time.monotonic() - started:.0f} s")
