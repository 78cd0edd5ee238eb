"""What the text states is bound to the record: planted wrong records stop the page."""

from collections.abc import Callable
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from lib.evidence import facts
from lib.evidence.facts import FactError, Facts
from lib.evidence.intervals import Interval

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


Change = Callable[[pd.DataFrame], pd.DataFrame]


def where(query: str, **columns: object) -> Change:
    """Return a change of some rows."""

    def change(rows: pd.DataFrame) -> pd.DataFrame:
        rows = rows.copy()
        for name, value in columns.items():
            rows.loc[rows.query(query).index, name] = value
        return rows

    return change


SPLIT = "defence == 'pgd' and fraction == 0.1"
APGD, ONE_STEP = "under APGD", "arm == 'all filters, one step'"

PLANTED: list[tuple[str, str, Change, str]] = [
    ("07_adaptive", "ladder", where(f"{SPLIT}", **{"worst case": 0.3}), "whole ladder"),
    ("07_adaptive", "ladder", where("rung == 'pgd'", accuracy=0.01), "PGD alone"),
    ("07_adaptive", "ladder", where("rung == 'square'", accuracy=0.5), "Square alone"),
    ("07_adaptive", "ladder_others", where(SPLIT, **{"worst case": 0.1}), "other networks"),
    (
        "07_adaptive",
        "noise",
        where(f"model == 'dense' and {SPLIT} and noise == 'worst of 20'", accuracy=0.9),
        "undefended one of its shape",
    ),
    ("07_adaptive", "transfer", where("surrogate != 'undefended'", accuracy=0.4), "far less"),
    ("07_adaptive", "sanity_checks", where(SPLIT, passed=False), "all checks pass"),
    (
        "07_adaptive",
        "epsilon_curve",
        where(f"{SPLIT} and epsilon == 0.05", accuracy=0.95),
        "at any radius",
    ),
    (
        "07_adaptive",
        "epsilon_curve",
        where(f"{SPLIT} and epsilon == 0.1", accuracy=0.66),
        "keep less than the undefended",
    ),
    ("07_adaptive", "epsilon_curve", where("epsilon == 0.3", accuracy=0.1), "next to nothing"),
    ("07_adaptive", "l2_distances", where(SPLIT, distance=1.48), "images are nearer"),
    ("07_adaptive", "l2_distances", where(SPLIT, **{"distance by PGD": 0.5}), "PGD's image"),
    ("09_hardening", "hardening_ladder", where("rung == 'apgd-dlr'", accuracy=0.9), "strongest"),
    ("09_hardening", "hardening_ladder", where("rung == 'square'", accuracy=0.94), "Square leaves"),
    ("09_hardening", "hardening_ladder", where("rung == 'fmn'", **{"worst case": 0.8}), "FMN"),
    (
        "09_hardening",
        "hardening_epsilon_curve",
        where("epsilon == 0.3", accuracy=0.94),
        "larger steps",
    ),
    ("09_hardening", "hardening_blocks", where("start >= 5_000", accuracy=0.91), "order matters"),
    (
        "09_hardening",
        "hardening_checks",
        where("check.str.contains('by no rung')", value=0.01),
        "find all that those without",
    ),
    ("09_hardening", "hardening_checks", where("value > 0", passed=False), "all checks pass"),
    (
        "09_hardening",
        "hardening_arms",
        where("arm == 'dominant filters' and seed == 1", **{APGD: 0.3}),
        "the first two networks",
    ),
    (
        "09_hardening",
        "hardening_arms",
        where("arm == 'dominant filters' and seed == 1", **{APGD: 0.337}),
        "they decide nothing",
    ),
    (
        "09_hardening",
        "hardening_arms",
        where("arm == 'dominant filters' and seed == 2", **{APGD: 0.5}),
        "points the other way",
    ),
    ("09_hardening", "hardening_arms", where(ONE_STEP, **{APGD: 0.8}), "widest gap"),
    (
        "09_hardening",
        "hardening_arms",
        lambda rows: rows.assign(**{"under APGD and twice the steps": rows[APGD]}),
        "not converged",
    ),
    ("09_hardening", "hardening_curves", where("epoch == 4", value=0.9), "two points"),
    ("09_hardening", "hardening_contrasts", where("primary", low=0.01), "undecided"),
    (
        "09_hardening",
        "hardening_contrasts",
        where("not primary", shows="undecided"),
        "all other comparisons",
    ),
    ("09_hardening", "hardening_shares", where(ONE_STEP, low=0.01), "may be nothing"),
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
