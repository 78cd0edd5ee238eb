"""How long a chapter takes: its words and lines are counted, its run was measured."""

import re
from collections.abc import Mapping
from typing import NamedTuple

import nbformat

WORDS_A_MINUTE = 150
"""Of prose that has to be understood; novels are read at twice the speed."""

MINUTES_A_FIGURE = 1

LINES_A_MINUTE = 15
"""Of code whose names the text has explained."""

ENDS = "## Exercises"
"""What follows is work, not reading."""

SAYS = re.compile(r"`python -m lib list \w+`\s+says\s+how\s+long\.")
"""What stands in a chapter's overview in place of the times; the page has them instead."""


class Reading(NamedTuple):
    """What there is to read in a chapter up to its exercises."""

    words: int
    figures: int
    lines: int
    """Of code that is not folded."""

    @property
    def minutes(self) -> int:
        """Minutes to read the text and to look at the figures."""
        return max(1, round(self.words / WORDS_A_MINUTE + self.figures * MINUTES_A_FIGURE))

    @property
    def with_code(self) -> int:
        """Minutes to read the code, too."""
        return self.minutes + round(self.lines / LINES_A_MINUTE)

    def __str__(self) -> str:
        """Say it in a few words."""
        return f"{self.minutes} minutes to read, {self.with_code} with the code"


def count(notebook: nbformat.NotebookNode) -> Reading:
    """Count what a reader sees of a notebook, up to the exercises."""
    words = figures = lines = 0
    for cell in notebook.cells:
        if cell.cell_type == "code":
            figures += "figure" in cell.metadata.get("mystnb", {})
            if not {"hide-input", "remove-input", "remove-cell"} & {*cell.metadata.get("tags", [])}:
                lines += sum(bool(line.strip()) for line in cell.source.splitlines())
            continue
        text, ends, _ = cell.source.partition(ENDS)
        text = re.sub(r"^(:::+|```+).*$", "", text, flags=re.MULTILINE)  # marks of directives
        words += len(re.findall(r"\w[\w'-]*", re.sub(r"\{[\w:]+\}`[^`]*`", "term", text)))
        if ends:
            break
    return Reading(words, figures, lines)


def stated(notebook: nbformat.NotebookNode, seconds: float) -> None:
    """Put what was counted and measured in place of what the overview says of time.

    Parameters
    ----------
    notebook
        Changed in place: the first cell has the overview.
    seconds
        How long the run took that the page shows.
    """
    took = f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{seconds:.0f} seconds"
    told = f"{count(notebook)}. The run on this page took {took}, besides what came from the cache."
    notebook.cells[0].source = SAYS.sub(told, notebook.cells[0].source)


def table(chapters: Mapping[str, tuple[nbformat.NotebookNode, float]]) -> str:
    """Return how long chapters take as Markdown: by name, the notebook and its run's seconds."""
    rows = ["| Chapter | Words | Figures | Lines | Read | With code | Run |"]
    rows.append("| --- |" + " ---: |" * 6)
    for name, (notebook, seconds) in chapters.items():
        found = count(notebook)
        rows.append(
            f"| [](/book/{name}.ipynb) | {found.words:,} | {found.figures} | {found.lines} "
            f"| {found.minutes} min | {found.with_code} min | {seconds:.0f} s |"
        )
    return "\n".join([*rows, ""])
