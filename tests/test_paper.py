"""The published numbers are complete, exact, and as consistent as the paper is."""

import math
from pathlib import Path

import pandas as pd
import pytest

from lib.evidence import paper

ROWS = {1: 9, 2: 90, 3: 90, 4: 12, 5: 12, 6: 18, 7: 18, 8: 12, 9: 12, 10: 12, 11: 12, 12: 9}

# One cell of each corner of the tables, typed from the paper a second time.
SPOT_CHECKS = [
    (2, ("fgsm", 0, 5), 1.0),
    (2, ("fgsm", 9, 8), 0.0),
    (3, ("pgd", 1, 0), 1.0),
    (3, ("pgd", 7, 6), 0.0),
    (4, ("fgsm", "shallow", 0.1), 0.6210),
    (4, ("fgsm", "dense", 0.5), 0.0698),
    (5, ("pgd", "base", 0.3), 0.0058),
    (5, ("pgd", "dense", 0.5), 0.0114),
    (6, ("fgsm", "shallow", "none", "clean"), 0.9894),
    (6, ("fgsm", "dense", "mixed", "static"), 0.9875),
    (7, ("pgd", "base", "adversarial", "clean"), 0.8779),
    (7, ("pgd", "dense", "none", "static"), 0.0120),
    (8, ("fgsm", "dense", "adversarial", "clean"), 0.6467),
    (8, ("fgsm", "base", "mixed", "static"), 0.9861),
    (9, ("pgd", "shallow", "mixed", "static"), 0.9775),
    (9, ("pgd", "dense", "adversarial", "clean"), 0.7697),
    (10, ("fgsm", 0.2, "adversarial", "clean"), 0.9633),
    (10, ("fgsm", 0.5, "mixed", "static"), 0.9877),
    (11, ("pgd", 0.5, "adversarial", "clean"), 0.9129),
    (11, ("pgd", 0.2, "mixed", "static"), 0.9867),
    (12, (0.1, "base"), 0.1433),
    (12, (0.5, "dense"), 0.3573),
]

FILTERS = {"shallow": (16, 32), "base": (32, 64), "dense": (32, 64, 128)}
PARAMETERS = {"shallow": 55_594, "base": 120_042, "dense": 130_410}


def values(number: int) -> pd.Series:
    return paper.table(number).set_index(list(paper.keys(number)))["value"]


@pytest.mark.parametrize("number", ROWS)
def test_each_table_is_complete(number):
    frame = paper.table(number)
    last = "parameters" if number == 1 else "value"
    assert list(frame.columns) == [*paper.keys(number), last]
    assert len(frame) == ROWS[number]
    assert not frame.isna().any(axis=None)
    assert not (frame == "").any(axis=None)
    assert not frame.duplicated(list(paper.keys(number))).any()


@pytest.mark.parametrize("number", range(2, 13))
def test_each_table_has_every_combination_of_its_keys(number):
    frame = paper.table(number)
    combinations = math.prod(frame[key].nunique() for key in paper.keys(number))
    diagonal = 10 if number in (2, 3) else 0
    assert len(frame) == combinations - diagonal
    assert frame["value"].between(0, 1).all()


@pytest.mark.parametrize(("number", "cell", "value"), SPOT_CHECKS)
def test_cells_are_exactly_the_printed_ones(number, cell, value):
    assert values(number).loc[cell] == value


@pytest.mark.parametrize(("number", "ticks"), [(2, 13), (3, 32)])
def test_targeted_matrices_hold_ticks_and_crosses(number, ticks):
    frame = paper.table(number)
    assert set(frame["value"]) == {0.0, 1.0}
    assert frame["value"].sum() == ticks
    assert (frame["source"] != frame["target"]).all()


def test_pgd_reaches_every_target_that_fgsm_reaches():
    cells = ["source", "target"]
    both = paper.table(2).merge(paper.table(3), on=cells, suffixes=("_fgsm", "_pgd"))
    assert (both["value_pgd"] >= both["value_fgsm"]).all()


def test_layers_add_up_to_the_quoted_total():
    quoted = paper.quoted()
    assert paper.table(1)["parameters"].sum() == quoted["base parameters"] == 120_042


@pytest.mark.parametrize(("sweep", "training"), [(4, 6), (5, 7)])
def test_sweep_and_training_tables_agree_on_the_undefended_models(sweep, training):
    at_training_radius = values(sweep).xs(0.3, level="epsilon")
    undefended = values(training).xs(("none", "static"), level=["training", "test"])
    pd.testing.assert_series_equal(at_training_radius, undefended)


