"""What the text of a page quotes from the full-scale record, and what it says of it.

People write the sentences; they stand in Markdown, and their numbers come in by ``{glue:text}``
from here. Each relation that a sentence states is bound to a check of the record, so that a
record that no longer supports the sentence stops the page.
"""

from collections.abc import Callable
from html import escape

import pandas as pd
from myst_nb import glue

from lib.evidence import records
from lib.evidence.intervals import Interval

Record = Callable[[str], pd.DataFrame]
"""Gives the rows of a record by its name."""


class FactError(AssertionError):
    """The text says what the record does not support."""


def full_scale(name: str) -> pd.DataFrame:
    """Return the rows of a full-scale record.

    Raises
    ------
    FactError
        If there is no such record: the text that quotes it has nothing to stand on.
    """
    rows = records.full_scale(name)
    if rows is None:
        raise FactError(f"there is no full-scale record {name}, which the text quotes")
    return rows


class Facts:
    """Named numbers for the text, and the statements of the text that they support.

    As the last line of a cell it shows both in a table, so that a reader of the bare notebook,
    where ``{glue:text}`` stands for a number, finds it by its name.
    """

    def __init__(self) -> None:
        self.numbers: dict[str, float] = {}
        self.shown: dict[str, str] = {}
        self.statements: list[str] = []

    def number(self, name: str, value: float) -> float:
        """Name a number for the text: ``{glue:text}`NAME:.1%``` shows it as a percentage.

        Parameters
        ----------
        name
            Words joined by hyphens, as ``fresh-split``: unique on the page.
        value
            What it is.

        Returns
        -------
        float
            The value, to go on with.

        Raises
        ------
        FactError
            If it is not a finite number, or the name is taken.
        """
        number = float(value)
        if not abs(number) < float("inf"):
            raise FactError(f"{name}: the record gives {number}, which no sentence can quote")
        self._keep(name, number, f"{number:.6g}")
        self.numbers[name] = number
        return number

    def _keep(self, name: str, value: float | str, shown: str) -> None:
        if name in self.shown:
            raise FactError(f"{name} names two numbers or texts")
        self.shown[name] = shown
        glue(name, value, display=False)

    def interval(self, name: str, interval: Interval) -> None:
        """Name an estimate for the text, and its bounds: ``NAME``, ``NAME-low``, ``NAME-high``."""
        for suffix, value in zip(("", "-low", "-high"), interval, strict=False):
            self.number(name + suffix, value)

    def text(self, name: str, value: str) -> None:
        """Name what is no number, as the machine that a time was measured on."""
        self._keep(name, value, value)

    def states(self, statement: str, holds: object) -> None:
        """Bind a statement of the text to the record.

        Parameters
        ----------
        statement
            What the text says, in its own words or shorter.
        holds
            Whether the record supports it.

        Raises
        ------
        FactError
            If it does not.
        """
        if not bool(holds):
            raise FactError(
                f"the text says: {statement}. The full-scale record in book/results does not "
                "support this: rewrite the sentence, or bring the record back"
            )
        self.statements.append(statement)

    def __repr__(self) -> str:
        """Return numbers and statements, one a line."""
        named = [f"{name} = {shown}" for name, shown in self.shown.items()]
        return "\n".join([*named, *(f"holds: {statement}" for statement in self.statements)])

    def _repr_html_(self) -> str:
        rows = [*self.shown.items(), *((statement, "holds") for statement in self.statements)]
        body = "".join(f"<tr><td>{escape(a)}</td><td>{escape(b)}</td></tr>" for a, b in rows)
        return (
            '<table class="dataframe"><caption>What the text quotes from the full-scale record'
            "</caption><thead><tr><th>name or statement</th><th>value</th></tr></thead>"
            f"<tbody>{body}</tbody></table>"
        )
