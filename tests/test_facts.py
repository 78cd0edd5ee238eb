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


def planted_value(where: str, value: float, column: str = "value") -> Change:
    """Return a change of the rows that a query finds."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        changed = frame.query(where).index
        assert len(changed)
        return frame.assign(**{column: frame[column].mask(frame.index.isin(changed), value)})

    return change


PLANTED: list[tuple[str, str, Change, str]] = [
    ("01_model", "table_01", planted_value("layer == 'Flatten'", 1), "As in the paper"),
    ("01_model", "clean_accuracy", planted_value("model == 'dense'", 0.98), "half a point"),
    ("01_model", "clean_accuracy", planted_value("model == 'base'", 0.995), "None is above"),
    ("01_model", "figure_02", planted_value("epoch == 2", 0.999), "ahead in the first"),
    ("02_attacks", "figure_03", planted_value("attack == 'pgd' and epsilon == 0.5", 0.9), "PGD"),
    ("02_attacks", "figure_03", planted_value("epsilon == 0.1", 0.7), "ten points more at 0.1"),
    ("02_attacks", "hardening_arms", planted_value("seed == 1", 0.07, "under FGSM"), "seed alone"),
    ("02_attacks", "attack_goals", planted_value("`aims at` == 'a random one'", 0.3), "aim"),
    ("02_attacks", "noise", planted_value("noise == 'one uniform draw'", 0.5, "accuracy"), "Noise"),
    (
        "02_attacks",
        "pgd_without_labels",
        planted_value("model == 'base'", 0.001, "made right"),
        "made right",
    ),
    (
        "03_targeted",
        "targeted_rates",
        lambda rates: rates.assign(
            value=rates["value"].mask(rates["loss_input"] == "logits", rates["value"] / 4)
        ),
        "nearer on probabilities",
    ),
    ("03_targeted", "targeted_rates", planted_value("target == 8", 1.0), "three is easiest"),
    ("03_targeted", "targeted_cases", planted_value("case == 'worst'", 0.5), "PGD reaches all"),
    (
        "03_targeted",
        "double_softmax",
        planted_value("quantity == 'tables with no more ticks'", 0.5),
        "rare on logits",
    ),
    (
        "03_targeted",
        "double_softmax",
        planted_value("quantity == 'untargeted accuracy' and loss_input == 'logits'", 0.0),
        "hardly matters",
    ),
    (
        "03_targeted",
        "targeted_steps",
        planted_value("steps == 10", 0.01, "accuracy left"),
        "Ten steps",
    ),
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
