"""Numbers side by side: the paper's, the full-scale run's, this run's; and as a page shows them."""

import hashlib
from collections.abc import Collection, Sequence
from html import escape
from typing import Any

import pandas as pd
from pandas.io.formats.style import Styler
from scipy import special  # type: ignore[import-untyped]

from lib.evidence import paper, records
from lib.evidence.intervals import Interval, wilson

_SETTINGS = {"epsilon", "fraction", "step_size"}
"""Columns of decimals that were chosen, not measured."""


def _published(number: int) -> pd.DataFrame:
    return paper.table(number).rename(columns={"parameters": "value"})


def _like_published(frame: pd.DataFrame, number: int) -> pd.DataFrame:
    """Give our rows the key columns of the published table, in its types."""
    published = _published(number)[list(paper.keys(number))]
    frame = frame.rename(columns={"parameters": "value"})
    for key in paper.keys(number):
        values = published[key].unique()
        if key not in frame and len(values) == 1:
            frame = frame.assign(**{key: values[0]})
    absent = sorted({*published, "value"} - {*frame})
    if absent:
        raise ValueError(f"rows to compare with table {number} lack {', '.join(absent)}")
    # 0.1 + 0.2 is the paper's 0.3.
    return frame.astype(published.dtypes.to_dict()).round(
        {key: 6 for key in published.select_dtypes("float")}
    )


def over_seeds(frame: pd.DataFrame, keys: list[str], label: str = "value") -> pd.DataFrame:
    """Return the mean over seeds and, given several, half the width of its 95% t-interval.

    Parameters
    ----------
    frame
        Rows with the keys and ``value``, one row a cell and ``seed`` (if there is such a column).
    keys
        The columns that name a cell.
    label
        Name of the column of means.

    Returns
    -------
    pandas.DataFrame
        The keys, the label and, with several seeds, ``±`` and the label.

    Raises
    ------
    ValueError
        If a cell has two values for a seed.
    """
    cell = [*keys, "seed"] if "seed" in frame else keys
    if frame.duplicated(cell).any():
        example = frame.loc[frame.duplicated(cell), cell].iloc[0].to_dict()
        raise ValueError(f"{label}: more than one row for {example}")
    groups = frame.groupby(keys, sort=False)["value"]
    columns = {label: groups.mean()}
    if groups.size().max() > 1:
        freedom = groups.count() - 1
        quantile = special.stdtrit(freedom.where(freedom > 0), 0.975)
        columns[f"± {label}"] = quantile * groups.sem()
    return pd.DataFrame(columns).reset_index()


def side_by_side(number: int, this_run: pd.DataFrame) -> pd.DataFrame:
    """Put the paper's numbers, the full-scale run's and this run's in three columns.

    Parameters
    ----------
    number
        The table's number in the paper, 1 to 12.
    this_run
        Rows with the columns of ``paper.keys(number)`` and ``value``, in the paper's units, one
        row a cell and ``seed`` (if there is such a column). A key that is the same in the whole
        published table, as the attack, may be left out. Other columns do not count.

    Returns
    -------
    pandas.DataFrame
        The keys, ``paper``, ``full scale`` and ``this run`` (means over seeds), NaN where there
        is no number. With several seeds also ``± full scale`` or ``± this run``, half the width
        of the 95% t-interval of the mean. First the rows of the paper, then those that only
        we have.

    Raises
    ------
    ValueError
        If the paper has no such table, a key is missing, or a cell has two values for a seed.
    """
    keys = list(paper.keys(number))
    columns = [_published(number).rename(columns={"value": "paper"})]
    recorded = records.full_scale(f"table_{number:02d}")
    for label, rows in (("full scale", recorded), ("this run", this_run)):
        if rows is None:
            rows = _published(number).iloc[:0]
        columns.append(over_seeds(_like_published(rows, number), keys, label))
    frame = pd.concat([column[keys] for column in columns]).drop_duplicates(ignore_index=True)
    for column in columns:
        frame = frame.merge(column, on=keys, how="left", validate="one_to_one")
    return frame


def _of_numbers(column: "pd.Series[Any]") -> bool:
    """Tell whether a column holds numbers, or text that begins with one, and dashes for none."""
    if pd.api.types.is_numeric_dtype(column):
        return True
    begins_with_one = column.dropna().astype(str).str.match(r"[-+\u2212]?\d|\u2013$")
    return bool(begins_with_one.all())


