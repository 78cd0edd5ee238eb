"""The numbers that runs of the book record, and those of the full-scale run.

A chapter saves tidy rows; the rows of the full-scale run are kept in ``book/results``. Names
are ``table_04`` or ``figure_04``, after the part of the paper that the numbers answer.
"""

import json
import os
import platform
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pandas as pd

from lib.compute import cache, parameters, provenance
from lib.compute.parameters import Count, Dataset, Epsilon, family

FULL_SCALE = (
    provenance.CHECKOUT / "book" / "results"
    if provenance.CHECKOUT
    else provenance.PACKAGE / "evidence" / "recorded"
)
"""Where the results of the full-scale run are kept: in the book; with the package without one."""

BENCHMARK = FULL_SCALE / "bench.json"
"""What ``make bench`` recorded."""

# Table 1 and Figures 1 and 7 draw the models and hold no measurement.
_MEASURED = [f"table_{n:02d}" for n in range(2, 13)] + [f"figure_{n:02d}" for n in range(2, 7)]

_CARD = """# {name}

{what} Attacked at epsilon {attacked.epsilon:g} on the
first {attacked.images:,} test images ({attacked.dataset}).

| attack | budget for an image | read correctly | worst case so far |
| --- | --- | ---: | ---: |
{rungs}

The worst case counts an image only if it withstands every attack up to that row.

```python
import keras

network = keras.saving.load_model("{name}.keras", safe_mode=True)
logits = network(images)  # pixels in [0, 1], shape (n, 28, 28, 1)
```
"""

ALL_STAGES = "stages.evaluation"
"""Whose code counts where none is named: it imports all stages of the paper."""


def folder() -> Path:
    """Return where this run's results go: ``$LIB_RESULTS``, else ``_build/results``."""
    return parameters.named_path("LIB_RESULTS") or cache.home() / "results"


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


