"""What the text states is bound to the record: planted wrong records stop the page."""

from collections.abc import Callable
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from lib.evidence import facts
from lib.evidence.facts import FactError, Facts

from .conftest import REAL_BOOK

CHAPTERS = [
    path
    for path in sorted(REAL_BOOK.source.glob("*.ipynb"))
    if any("facts" in cell.metadata.get("tags", []) for cell in nbformat.read(path, 4).cells)
]


def run_facts(path: Path) -> Facts:
    """Run the cells of a chapter that are tagged ``facts``, and nothing else of it."""
    namespace: dict[str, object] = {}
    for cell in nbformat.read(path, as_version=4).cells:
        if "facts" in cell.metadata.get("tags", []):
            exec(compile(cell.source, f"{path.stem}: {cell.id}", "exec"), namespace)
    found = [value for value in namespace.values() if isinstance(value, Facts)]
    assert len(found) == 1
    return found[0]


class TestFacts:
    def test_a_number_and_a_statement_are_kept(self) -> None:
        found = Facts()
        assert found.number("share", 0.25) == 0.25
        found.states("It is a quarter", found.numbers["share"] == 0.25)
        assert repr(found) == "share = 0.25\nholds: It is a quarter"
        assert "<td>It is a quarter</td>" in found._repr_html_()

    def test_what_does_not_hold_is_named(self) -> None:
        with pytest.raises(FactError, match="It is a half"):
            Facts().states("It is a half", False)

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_what_no_sentence_can_quote_is_refused(self, value: float) -> None:
        with pytest.raises(FactError, match="share"):
            Facts().number("share", value)

    def test_a_name_stands_for_one_number(self) -> None:
        found = Facts()
        found.number("share", 1)
        with pytest.raises(FactError, match="two numbers"):
            found.number("share", 2)

    def test_a_missing_record_is_named(self) -> None:
        with pytest.raises(FactError, match="no_such_record"):
            facts.full_scale("no_such_record")


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_the_record_supports_what_a_chapter_says(path: Path) -> None:
    assert run_facts(path).statements


Change = Callable[[pd.DataFrame], pd.DataFrame]


def where(query: str, **columns: object) -> Change:
    """Return a change of some rows."""

    def change(rows: pd.DataFrame) -> pd.DataFrame:
        rows = rows.copy()
        for name, value in columns.items():
            rows.loc[rows.query(query).index, name] = value
        return rows

    return change


MIXED = "training == 'mixed' and test == 'static'"
SMALL_RADIUS = "test == 'small radius' and other == 'undefended'"

PLANTED: list[tuple[str, str, Change, str]] = [
    ("claims", "filter_concentration", where("layer == 2", held=0.2), "react far more"),
    ("claims", "filter_overlap", where("layer == 2", jaccard=0.8), "nearly the same in layer 1"),
    ("claims", "table_11", where(f"{MIXED} and fraction == 0.1", value=0.98), "within half"),
    ("claims", "table_11", where(f"{MIXED} and fraction == 0.1", value=0.9959), "no fewer static"),
    ("claims", "table_09", where(MIXED, value=0.99), "several times the errors"),
    ("claims", "table_10", where(f"{MIXED} and fraction == 0.1", value=0.98), "at both steps"),
    (
        "claims",
        "table_11",
        where("test == 'clean' and fraction == 0", value=0.95),
        "accuracy rises",
    ),
    ("claims", "table_10", where(f"{MIXED} and fraction == 0", value=0.9), "within a point"),
    ("claims", "ladder", where("defence == 'pgd'", **{"worst case": 0.01}), "withstands every"),
    ("claims", "controls_contrasts", where(SMALL_RADIUS, high=0.1), "fewer at a smaller radius"),
    ("claims", "controls_contrasts", where(SMALL_RADIUS, p=1e-4), "undecided"),
    ("claims", "table_05", where("epsilon == 0.3", value=0.3), "as published"),
    ("claims", "targeted_rates", where("attack == 'fgsm'", value=0.1), "except targeted FGSM"),
]
"""A chapter, a record, what is wrong with it, and words of the statement that must then fail."""


@pytest.mark.parametrize(("chapter", "record", "change", "words"), PLANTED)
def test_a_planted_record_stops_the_chapter(
    chapter: str, record: str, change: Change, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = facts.full_scale

    def planted(name: str) -> pd.DataFrame:
        return change(true(name)) if name == record else true(name)

    monkeypatch.setattr(facts, "full_scale", planted)
    with pytest.raises(FactError, match=words):
        run_facts(REAL_BOOK.source / f"{chapter}.ipynb")
