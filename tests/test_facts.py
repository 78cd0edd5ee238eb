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


FGSM = "training == 'mixed' and test == 'static'"
STATIC, SMALL = "test == 'static'", "test == 'small radius'"

PLANTED: list[tuple[str, str, Change, str]] = [
    ("06_percentage", "table_10", where(f"{FGSM} and fraction == 0.2", value=0.99), "every step"),
    ("06_percentage", "table_11", where("fraction == 1", value=0.6), "Three curves fall"),
    ("06_percentage", "table_11", where(f"{FGSM} and fraction == 1", value=0.994), "then fewer"),
    (
        "06_percentage",
        "fraction_contrasts",
        where("training == 'mixed'", low=-0.02),
        "within a point",
    ),
    (
        "06_percentage",
        "table_10",
        where(f"{FGSM} and fraction == 0", value=0.5),
        "none to a tenth",
    ),
    (
        "06_percentage",
        "table_06",
        where("training == 'none'", value=0.985),
        "nearly all of the gain",
    ),
    (
        "08_controls",
        "controls",
        where(f"arm == 'undefended' and {SMALL}", value=0.2),
        "behind all three",
    ),
    (
        "08_controls",
        "controls_contrasts",
        where(SMALL, undefended_value=0.2),
        "worse than no defence",
    ),
    ("08_controls", "controls_contrasts", where(STATIC, high=0.02), "static: equal"),
    (
        "08_controls",
        "controls",
        where("arm == 'random filters' and test == 'worst case'", value=0.5),
        "nobody is left",
    ),
    ("08_controls", "controls_contrasts", where("primary", primary=False), "takes the place"),
    ("08_controls", "controls", where("arm == 'crafted afresh'", value=0.1), "yardstick"),
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
