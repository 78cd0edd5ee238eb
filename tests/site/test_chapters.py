"""Chapters at the edges of their parameters: the right result, or one clear line at once.

The cells run in this process, one after the other: the builder runs every chapter as a whole in
``test_pages``, and how a failure is shown is held by ``test_runner``.
"""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import pandas as pd
import pytest
from click.testing import CliRunner

from lib.cards import card as cards
from lib.evidence import tables
from lib.site.cli import main
from lib.site.runner import Run
from lib.site.schema import settings
from lib.stages import data, models

from ..conftest import REAL_BOOK

Cells = Callable[..., dict[str, Any]]


@pytest.fixture
def run_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cells:
    """Return a function that runs a chapter's cells under the smoke preset.

    It returns the names that they bound; what they save lies in ``tmp_path``.
    """

    def run(name: str, **values: object) -> dict[str, Any]:
        chapter = REAL_BOOK.chapters[name]
        given = settings([chapter], REAL_BOOK.preset("smoke"), values)[name]
        of_builder = Run(REAL_BOOK, chapter, given, tmp_path / "no.ipynb", tmp_path, "smoke")
        monkeypatch.setenv("LIB_RESULTS", str(tmp_path))
        monkeypatch.setenv("LIB_PRESET", "smoke")
        monkeypatch.setenv("LIB_GIVEN", json.dumps(of_builder.given))
        names: dict[str, Any] = {"__name__": "__main__"}
        for cell in chapter.notebook.cells:
            if cell.cell_type == "code":
                exec(compile(cell.source, f"{name}, cell {cell.id}", "exec"), names)
            if "parameters" in cell.metadata.get("tags", []):
                names |= given
        return names

    return run


LAYER = "layer: base has the convolutions 1 to 2, not 3"
BRANCHES = "residual has branches, .* layer by layer; chapters 4, 8 and 11 take it"
IMPOSSIBLE = [
    ("05_splitting", {"architectures": ["base", "residual"]}, BRANCHES),
    *((chapter, {"model": "residual"}, BRANCHES) for chapter in ("09_hardening", "10_cost")),
    ("11_datasets", {"datasets": ["mnist-5k", "mnist-tiny"]}, "two or more .* of different ones"),
    ("04_filters", {"layer": 3}, LAYER),
    *(
        (
            chapter,
            {"images_per_class": 500},
            "500 images a class asked for, but class 0 has only 20",
        )
        for chapter in ("03_targeted", "04_filters", "05_splitting", "06_percentage")
    ),
]


@pytest.mark.parametrize(
    ("chapter", "values", "line"), IMPOSSIBLE, ids=lambda value: str(value)[:32]
)
def test_what_cannot_be_is_said_in_one_line_before_anything_trains(
    chapter: str,
    values: dict[str, object],
    line: str,
    run_cells: Cells,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def trains(*arguments: object, **options: object) -> None:
        raise AssertionError("it trains")

    monkeypatch.setenv("LIB_CACHE", str(tmp_path / "cache"))
    models.trained.cache_clear()  # what an earlier test trained
    monkeypatch.setattr(keras.Model, "fit", trains)
    with pytest.raises((ValueError, data.DataError), match=line) as raised:
        run_cells(chapter, **values)
    assert "\n" not in str(raised.value)
    assert not list((tmp_path / "cache").rglob("*.pkl"))


def test_so_does_the_builder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIB_CACHE", str(tmp_path / "cache"))
    arguments = ["run", "04_filters", "--preset", "smoke", "-p", "layer", "3"]
    result = CliRunner().invoke(main, arguments, obj=REAL_BOOK)
    assert result.exit_code == 1
    assert LAYER in result.output
    assert "Traceback" not in result.output
    assert not list((tmp_path / "cache").rglob("*.pkl"))


class TestNoFilterAndAllFilters:
    """What they compute, the chapters of the smoke book need as well: it is in the cache."""

    @pytest.mark.parametrize("fraction", [0, 1])
    def test_the_study_has_no_dominant_filter_or_only_such(
        self, fraction: int, run_cells: Cells, tmp_path: Path
    ) -> None:
        run_cells("04_filters", fraction=fraction)
        overlap = pd.read_csv(tmp_path / "filter_overlap_changed.csv")
        assert set(overlap["fraction"]) == {fraction}
        if fraction == 1:
            assert (overlap["jaccard"] == 1).all()
        else:
            assert overlap["jaccard"].isna().all()
        # Another radius than the one of the study.
        assert "radii" in set(overlap["comparison"])

    def test_all_filters_are_the_whole_network(self, run_cells: Cells, tmp_path: Path) -> None:
        run_cells("05_splitting", fraction=1)
        whole = pd.read_csv(tmp_path / "table_07.csv")
        whole = whole.query("training != 'none'").reset_index(drop=True)
        pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "table_09_changed.csv"), whole)

    def test_no_filter_leaves_the_dense_layers(self, run_cells: Cells, tmp_path: Path) -> None:
        names = run_cells("05_splitting", fraction=0)
        assert names["chosen"] == ((), ())
        accuracies = pd.read_csv(tmp_path / "table_09_changed.csv")
        accuracies = accuracies.set_index(["training", "test"])["value"]
        assert accuracies.between(0, 1).all()
        assert len(accuracies) == 4


@pytest.mark.parametrize("own", ["", "mine.keras"])
def test_a_network_of_ones_own_climbs_the_ladder_of_chapter_7(
    own: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[tuple[Path, cards.Terms]] = []
    step = cards.Step(rung="clean", meaning="m", budget="b", accuracy=0.9, worst_case=0.9)
    check = cards.Check(check="pgd, doublings", value=0.2, limit=0.01, passed=False)

    def evaluate(path: Path, terms: cards.Terms) -> SimpleNamespace:
        called.append((path, terms))
        return SimpleNamespace(ladder=[step], checks=[check])

    monkeypatch.setattr(cards, "evaluate", evaluate)
    names = {"dataset": "fashion-tiny", "epsilon": 0.1, "attacked_images": 20, "own": own}
    names |= {"cards": cards, "Path": Path, "pd": pd, "tables": tables}
    sources = {cell.id: cell.source for cell in REAL_BOOK.chapters["07_adaptive"].notebook.cells}
    shown = []
    for cell in ("own-card", "own-checks"):
        *statements, last = sources[cell].splitlines()
        exec("\n".join(statements), names)
        shown.append(eval(last, names))
    terms = cards.Terms(dataset="fashion-tiny", part="test", images=20, epsilon=0.1)
    assert called == ([(Path(own), terms)] if own else [])
    if own:
        assert "90.00%" in shown[0].to_html() and "doublings" in shown[1].to_html()
    else:
        assert shown == [None, None]