def _named(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    rows = frame[list(names)].itertuples(index=False)
    joined = [
        ", ".join(f"{name:g}" if isinstance(name, float) else str(name) for name in row)
        for row in rows
    ]
    rest = frame.drop(columns=list(names))
    rest.insert(0, ", ".join(names), joined)
    return rest


def show(
    frame: pd.DataFrame,
    percent: bool = True,
    caption: str | None = None,
    html: Collection[str] = (),
    names: Sequence[str] = (),
) -> Styler:
    """Return a table for a page: aligned, with its caption, and without an index.

    Parameters
    ----------
    frame
        As :func:`side_by_side` returns it, or any other. Settings (``epsilon``, ``fraction``)
        appear as they are, every other decimal number as a measurement.
    percent
        Whether measurements are shares, 0 to 1, to be shown in per cent with two decimals;
        else they get up to six digits.
    caption
        What the table shows.
    html
        Columns whose entries are HTML of ours. All other text is shown as it is.
    names
        Columns that name a row together: they become one, which a phone has room for.

    Returns
    -------
    pandas.io.formats.style.Styler
        It names no colours, so that it follows the page from light to dark. Equal tables give
        equal HTML.
    """
    if names:
        frame = _named(frame, names)
    decimals = frame.select_dtypes("float").columns
    measured = "{:.2%}" if percent else "{:,.6g}"
    formats: dict[Any, Any] = {name: "{:g}" if name in _SETTINGS else measured for name in decimals}
    formats |= dict.fromkeys(frame.select_dtypes("integer").columns, "{:,}")
    text = f"{caption}\n{frame.to_csv()}"
    uuid = hashlib.sha256(text.encode()).hexdigest()[:12]
    title = caption and escape(caption)
    style = Styler(frame, uuid=uuid, caption=title, cell_ids=False).hide(axis="index")
    aligned: dict[Any, Any] = {
        name: [
            {"selector": "", "props": [("text-align", "right" if _of_numbers(values) else "left")]}
        ]
        for name, values in frame.items()
    }
    return (
        style.format(formats, na_rep="\N{EN DASH}", escape="html")
        .format(subset=list(html))
        .format_index(escape="html", axis=1)
        .set_table_styles(aligned, axis=0)
        .set_table_styles(
            [{"selector": "th, td", "props": "padding: 0.2em 0.6em"}], overwrite=False
        )
        .set_table_attributes('class="dataframe"')
    )


def across(frame: pd.DataFrame, keys: list[str], values: list[str]) -> pd.DataFrame:
    """Return rows of both runs in columns beside each other.

    Parameters
    ----------
    frame
        As :meth:`lib.evidence.runs.Run.both` returns it.
    keys
        The columns that name a row. Rows are in the order of the last run, as a record may lack
        what is newer; then come those that it lacks.
    values
        The columns to show, each once for every run.
    """
    order = [(value, run) for value in values for run in frame["run"].unique()]
    last = frame["run"] == frame["run"].iloc[-1]
    rows = pd.concat([frame[last], frame[~last]])
    wide: pd.DataFrame = rows.pivot_table(
        values, keys, "run", aggfunc="first", sort=False, observed=True
    ).reindex(columns=order)
    wide.columns = pd.Index([f"{value}, {run}" for value, run in order])
    return wide.reset_index()


def percent(share: float, digits: int = 1) -> str:
    """Return a share, 0 to 1, in per cent; a dash for NaN."""
    return "\N{EN DASH}" if pd.isna(share) else f"{round(share, digits + 2) + 0.0:.{digits}%}"


def points(difference: float, digits: int = 1) -> str:
    """Return a difference of shares in percentage points, with its sign; a dash for NaN."""
    if pd.isna(difference):
        return "\N{EN DASH}"
    return f"{round(100 * difference, digits) + 0.0:+.{digits}f}"  # no negative zero


def with_interval(interval: Interval, digits: int = 1, *, difference: bool = False) -> str:
    """Return an estimate and its bounds, as shares or, of a difference, in percentage points."""
    written = points if difference else percent
    estimate, low, high = (written(value, digits) for value in interval[:3])
    return estimate if pd.isna(interval.low) else f"{estimate} ({low} to {high})"


def kept(ladder: pd.DataFrame) -> "pd.Series[Any]":
    """Return what a network keeps of a ladder, and whether that is more than half of the images.

    Parameters
    ----------
    ladder
        Rows of :func:`lib.stages.adaptive.ladder`, the clean images first, and ``images``, their
        number.

    Returns
    -------
    pandas.Series
        ``clean`` and ``robust``, shares; the 95% ``interval``, as text; ``more than half``:
        "is kept" or "not seen" if the interval is on one side of a half, else "undecided".
    """
    worst = wilson(ladder["worst case"].min(), ladder["images"].iloc[0])
    seen = "undecided" if worst.low < 0.5 < worst.high else "not seen"
    return pd.Series(
        {
            "clean": ladder["accuracy"].iloc[0],
            "robust": worst.estimate,
            "interval": with_interval(worst),
            "more than half": "is kept" if worst.low > 0.5 else seen,
        }
    )
