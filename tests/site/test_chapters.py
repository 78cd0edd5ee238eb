"""Chapters at the edges of their parameters: the right result, or one clear line at once."""

from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from lib.site.cli import main

from ..conftest import REAL_BOOK


def run(chapter: str, **values: object) -> tuple[int, str]:
    """Run a chapter under the smoke preset; return the exit code and what was said."""
    given = [text for name, value in values.items() for text in ("-p", name, str(value))]
    result = CliRunner().invoke(main, ["run", chapter, "--preset", "smoke", *given], obj=REAL_BOOK)
    return result.exit_code, result.output


def saved(name: str) -> pd.DataFrame:
    """Return what the last chapter saved."""
    return pd.read_csv(REAL_BOOK.build / "results" / "run" / f"{name}.csv")


IMPOSSIBLE = [
    ("04_filters", {"layer": 3}, "layer: base has the convolutions 1 to 2, not 3"),
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
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LIB_CACHE", str(tmp_path / "cache"))
    code, said = run(chapter, **values)
    assert code == 1
    assert line in said
    assert "Traceback" not in said
    assert not list((tmp_path / "cache").rglob("*.pkl"))


FEW = {"images_per_class": 2, "epochs": 1, "fresh_images": 2}


class TestNoFilterAndAllFilters:
    @pytest.mark.parametrize("fraction", [0, 1])
    def test_the_study_has_no_dominant_filter_or_only_such(self, fraction: int) -> None:
        code, said = run("04_filters", fraction=fraction, images_per_class=2)
        assert code == 0, said
        overlap = saved("filter_overlap_changed")
        assert set(overlap["fraction"]) == {fraction}
        if fraction == 1:
            assert (overlap["jaccard"] == 1).all()
        else:
            assert overlap["jaccard"].isna().all()
        # Another radius than the one of the study.
        assert "radii" in set(overlap["comparison"])

    def test_all_filters_are_the_whole_network(self) -> None:
        code, said = run("05_splitting", fraction=1, **FEW)
        assert code == 0, said
        whole = saved("table_07").query("training != 'none'").reset_index(drop=True)
        pd.testing.assert_frame_equal(saved("table_09_changed"), whole)

    def test_no_filter_leaves_the_dense_layers(self) -> None:
        code, said = run("05_splitting", fraction=0, **FEW)
        assert code == 0, said
        executed = (REAL_BOOK.build / "run" / "05_splitting.ipynb").read_text(encoding="utf-8")
        assert "{'conv1': (), 'conv2': ()}" in executed
        accuracies = saved("table_09_changed").set_index(["training", "test"])["value"]
        assert accuracies.between(0, 1).all()
        assert len(accuracies) == 4