def git(*arguments: str) -> str:
    """Return what git says of the checkout.

    Raises
    ------
    RefusedError
        There is no git, no repository, or git refuses.
    """
    command = ["git", "-C", str(provenance.CHECKOUT), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or error
        raise parameters.RefusedError(f"git {arguments[0]}: {str(said).strip()}") from None


@lru_cache(maxsize=1)
def plan() -> str:
    """Return the commit of the page that says beforehand what is compared; "" where git tells none.

    A page that was changed since has a ``+`` behind it.
    """
    page = "--", "book/plan.ipynb"
    try:
        return git("log", "-1", "--format=%h", *page) + "+" * bool(git("status", "-s", *page))
    except parameters.RefusedError:
        return ""


def _origin(frame: pd.DataFrame, code: str | Sequence[str]) -> dict[str, Any]:
    modules = [code] if isinstance(code, str) else code
    origin: dict[str, Any] = {
        "date": datetime.now(UTC).date().isoformat(),
        "python": platform.python_version(),
        "packages": provenance.versions() | provenance.versions(*modules),
        "system": platform.system(),
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        # Their number decides the last digits of sums.
        "threads": os.environ.get("TF_NUM_INTRAOP_THREADS") or "default",
        "code": provenance.running_digest(*modules),
    }
    if found := plan():
        origin["plan"] = found
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


def _note_origin(name: str, frame: pd.DataFrame, code: str | Sequence[str], **more: str) -> None:
    record = folder() / "provenance.json"
    with cache.lock("results"):  # chapters run side by side
        origins = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
        origins[name] = _origin(frame, code) | more
        write(record, json.dumps(origins, indent=2, sort_keys=True) + "\n")


def save(name: str, frame: pd.DataFrame, *, code: str | Sequence[str] = ALL_STAGES) -> Path:
    """Record the numbers of a table or figure, and what produced them.

    Both files are replaced whole or not at all. Beside ``NAME.csv``, ``provenance.json`` holds
    for each name the date (UTC), versions, kind of machine, threads, code digest, the plan's
    commit, preset, parameters that were given beside it, and seeds.

    Parameters
    ----------
    name
        As ``table_04`` or ``figure_04``: small letters, digits and underscores.
    frame
        Tidy rows, with a ``seed`` column where seeds matter. Decimals are kept to six
        significant digits, the order of rows and columns as it is.
    code
        The modules whose code computed the numbers, without the ``lib.`` in front.

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


class AttackedOn(NamedTuple):
    """The first ``images`` test images of a data set, within ``epsilon``: what a card is about."""

    dataset: Dataset
    images: Count
    epsilon: Epsilon


def save_network(
    name: str,
    network: Any,
    ladder: pd.DataFrame,
    what: str,
    *,
    attacked: AttackedOn,
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
        How it was trained, in a sentence.
    attacked
        On which images, as the card says; their data set is noted, too.

    Returns
    -------
    pathlib.Path
        The network's file.
    """
    path = folder() / "models" / f"{_checked(name)}.keras"
    with _replacing(path) as temporary:
        network.save(temporary)
    rungs = "\n".join(
        f"| {row['rung']} | {row['budget']} | {row['accuracy']:.2%} | {row['worst case']:.2%} |"
        for _, row in ladder.iterrows()
    )
    text = _CARD.format(name=name, what=what, attacked=attacked, rungs=rungs)
    write(path.with_suffix(".md"), text)
    _note_origin(f"models/{name}", ladder, "stages.adaptive", dataset=attacked.dataset)
    return path


def network(name: str) -> Any:
    """Return a kept network; Keras loads it in its safe mode, in which no code of it runs.

    Parameters
    ----------
    name
        As given to :func:`save_network`.

    Raises
    ------
    RefusedError
        The file is damaged, or holds code.
    """
    import keras  # slow, and only this needs it

    path = FULL_SCALE / "models" / f"{_checked(name)}.keras"
    try:
        return keras.saving.load_model(path, safe_mode=True)
    except Exception as error:  # whatever zipfile, json, h5py or Keras raise
        raise parameters.RefusedError(
            f"{path}: not a network that Keras loads in safe mode ({str(error).splitlines()[0]}): "
            "get the file again"
        ) from None


def networks_of(dataset: Dataset) -> list[Path]:
    """Return the files of the networks that the book keeps of a data set, or what it is part of.

    Raises
    ------
    RefusedError
        There are none.
    """
    origins = json.loads((FULL_SCALE / "provenance.json").read_text(encoding="utf-8"))

    def reads(path: Path) -> str:
        # Those of the first records read MNIST, and do not say so.
        return str(origins[f"models/{path.stem}"].get("dataset", "mnist"))

    every = sorted((FULL_SCALE / "models").glob("*.keras"))
    kept = [path for path in every if family(reads(path)) == family(dataset)]
    if not kept:
        raise parameters.RefusedError(f"the book keeps no network of {dataset}: name a file")
    return kept


def named_networks(paths: Sequence[Path], taken: Sequence[str] = ()) -> dict[str, Path]:
    """Return the files of networks by the names that a record gives them.

    Parameters
    ----------
    paths
        The files.
    taken
        Names that no file may have.

    Raises
    ------
    RefusedError
        Two would be called the same.
    """
    named: dict[str, Path] = {}
    for path in paths:
        if path.stem in {*taken, *named}:
            raise parameters.RefusedError(
                f"{path}: another network is called {path.stem} here: rename it"
            )
        named[path.stem] = path
    return named


def full_scale(name: str) -> pd.DataFrame | None:
    """Return the rows that the full-scale run recorded under a name, or None if it has none.

    Parameters
    ----------
    name
        As given to :func:`save`; ``bench`` for the times that ``make bench`` recorded.
    """
    if name == BENCHMARK.stem and BENCHMARK.is_file():
        return pd.DataFrame(benchmark()["rows"])
    return _read(FULL_SCALE / f"{name}.csv")


def benchmark() -> dict[str, Any]:
    """Return what ``make bench`` recorded: ``machine``, ``scale``, ``rows`` and ``counts``."""
    recorded: dict[str, Any] = json.loads(BENCHMARK.read_text(encoding="utf-8"))
    return recorded


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
    try:  # a cell that says "None" or "NA" is text
        frame = pd.read_csv(path, keep_default_na=False, na_values=[""])
    except ValueError as error:
        raise parameters.RefusedError(f"{path}: not a table ({error}): get it again") from None
    lost = frame.iloc[:, 1:].isna().all(axis=1) & (len(frame.columns) > 1)
    for name in {"value", "seed"} & {*frame}:
        lost |= pd.to_numeric(frame[name], errors="coerce").isna() & (
            frame[name].notna() | (name == "seed")
        )
    if lost.any():  # as of a merge that is not finished
        line = int(lost.to_numpy().argmax()) + 2
        raise parameters.RefusedError(
            f"{path}: line {line} is without its numbers: get the file again"
        )
    return frame


def missing() -> list[str]:
    """Return the tables and figures that the full-scale run lacks, as ``table_04``.

    Only those of the paper that hold measurements count: Tables 2 to 12, Figures 2 to 6.
    """
    return [name for name in _MEASURED if not (FULL_SCALE / f"{name}.csv").is_file()]
