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

    def test_what_is_no_number_is_kept_too(self) -> None:
        found = Facts()
        found.text("machine", "one thread")
        assert repr(found) == "machine = one thread"
        assert "<td>one thread</td>" in found._repr_html_()
        with pytest.raises(FactError, match="two things"):
            found.text("machine", "another")
        with pytest.raises(FactError, match="two numbers"):
            found.number("machine", 1)

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


def slower(section: str, way: str, factor: float, *cases: str) -> Change:
    """Return a change that multiplies what a way takes of the other's time."""

    def change(times: pd.DataFrame) -> pd.DataFrame:
        hit = (times["section"] == section) & (times["way"] == way)
        hit &= times["case"].isin(cases or times["case"].unique())
        ratios = ["ratio", "cpu_ratio", "cpu_low", "cpu_high"]
        times.loc[hit, ratios] *= factor
        times.loc[hit, ["cpu_seconds"]] *= factor
        return times

    return change


def more_seeds(curves: pd.DataFrame) -> pd.DataFrame:
    """Return curves of three seeds in which the split network needs longer, in each of them."""
    late = curves.copy()
    late.loc[(late["fraction"] < 1) & (late["epoch"] < 3), "value"] = 0
    return pd.concat([late.assign(seed=seed) for seed in range(3)])


PLANTED: list[tuple[str, str, Change, str]] = [
    ("10_cost", "bench", slower("step", "parallel", 2.3, "base"), "Parallel layers save time"),
    ("10_cost", "bench", slower("step", "parallel", 0.5, "dense"), "It is a little"),
    ("10_cost", "bench", slower("step", "parallel", 0.5, "shallow"), "In the shallow network"),
    ("10_cost", "bench", slower("step", "gathered", 0.5), "As drawn"),
    ("10_cost", "bench", slower("step", "mask", 0.5), "A mask saves nothing"),
    ("10_cost", "bench", slower("step", "selective", 2), "A layer made for it"),
    ("10_cost", "bench", slower("step, same kernel", "selective", 2), "Part of it is selecting"),
    ("10_cost", "bench", slower("crafting", "ours", 0.05, "PGD"), "PGD costs more"),
    ("10_cost", "bench", slower("survivors", "survivors", 9), "survivors-undefended"),
    ("10_cost", "learning_curves", more_seeds, "No epochs are decided"),
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
