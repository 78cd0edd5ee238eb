"""The settings of a run, and what its numbers may therefore stand beside."""

from collections.abc import Mapping, Sequence
from functools import partial, reduce
from pathlib import Path

import pandas as pd
from pandas.io.formats.style import Styler

from lib.compute.parameters import family
from lib.evidence import paper, records, tables

RUNS = ("full scale", "this run")
"""Whose numbers a page compares, beside the paper's."""

USUAL: Mapping[str, object] = {
    "dataset": "mnist",
    "model": "base",
    "attack": "pgd",
    "epsilon": 0.3,
    "steps": 40,
    "fraction": 0.1,
    "chosen_on": "test",
}
"""Settings of the paper's tables and figures; where it states none, of the full-scale run."""


class Run:
    """The settings of a run: what else its numbers may stand beside, and be recorded as.

    A run under the usual settings is recorded under the plain names and shown beside the paper
    and the full-scale run. Any other is recorded as ``NAME_changed``, so that nothing takes it
    for the paper's experiment, and shown alone. As the last line of a cell it says which.

    Parameters
    ----------
    **settings
        Names of :data:`USUAL` and their values in this run.

    Raises
    ------
    ValueError
        If a name is not one of those.
    """

    def __init__(self, **settings: object) -> None:
        if unknown := sorted(set(settings) - set(USUAL)):
            raise ValueError(f"{unknown[0]} is not one of the settings {', '.join(USUAL)}")
        self.settings = settings
        if "dataset" in settings:
            settings["dataset"] = family(str(settings["dataset"]))
        self.changed = {name: value for name, value in settings.items() if value != USUAL[name]}

    def __repr__(self) -> str:
        """Say in one line what is compared."""
        told = ", ".join(
            f"{name.replace('_', ' ')} {value}" + f" instead of {USUAL[name]}" * bool(self.changed)
            for name, value in (self.changed or self.settings).items()
        )
        if not self.changed:
            return f"Comparable with the paper and the full-scale run: {told}."
        return (
            f"Not comparable: this run has {told}. Published and full-scale numbers of the usual "
            "settings are left out, and its own are saved as changed."
        )

    def _repr_markdown_(self) -> str:
        return repr(self)  # as a paragraph, whose lines break

    def named(self, name: str) -> str:
        """Return the name under which this run records what the usual one records as ``name``."""
        return f"{name}_changed" if self.changed else name

    def save(
        self, name: str, frame: pd.DataFrame, *, code: str | Sequence[str] = records.ALL_STAGES
    ) -> Path:
        """Record numbers as :func:`lib.evidence.records.save` does, with what is changed.

        Numbers of changed settings get a name of their own, those of another data set a column
        that names it.
        """
        if "dataset" in self.changed:
            frame = frame.assign(dataset=str(self.changed["dataset"]))
        return records.save(self.named(name), frame, code=code)

    def full_scale(self, name: str, swept: str | None = None) -> pd.DataFrame | None:
        """Return the full-scale rows under these settings, or None if there are none.

        A record that has a setting as a column is searched for it; any other was made under
        the usual settings, and so was one whose column of that name is what it sweeps over.
        """
        rows = records.full_scale(name)
        for setting, value in self.settings.items():
            if rows is not None and setting in rows and setting != swept:
                rows = rows[rows[setting] == value]
            elif setting in self.changed:
                return None
        return None if rows is None or rows.empty else rows

    def both(self, name: str, this_run: pd.DataFrame, swept: str | None = None) -> pd.DataFrame:
        """Return the full-scale rows of a record, if there are any, and then those of this run.

        A column ``run`` says whose they are. For figures, and for what is computed of both.
        ``swept`` is as for :meth:`full_scale`.
        """
        found = zip(RUNS, (self.full_scale(name, swept), this_run), strict=True)
        frames = [frame.assign(run=run) for run, frame in found if frame is not None]
        return pd.concat(frames, ignore_index=True)

    def beside(self, name: str, this_run: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
        """Put the full-scale values of a record and those of this run in columns of their own.

        Parameters
        ----------
        name
            Of the record.
        this_run
            Rows with the keys and ``value``, one a cell and ``seed`` (if there is such a column).
        keys
            The columns that name a cell.

        Returns
        -------
        pandas.DataFrame
            The keys, ``full scale`` (if there is any) and ``this run``: means over seeds, each
            with a column ``±`` where there are several.
        """
        columns = (
            tables.over_seeds(rows, list(keys), str(label))
            for label, rows in self.both(name, this_run).groupby("run", sort=False)
        )
        return reduce(partial(pd.merge, on=list(keys), how="outer", sort=False), columns)

    def side_by_side(self, number: int, this_run: pd.DataFrame) -> pd.DataFrame:
        """Put the numbers of a table side by side; alone if settings changed.

        As :func:`lib.evidence.tables.side_by_side` does.
        """
        frame = tables.side_by_side(number, this_run)
        if not self.changed:
            return frame
        others = {"paper", "full scale", "± full scale"} & {*frame}
        return frame.drop(columns=list(others)).dropna(subset="this run", ignore_index=True)

    def table(self, number: int, this_run: pd.DataFrame) -> Styler:
        """Return a table of the paper for a page, its numbers beside ours."""
        caption = f"Table {number}: {paper.CAPTIONS[number]}"
        shown = self.side_by_side(number, this_run).drop(columns="attack", errors="ignore")
        return tables.show(shown, caption=caption)  # which names the attack
