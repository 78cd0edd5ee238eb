"""The recorded full-scale run is whole, and reaches what it has to."""

import json
import re

import pytest

from lib import adaptive, bench, paper, results

from .conftest import ROOT

TABLES = [number for number in range(2, 13)]


def rows(name):
    recorded = results.full_scale(name)
    assert recorded is not None, f"book/results lacks {name}"
    return recorded


def test_every_published_table_and_figure_has_a_counterpart():
    assert results.missing() == []


@pytest.mark.parametrize("number", TABLES)
def test_every_published_cell_has_a_counterpart(number):
    compared = results.side_by_side(number, rows(f"table_{number:02d}"))
    published = compared.dropna(subset=["paper"])
    assert len(published) == len(paper.table(number))
    absent = published[published["full scale"].isna()]
    assert absent.empty, absent


def test_every_record_says_what_produced_it():
    origins = json.loads((results.FULL_SCALE / "provenance.json").read_text(encoding="utf-8"))
    assert sorted(origins) == sorted(path.stem for path in results.FULL_SCALE.glob("*.csv"))
    assert {origin["preset"] for origin in origins.values()} == {"paper"}


def test_the_base_model_is_accurate():
    clean = rows("clean_accuracy").query("model == 'base'")
    assert (clean["value"] >= 0.99).all()


def test_accuracy_under_pgd_falls_with_epsilon_to_zero():
    sweep = rows("figure_03").query("attack == 'pgd'").sort_values("epsilon")
    for _, curve in sweep.groupby(["model", "seed"]):
        assert (curve["value"].diff().dropna() <= 0).all()
        assert curve.loc[curve["epsilon"] == 0.3, "value"].item() < 0.0005


def test_the_defence_works_under_the_papers_protocol():
    tuned = rows("table_09").query("model == 'base' and training == 'mixed'").set_index("test")
    assert (tuned.loc[["clean"], "value"] >= 0.985).all()
    assert (tuned.loc[["static"], "value"] >= 0.98).all()


def test_the_ladder_was_climbed_for_base_and_dense_by_both_defences():
    ladder = rows("ladder")
    defended = ladder[ladder["model"].isin(["base", "dense"]) & (ladder["fraction"] < 1)]
    for _, rungs in defended.groupby(["model", "defence"]):
        assert {"static", "pgd", "restarts", "targeted", "apgd-ce"} <= set(rungs["rung"])
        assert (rungs["images"] >= 1_000).all()
        assert (rungs["worst case"].diff().dropna() <= 0).all()
    assert set(zip(defended["model"], defended["defence"], strict=True)) == {
        (model, attack) for model in ("base", "dense") for attack in ("fgsm", "pgd")
    }


def test_a_hardened_network_keeps_its_accuracy_under_every_attack():
    ladder = rows("hardening_ladder").set_index("rung")
    assert set(ladder.index) == set(adaptive.RUNGS)
    assert ladder.loc["clean", "accuracy"] >= 0.97
    assert ladder["worst case"].min() >= 0.85


def test_the_controls_were_trained_and_the_yardstick_withstands_what_they_do_not():
    controls = rows("controls")
    trained = {"random filters", "least affected filters", "dense layers only", "whole network"}
    assert trained | {"dominant filters", "clean images", "noisy images"} < set(controls["arm"])
    assert set(controls.loc[controls["arm"] == "random filters", "draw"]) >= {0, 1, 2}
    worst = controls[controls["test"] == "worst case"].groupby("arm")["value"].mean()
    assert worst.pop("crafted afresh") > 0.7 > 0.1 > worst.max()


QUOTED = [
    ("step", "base", "selective"),
    ("step", "dense", "selective"),
    ("step", "base", "parallel"),
    ("survivors", "undefended model", "survivors"),
    ("survivors", "hardly any image falls", "survivors"),
    ("crafting", "PGD", "ours"),
    ("crafting", "FGSM", "ours"),
    ("sweeps", "equal trainings", "2 processes, one thread each"),
]


def test_the_readme_quotes_the_recorded_timings():
    recorded = {(row["section"], row["case"], row["way"]): row for row in bench.recorded()["rows"]}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = re.search(r"\| time \| goal \|\n.*\n((?:\|.*\n)+)", readme).group(1).splitlines()
    quoted = [tuple(cell.strip() for cell in line.split("|")[2:4]) for line in table]
    goals = [recorded[key]["goal"] for key in QUOTED]
    expected = [
        (f"{recorded[key]['ratio']:.2f}", "" if goal is None else f"{goal:.2f}")
        for key, goal in zip(QUOTED, goals, strict=True)
    ]
    assert quoted == expected
