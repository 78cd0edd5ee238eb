"""The numbers that runs of the book record, and how they compare with the published ones.

A chapter saves tidy rows; the rows of the full-scale run are kept in ``book/results``. Names
are ``table_04`` or ``figure_04``, after the part of the paper that the numbers answer.
"""

import hashlib
import json
import os
import platform
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import uuid4

import pandas as pd
from pandas.io.formats.style import Styler
from scipy import special  # type: ignore[import-untyped]

from lib.compute import cache, provenance
from lib.evidence import paper

FULL_SCALE = provenance.PACKAGE.parent / "book" / "results"
"""Where the results of the full-scale run are kept."""

# Table 1 and Figures 1 and 7 draw the models and hold no measurement.
_MEASURED = [f"table_{n:02d}" for n in range(2, 13)] + [f"figure_{n:02d}" for n in range(2, 7)]

_SETTINGS = {"epsilon", "fraction", "step_size"}
"""Columns of decimals that were chosen, not measured."""

USUAL: Mapping[str, object] = MappingProxyType(
    {
        "model": "base",
        "attack": "pgd",
        "epsilon": 0.3,
        "steps": 40,
        "fraction": 0.1,
        "chosen_on": "test",
    }
)
"""Settings of the paper's tables and figures; where it states none, of the full-scale run."""


