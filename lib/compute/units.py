"""Small results that come with the book: what the full-scale run computed, unit by unit.

A network at full scale takes minutes or hours, and what a page needs of it is small: which test
images it read. Such results are kept as text in ``book/results/units``, a line each, under the
digest of :func:`lib.compute.cache.key`. Whoever runs a chapter with the code that computed them
gets them from there, and a full-scale run goes on where another left it, on whatever machine.
"""

import base64
import hashlib
import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from lib.compute import provenance

NOTES = "LIB_UNITS"
"""The variable that names the file to which the results of a recorded run are added."""

LARGEST = 20_000
"""Characters of a line's result; larger ones, as weights, are left to the cache."""


def folder() -> Path:
    """Return where they are kept: in the book; with the package without one."""
    if provenance.CHECKOUT:
        return provenance.CHECKOUT / "book" / "results" / "units"
    return provenance.PACKAGE / "evidence" / "recorded" / "units"


def encoded(result: Any) -> str | None:
    """Return a small result as JSON, or None if it is large or no plain numbers.

    Truth values are packed eight to a byte: one for each image, they are the most of it.
    """
    if isinstance(result, np.ndarray) and result.dtype == np.bool_ and result.ndim == 1:
        bits = base64.b64encode(np.packbits(result).tobytes()).decode()
        result = {"bits": bits, "count": len(result)}
    try:
        text = json.dumps(result, allow_nan=False)
        same = bool(json.loads(text) == result)  # tuples, and keys that are numbers, are not
    except (TypeError, ValueError):
        return None
    return text if same and result is not None and len(text) <= LARGEST else None


def _decoded(text: str) -> Any:
    value = json.loads(text)
    if isinstance(value, dict) and value.keys() == {"bits", "count"}:
        packed = np.frombuffer(base64.b64decode(value["bits"]), np.uint8)
        return np.unpackbits(packed, count=value["count"]).astype(np.bool_)
    return value


def _sum(line: dict[str, str]) -> str:
    return hashlib.sha256(f"{line['key']} {line['result']}".encode()).hexdigest()[:16]


def _lines(path: Path) -> list[dict[str, str]]:
    """Return the whole lines of a file; what is cut off or damaged is none, and computed anew."""
    found = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            line = json.loads(text)
            if line["sum"] == _sum(line):
                found.append(line)
        except (ValueError, KeyError, TypeError):
            continue
    return found


@lru_cache(maxsize=4)
def _kept(place: Path) -> dict[str, str]:
    return {line["key"]: line["result"] for path in place.glob("*.jsonl") for line in _lines(path)}


def find(key: str) -> Any:
    """Return the result that is kept under a digest, or None."""
    text = _kept(folder()).get(key)
    return None if text is None else _decoded(text)


def _lock(notes: Path) -> Path:
    return notes.with_name(f"{notes.name}.lock")


def note(key: str, function: str, experiment: object, result: Any) -> None:
    """Add a result to the notes of a recorded run, if it is one and the result is small.

    Parameters
    ----------
    key, function, experiment
        Where it belongs, and for readers what it is.
    result
        A plain value, or truth values.
    """
    path = os.environ.get(NOTES)
    text = encoded(result) if path else None
    if path and text:
        line = {"key": key, "function": function, "experiment": str(experiment), "result": text}
        line["sum"] = _sum(line)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with FileLock(_lock(Path(path))), Path(path).open("a", encoding="utf-8") as notes:
            notes.write(json.dumps(line) + "\n")


def keep(notes: Path, path: Path, *, whole: bool) -> None:
    """Bring the kept results of a chapter up to date with the notes of a run, and remove those.

    Parameters
    ----------
    notes
        The file of :data:`NOTES`, if the run has noted anything.
    path
        The chapter's file in the book.
    whole
        Whether the run went to its end: what it did not use is then left out.
    """
    noted = _lines(notes)
    lines = {line["key"]: line for line in ([] if whole else _lines(path)) + noted}
    if noted:
        ordered = sorted(lines.values(), key=lambda line: (line["function"], line["experiment"]))
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        text = "".join(json.dumps(line) + "\n" for line in ordered)
        temporary.write_text(text, encoding="utf-8", newline="\n")
        temporary.replace(path)
    for each in (notes, _lock(notes)):
        each.unlink(missing_ok=True)
