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


def with_value(column: str, value: object, query: str) -> Change:
    """Return a change that puts a value into the rows that a query finds."""

    def change(rows: pd.DataFrame) -> pd.DataFrame:
        found = rows.query(query).index
        return rows.assign(**{column: rows[column].mask(rows.index.isin(found), value)})

    return change


NO_CHANCE = with_value("jaccard", 0.01, "comparison == 'targets'")
SAME_IN_LAYER_2 = with_value("shared", 6.5, "comparison == 'classes' and layer == 2")
DENSE_AS_GOOD = with_value("value", 0.994, "model == 'dense' and training == 'mixed'")
NOTHING_ON_BLACK = with_value("value", 0.1, 'digit == "the perturbation\'s"')

PLANTED: list[tuple[str, str, Change, str]] = [
    ("04_filters", "figure_04", with_value("value", 0.1, "filter >= 0"), "half are never"),
    ("04_filters", "filter_overlap", NO_CHANCE, "all agree more than chance"),
    ("04_filters", "filter_overlap", SAME_IN_LAYER_2, "digit changes the choice"),
    ("04_filters", "filter_concentration", with_value("held", 0.4, "seed == 1"), "four times"),
    ("05_splitting", "table_12", with_value("value", 0.2, "fraction == 0.1"), "Table 12"),
    ("05_splitting", "table_06", with_value("value", 0.95, "training == 'mixed'"), "gives it back"),
    ("05_splitting", "table_08", DENSE_AS_GOOD, "dense: three times"),
    ("05_splitting", "table_11", with_value("value", 1.0, "fraction == 0.1"), "errs more often"),
    ("05_splitting", "label_leaking", NOTHING_ON_BLACK, "more than a fixed answer"),
    ("05_splitting", "cross_attack", with_value("value", 0.99, "seed == 0"), "clearly worse"),
    ("05_splitting", "fresh_pgd", with_value("value", 0.4, "fraction == 1"), "not read at all"),
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