def test_undefended_clean_accuracy_does_not_depend_on_the_attack():
    cells = ("none", "clean")
    fgsm, pgd = (values(n).xs(cells, level=["training", "test"]) for n in (6, 7))
    pd.testing.assert_series_equal(fgsm.droplevel("attack"), pgd.droplevel("attack"))


def test_pgd_ablation_starts_from_the_split_table():
    split = values(9).xs("base", level="model")
    pd.testing.assert_series_equal(values(11).xs(0.1, level="fraction"), split)


def test_known_inconsistency_fgsm_ablation_differs_from_the_split_table():
    split = values(8).xs("base", level="model")
    difference = (values(10).xs(0.1, level="fraction") - split).round(6)
    assert sorted(difference) == [-0.0008, 0.0009, 0.0022, 0.0054]


def test_the_model_of_the_ablation_is_inferred_and_said_to_be():
    # Section 4 says "the three models", and neither table names one.
    for number, split in ((10, 8), (11, 9)):
        assert "model" not in paper.keys(number)
        tenth = values(number).xs(0.1, level="fraction")
        same = [
            name
            for name in ("shallow", "base", "dense")
            if tenth.equals(values(split).xs(name, level="model"))
        ]
        assert same == ([] if number == 10 else ["base"])
        assert "not named" in paper.CAPTIONS[number]


def test_known_inconsistency_mixed_training_is_not_always_near_98_percent():
    claimed = paper.quoted()
    mixed = values(9).xs("mixed", level="training")
    assert mixed.min() < claimed["accuracy after mixed training of any model"] - 0.025


def test_known_inconsistency_most_of_the_dense_model_is_trained_at_half():
    # The text says of the dense model, without a fraction, that more than half is spared.
    dense = values(12).xs("dense", level="model")
    assert list(dense > 0.5) == [True, True, False]


def frozen_share(model: str, fraction: float) -> float:
    frozen, channels = 0, 1
    for kernel, filters in zip((5, 3, 3), FILTERS[model], strict=False):
        per_filter = kernel * kernel * channels + 1
        frozen += (filters - math.ceil(fraction * filters)) * per_filter
        channels = filters
    return frozen / PARAMETERS[model]


def test_saved_parameters_follow_from_arithmetic():
    frame = paper.table(12)
    computed = [frozen_share(m, f) for m, f in zip(frame["model"], frame["fraction"], strict=True)]
    assert frame["value"].to_numpy() == pytest.approx(computed, abs=0.0001)


@pytest.mark.parametrize(
    ("quantity", "value"),
    [
        ("base clean accuracy", 0.9933),
        ("targeted FGSM success rate", 0.1168),
        ("base accuracy under FGSM", 0.2126),
        ("base accuracy under PGD", 0.0058),
        ("adversarial training clean images", 42_000),
        ("adversarial training repetitions", 5),
        ("dense share that needs no training", 0.5),
        ("data sets", 1),
    ],
)
def test_quoted_numbers(quantity, value):
    assert paper.quoted()[quantity] == value


def test_quoted_numbers_agree_with_the_tables():
    quoted = paper.quoted()
    assert quoted.index.is_unique
    pairs = {
        "base clean accuracy": values(6)["fgsm", "base", "none", "clean"],
        "base accuracy under FGSM": values(4)["fgsm", "base", 0.3],
        "base accuracy under PGD": values(5)["pgd", "base", 0.3],
        "base clean accuracy after FGSM training": values(6)[
            "fgsm", "base", "adversarial", "clean"
        ],
        "base clean accuracy after PGD training": values(7)["pgd", "base", "adversarial", "clean"],
    }
    assert {name: quoted[name] for name in pairs} == pairs


def test_captions_cover_all_tables_and_figures():
    assert list(paper.CAPTIONS) == list(range(1, 13))
    assert list(paper.FIGURES) == list(range(1, 8))


@pytest.mark.parametrize("number", [0, 13])
def test_unknown_table_is_refused(number):
    with pytest.raises(ValueError, match="tables 1 to 12"):
        paper.table(number)


def test_changing_a_table_does_not_change_the_next_one():
    changed = paper.table(4)
    changed.loc[:, "value"] = 0.0
    assert paper.table(4)["value"].iloc[0] == 0.6210


def test_defences_measured_by_autoattack_have_a_source_and_keep_most_images():
    frame = paper.under_autoattack().set_index("cite")
    assert frame["robust"].to_dict() == {"zhang2019": 0.928, "madry2018": 0.885, "wong2020": 0.829}
    assert (frame["clean"] > frame["robust"]).all()
    references = (Path(__file__).parent.parent / "book" / "references.bib").read_text("utf-8")
    for key in frame.index:
        assert f"{{{key}," in references
