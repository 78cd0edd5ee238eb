"""What the text states is bound to the record: planted wrong records stop the page."""

import importlib
import pkgutil
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from lib.evidence import facts, records
from lib.evidence.facts import FactError, Facts
from lib.evidence.intervals import Interval

from . import planted
from .conftest import REAL_BOOK
from .planted import Change

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

    def test_an_interval_has_three_numbers(self) -> None:
        found = Facts()
        found.interval("share", Interval(0.5, 0.4, 0.7))
        assert found.numbers == {"share": 0.5, "share-low": 0.4, "share-high": 0.7}

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


PLANTED = [
    plant
    for found in pkgutil.iter_modules(planted.__path__)
    for plant in importlib.import_module(f"{planted.__name__}.{found.name}").PLANTED
]


@pytest.mark.parametrize(("chapter", "record", "change", "words"), PLANTED)
def test_a_planted_record_stops_the_chapter(
    chapter: str, record: str, change: Change, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = records.full_scale

    def with_plant(name: str) -> pd.DataFrame | None:
        rows = true(name)
        return rows if rows is None or name != record else change(rows)

    monkeypatch.setattr(records, "full_scale", with_plant)
    with pytest.raises(FactError, match=words):
        run_facts(REAL_BOOK.source / f"{chapter}.ipynb")