def folder() -> Path:
    """Return where this run's results go: ``$LIB_RESULTS``, else ``_build/results``."""
    default = provenance.PACKAGE.parent / "_build" / "results"
    return Path(os.environ.get("LIB_RESULTS", default))


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Give a place to write a whole file; if that fails, the old one stays as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid4().hex}{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write(path: Path, text: str) -> None:
    """Write a whole file or leave the old one as it is."""
    with _replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def _origin(frame: pd.DataFrame, code: str | None) -> dict[str, Any]:
    origin: dict[str, Any] = {
        "date": datetime.now(UTC).date().isoformat(),
        "python": platform.python_version(),
        "packages": provenance.versions(),
        "system": platform.system(),
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        # Their number decides the last digits of sums.
        "threads": os.environ.get("TF_NUM_INTRAOP_THREADS") or "default",
        "code": code or provenance.code_digest("stages.evaluation"),
    }
    if preset := os.environ.get("LIB_PRESET"):
        origin["preset"] = preset
    if given := json.loads(os.environ.get("LIB_GIVEN") or "{}"):
        origin["parameters"] = given
    if "seed" in frame:
        origin["seeds"] = sorted(int(seed) for seed in frame["seed"].unique())
    return origin


def _checked(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9_]+", name):
        raise ValueError(f"a result's name has small letters, digits and underscores, not {name!r}")
    return name


def _note_origin(name: str, frame: pd.DataFrame, code: str | None) -> None:
    record = folder() / "provenance.json"
    with cache.lock("results"):  # chapters run side by side
        origins = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
        origins[name] = _origin(frame, code)
        write(record, json.dumps(origins, indent=2, sort_keys=True) + "\n")


def save(name: str, frame: pd.DataFrame, *, code: str | None = None) -> Path:
    """Record the numbers of a table or figure, and what produced them.

    Both files are replaced whole or not at all. Beside ``NAME.csv``, ``provenance.json`` holds
    for each name the date (UTC), versions, kind of machine, threads, code digest, preset,
    parameters that were given beside it, and seeds.

    Parameters
    ----------
    name
        As ``table_04`` or ``figure_04``: small letters, digits and underscores.
    frame
        Tidy rows, with a ``seed`` column where seeds matter. Decimals are kept to six
        significant digits, the order of rows and columns as it is.
    code
        Digest of the code that computed the numbers, see ``provenance.code_digest``; that of
        all stages if not given.

    Returns
    -------
    pathlib.Path
        The CSV file.

    Raises
    ------
    ValueError
        If the name is not of that form.
    """
    path = folder() / f"{_checked(name)}.csv"
    write(path, frame.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    _note_origin(name, frame, code)
    return path


def save_network(
    name: str, network: Any, ladder: pd.DataFrame, what: str, *, code: str | None = None
) -> Path:
    """Keep a trained network, and a card that says what it withstands.

    Beside ``models/NAME.keras``, which Keras loads without this package, stands the card,
    ``models/NAME.md``. Where they come from is noted as by :func:`save`.

    Parameters
    ----------
    name
        As for :func:`save`.
    network
        A Keras model.
    ladder
        Of :func:`lib.stages.adaptive.ladder`: ``rung``, ``budget``, ``accuracy`` and
        ``worst case``. With a column ``seed``, that is noted too.
    what
        How it was trained and on which images it was attacked, in a sentence or two.
    code
        As for :func:`save`.

    Returns
    -------
    pathlib.Path
        The network's file.
    """
    path = folder() / "models" / f"{_checked(name)}.keras"
    with _replacing(path) as temporary:
        network.save(temporary)
    rungs = [
        f"| {row['rung']} | {row['budget']} | {row['accuracy']:.2%} | {row['worst case']:.2%} |"
        for _, row in ladder.iterrows()
    ]
    card = [
        f"# {name}",
        what,
        "\n".join(
            [
                "| attack | budget for an image | read correctly | worst case so far |",
                "| --- | --- | ---: | ---: |",
                *rungs,
            ]
        ),
        "The worst case counts an image only if it withstands every attack up to that row.",
        "```python\n"
        "import keras\n\n"
        f'network = keras.saving.load_model("{path.name}")\n'
        "logits = network(images)  # pixels in [0, 1], shape (n, 28, 28, 1)\n"
        "```",
    ]
    write(path.with_suffix(".md"), "\n\n".join(card) + "\n")
    _note_origin(f"models/{name}", ladder, code)
    return path


def full_scale(name: str) -> pd.DataFrame | None:
    """Return the rows that the full-scale run recorded under a name, or None if it has none.

    Parameters
    ----------
    name
        As given to :func:`save`.
    """
    return _read(FULL_SCALE / f"{name}.csv")


def this_run(name: str) -> pd.DataFrame | None:
    """Return the rows that the chapters of this run saved under a name, or None if none did.

    Parameters
    ----------
    name
        As given to :func:`save`.
    """
    return _read(folder() / f"{name}.csv")


def _read(path: Path) -> pd.DataFrame | None:
    if not path.is_file():
        return None
    # A cell that says "None" or "NA" is text.
    return pd.read_csv(path, keep_default_na=False, na_values=[""])


def missing() -> list[str]:
    """Return the tables and figures that the full-scale run lacks, as ``table_04``.

    Only those of the paper that hold measurements count: Tables 2 to 12, Figures 2 to 6.
    """
    return [name for name in _MEASURED if not (FULL_SCALE / f"{name}.csv").is_file()]


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
    recorded = full_scale(f"table_{number:02d}")
    for label, rows in (("full scale", recorded), ("this run", this_run)):
        if rows is None:
            rows = _published(number).iloc[:0]
        columns.append(over_seeds(_like_published(rows, number), keys, label))
    frame = pd.concat([column[keys] for column in columns]).drop_duplicates(ignore_index=True)
    for column in columns:
        frame = frame.merge(column, on=keys, how="left", validate="one_to_one")
    return frame


class Conditions:
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
        self.changed = {name: value for name, value in settings.items() if value != USUAL[name]}

    def __repr__(self) -> str:
        """Say in one line what is compared."""
        if not self.changed:
            told = ", ".join(
                f"{name.replace('_', ' ')} {value}" for name, value in self.settings.items()
            )
            return f"Comparable with the paper and the full-scale run: {told}."
        told = ", ".join(
            f"{name.replace('_', ' ')} {value} instead of {USUAL[name]}"
            for name, value in self.changed.items()
        )
        return (
            f"Not comparable: this run has {told}. Published and full-scale numbers of the usual "
            "settings are left out, and its own are saved as changed."
        )

    def _repr_markdown_(self) -> str:
        return repr(self)  # as a paragraph, whose lines break

    def named(self, name: str) -> str:
        """Return the name under which this run records what the usual one records as ``name``."""
        return f"{name}_changed" if self.changed else name

    def save(self, name: str, frame: pd.DataFrame, *, code: str | None = None) -> Path:
        """Record numbers as :func:`save` does, under a name of their own if settings changed."""
        return save(self.named(name), frame, code=code)

    def full_scale(self, name: str) -> pd.DataFrame | None:
        """Return the full-scale rows under these settings, or None if there are none.

        A record that has a setting as a column is searched for it; any other was made under
        the usual settings.
        """
        rows = full_scale(name)
        for setting, value in self.settings.items():
            if rows is not None and setting in rows:
                rows = rows[rows[setting] == value]
            elif setting in self.changed:
                return None
        return None if rows is None or rows.empty else rows

    def full_scale_value(self, name: str, **where: object) -> float:
        """Return the mean value of the full-scale rows with the given entries; NaN without any."""
        rows = self.full_scale(name)
        for column, wanted in where.items():
            rows = None if rows is None else rows[rows[column] == wanted]
        return float("nan") if rows is None else float(rows["value"].mean())

    def side_by_side(self, number: int, this_run: pd.DataFrame) -> pd.DataFrame:
        """Put numbers side by side as :func:`side_by_side` does; alone if settings changed."""
        frame = side_by_side(number, this_run)
        if not self.changed:
            return frame
        others = {"paper", "full scale", "± full scale"} & {*frame}
        return frame.drop(columns=list(others)).dropna(subset="this run", ignore_index=True)


def _of_numbers(column: "pd.Series[Any]") -> bool:
    """Tell whether a column holds numbers, or text that begins with one, and dashes for none."""
    if pd.api.types.is_numeric_dtype(column):
        return True
    begins_with_one = column.dropna().astype(str).str.match(r"[-+\u2212]?\d|\u2013$")
    return bool(begins_with_one.all())


def show(frame: pd.DataFrame, percent: bool = True, caption: str | None = None) -> Styler:
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

    Returns
    -------
    pandas.io.formats.style.Styler
        It names no colours, so that it follows the page from light to dark. Equal tables give
        equal HTML.
    """
    decimals = frame.select_dtypes("float").columns
    measured = "{:.2%}" if percent else "{:,.6g}"
    formats: dict[Any, Any] = {name: "{:g}" if name in _SETTINGS else measured for name in decimals}
    formats |= dict.fromkeys(frame.select_dtypes("integer").columns, "{:,}")
    text = f"{caption}\n{frame.to_csv()}"
    uuid = hashlib.sha256(text.encode()).hexdigest()[:12]
    style = Styler(frame, uuid=uuid, caption=caption, cell_ids=False).hide(axis="index")
    aligned: dict[Any, Any] = {
        name: [
            {"selector": "", "props": [("text-align", "right" if _of_numbers(values) else "left")]}
        ]
        for name, values in frame.items()
    }
    return (
        style.format(formats, na_rep="\N{EN DASH}")
        .set_table_styles(aligned, axis=0)
        .set_table_styles(
            [{"selector": "th, td", "props": "padding: 0.2em 0.6em"}], overwrite=False
        )
        .set_table_attributes('class="dataframe"')
    )
