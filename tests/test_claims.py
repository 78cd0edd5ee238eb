"""Every rule of the claims page gives each verdict where it should, on planted results."""

import itertools
import json
import re

import myst_nb
import pandas as pd
import pytest

from lib.evidence import paper, records

from .conftest import ROOT

HOLDS, PARTLY, NOT = "holds", "holds in part", "does not hold"
UNTOLD, ABSENT = "cannot be told", "has no record yet"
NOTEBOOK = ROOT / "book" / "claims.ipynb"


def execute(monkeypatch, folder):
    """Run the page's cells on results in a folder; return its names and what it glues."""
    glued = {}
    monkeypatch.setenv("LIB_RESULTS", str(folder / "run"))
    monkeypatch.setattr(records, "FULL_SCALE", folder / "full")
    monkeypatch.setattr(
        myst_nb, "glue", lambda name, shown, display=True: glued.__setitem__(name, shown)
    )
    names = {}
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    return names, glued


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Return the names that the page defines, and what it glues, where nothing is recorded."""
    with pytest.MonkeyPatch.context() as patch:
        return execute(patch, tmp_path_factory.mktemp("empty"))


@pytest.fixture
def judge(page):
    """Return a function that judges a rule, by its name, on planted rows."""
    names, _ = page

    def judged(rule, planted):
        def find(name):
            if name not in planted:
                raise LookupError(name)
            return planted[name]

        return names["judged"](names[rule], find)[0]

    return judged


def frame(columns, *rows):
    return pd.DataFrame(rows, columns=columns.split())


def curve(training, validation, loss):
    """Return learning curves: accuracy of both parts, and validation loss."""
    parts = {
        ("training", "accuracy"): training,
        ("validation", "accuracy"): validation,
        ("validation", "loss"): loss,
    }
    rows = [(*part, n, x) for part, curve in parts.items() for n, x in enumerate(curve, 1)]
    return {"figure_02": frame("part quantity epoch value", *rows)}


def sweep(fgsm, pgd):
    rows = [
        (attack, "base", epsilon, 0, value)
        for attack, curve in (("fgsm", fgsm), ("pgd", pgd))
        for epsilon, value in zip((0.0, 0.1, 0.3), curve, strict=True)
    ]
    return {"figure_03": frame("attack model epsilon seed value", *rows)}


def radii(fgsm, pgd):
    columns = "attack model epsilon seed value"
    return {
        "table_04": frame(columns, ("fgsm", "base", 0.3, 0, fgsm)),
        "table_05": frame(columns, ("pgd", "base", 0.3, 0, pgd)),
    }


def targeted(fgsm, pgd):
    rows = [
        (attack, given, 0, 1, 0, value)
        for attack, value in (("fgsm", fgsm), ("pgd", pgd))
        for given in ("logits", "probabilities")
    ]
    return {"targeted_rates": frame("attack loss_input source target seed value", *rows)}


def concentration(*held):
    rows = [(layer, 0.1, share) for layer, share in enumerate(held, 1)]
    return {"filter_concentration": frame("layer by_chance held", *rows)}


def overlap(*jaccard):
    rows = [("classes", layer, index, 0.06, 0.1) for layer, index in enumerate(jaccard, 1)]
    return {"filter_overlap": frame("comparison layer jaccard chance chance_high", *rows)}


GOOD = {
    ("none", "clean"): 0.99,
    ("none", "static"): 0.05,
    ("adversarial", "clean"): 0.90,
    ("adversarial", "static"): 0.99,
    ("mixed", "clean"): 0.99,
    ("mixed", "static"): 0.99,
}
"""Accuracies with which the defence does all that is claimed of it."""


def defence(whole=(), split=(), **of_table):
    """Return Tables 6 to 9 of two networks: good ones, apart from given cells of the first."""
    planted = {}
    for number, attack in ((6, "fgsm"), (7, "pgd"), (8, "fgsm"), (9, "pgd")):
        changed = GOOD | dict(whole if number < 8 else split) | of_table.get(f"t{number}", {})
        rows = [
            (attack, model, *cell, 0, (changed if model == "base" else GOOD)[cell])
            for model in ("base", "dense")
            for cell in GOOD
            if number < 8 or cell[0] != "none"
        ]
        planted[f"table_{number:02d}"] = frame("attack model training test seed value", *rows)
    return planted


def fractions(changed=(), tenth=0.99, none=0.99):
    """Return Tables 10 and 11: ``none`` without filters, else ``tenth``, except what changed."""
    planted = {}
    for number in (10, 11):
        cells = itertools.product(
            (0, 0.1, 0.2, 0.5, 1), ("mixed", "adversarial"), ("clean", "static")
        )
        rows = [
            (*cell, 0, dict(changed).get(cell, none if cell[0] == 0 else tenth)) for cell in cells
        ]
        planted[f"table_{number}"] = frame("fraction training test seed value", *rows)
    return planted


def spared(**dense):
    """Return Table 12 as published, with some of the dense network's shares changed."""
    rows = paper.table(12)
    for fraction, share in dense.items():
        here = (rows["model"] == "dense") & (rows["fraction"] == int(fraction[1:]) / 100)
        rows.loc[here, "value"] = share
    return {"table_12": rows}


def over_seeds(planted, spread=0.0):
    """Return the same rows for three seeds, whose values spread around what is planted."""
    return {
        name: pd.concat(
            [
                rows.assign(seed=seed, value=rows["value"] + (seed - 1) * part * spread)
                for seed in range(3)
            ]
        )
        for name, rows in planted.items()
        for part in [rows.get("fraction", 1.0)]  # so that differences spread, too
    }


def costs(steps, bills):
    ways = ("parallel", "selective")
    return {
        "step_time": frame(
            "way ratio high", *((w, s, s) for w, s in zip(ways, steps, strict=True))
        ),
        "cost_total": frame(
            "attack way seconds",
            *(
                (attack, way, seconds)
                for attack in ("fgsm", "pgd")
                for way, seconds in zip(("whole", *ways), (1.0, *bills), strict=True)
            ),
        ),
    }


def other_radius(mixed, alone=0.99):
    rows = [
        ("pgd", "base", 0.1, kind, test, 0, alone if kind == "adversarial" else mixed)
        for kind in ("mixed", "adversarial")
        for test in ("clean", "static")
    ]
    columns = "attack model epsilon training test seed value"
    return defence() | {"other_radius": frame(columns, *rows)}


def crossed(pgd_on_fgsm, fgsm_on_pgd, mixed=None):
    """Return accuracies on the other attack's images; ``mixed`` replaces the first if given."""
    rows = [
        (trained, tested, "base", kind, 0, value)
        for kind in ("mixed", "adversarial")
        for trained, tested, value in (
            ("pgd", "fgsm", pgd_on_fgsm if mixed is None or kind == "adversarial" else mixed),
            ("fgsm", "pgd", fgsm_on_pgd),
            ("pgd", "pgd", 0.99),
            ("fgsm", "fgsm", 0.99),
        )
    ]
    columns = "trained_on tested_on model training seed value"
    return defence() | {"cross_attack": frame(columns, *rows)}


def ladder(*, none=0.0, fgsm=0.0, pgd=0.0, split=None, static=0.98, rungs=()):
    """Return ladders of one network: worst cases by defence, static accuracy, other rungs."""
    rows = []
    ends = {("none", 1.0): none, ("fgsm", 1.0): fgsm, ("pgd", 1.0): pgd}
    ends |= {("fgsm", 0.1): fgsm, ("pgd", 0.1): pgd if split is None else split}
    for (defended, fraction), worst in ends.items():
        at_first = none if defended == "none" else static
        given = {rung: values[defended != "none"] for rung, values in dict(rungs).items()}
        for rung, accuracy in {"static": at_first, **given, "pgd": worst}.items():
            lowest = min(accuracy, worst)
            rows.append(("dense", defended, fraction, rung, accuracy, lowest, 1000, 0))
    columns = "model defence fraction rung accuracy value images seed"
    return {"ladder": frame(columns, *rows).rename(columns={"value": "worst case"})}


def weaker(fgsm, noise=(0.5, 0.6), square=(0.0, 0.9), transfer=(0.0, 0.9), informed=None):
    """Return ladders with the weaker rungs, and transfers from a surrogate defended alike."""
    rungs = {"noise": noise, "transfer": transfer, "square": square, "fgsm": fgsm}
    planted = ladder(rungs=rungs)
    if informed is not None:
        columns = "model defence fraction surrogate accuracy images seed"
        rows = [
            ("dense", "pgd", fraction, surrogate, value, 1000, 0)
            for fraction in (1.0, 0.1)
            for surrogate, value in (
                ("undefended", transfer[1]),
                ("defended the same way", informed),
            )
        ]
        planted["transfer"] = frame(columns, *rows)
    return planted


def alone(repairs, *, spread=0.02):
    """Return the contrast that says what share of the repair dominant filters make alone."""
    columns = "arm other test difference low high arm_value other_value undefended_value"
    arms, behind = ("dominant filters", "dominant filters only", "static"), 0.8 * (1 - repairs)
    row = (*arms, behind, behind - spread, behind + spread, 0.9, 0.9 - behind, 0.1)
    return {"controls_contrasts": frame(columns, row)}


def contrast(low, high, *, arm=0.8, other=0.8, undefended=0.1, others=(), name=""):
    """Return contrasts of chapter 8, equal in all tests; the choices in ``others`` are worse."""
    worse = dict.fromkeys(others, (0.02, 0.04))
    rows = [
        (test, "dominant filters", choice, *worse.get(choice, (low, high)), arm, other, undefended)
        for test in ("static", "fresh PGD", "worst case", "small radius")
        for choice in (
            *("random filters", "least affected filters"),
            *("dense layers only", "whole network", "undefended"),
        )
    ]
    columns = "test arm other low high arm_value other_value undefended_value"
    rows = frame(columns, *rows)
    rows["difference"] = (rows["low"] + rows["high"]) / 2
    return {f"controls_contrasts{name}": rows.assign(primary=False)}


SAME, MORE, LESS, WIDE = (-0.005, 0.005), (0.02, 0.04), (-0.04, -0.02), (-0.05, 0.05)
STATIC_LOW = {("mixed", "static"): 0.9}
CLEAN_LOW = {("adversarial", "clean"): 0.5}
NOBODY = {"arm": 0.0, "other": 0.005, "undefended": 0.0}
HALF_NEEDED = defence() | fractions({(0, "mixed", "static"): 0.2})
WORSE_THAN_NONE = {"arm": 0.376, "other": 0.14, "undefended": 0.685}

CASES = [
    ("base_parameters", {"table_01": frame("layer value", ("all", 120_042))}, HOLDS),
    ("base_parameters", {"table_01": frame("layer value", ("all", 120_041))}, NOT),
    ("clean_accuracy", {"clean_accuracy": frame("model value", ("base", 0.984))}, HOLDS),
    ("clean_accuracy", {"clean_accuracy": frame("model value", ("base", 0.98))}, NOT),
    ("clean_accuracy", {"clean_accuracy": frame("model value", ("dense", 0.98))}, ABSENT),
    ("no_overfitting", curve((0.9, 0.98), (0.95, 0.985), (0.1, 0.05)), HOLDS),
    ("no_overfitting", curve((0.9, 0.999), (0.985, 0.984), (0.1, 0.2)), PARTLY),
    ("no_overfitting", curve((0.9, 1.0), (0.95, 0.90), (0.1, 0.9)), NOT),
    ("attacked_networks_fail", radii(0.06, 0.0), HOLDS),
    ("attacked_networks_fail", radii(0.06, 0.5), PARTLY),
    ("attacked_networks_fail", radii(0.5, 0.5), NOT),
    ("accuracy_falls", sweep((1, 0.8, 0.2), (1, 0.7, 0)), HOLDS),
    ("accuracy_falls", sweep((1, 0.8, 0.9), (1, 0.7, 0)), PARTLY),
    ("accuracy_falls", sweep((0.1, 0.8, 0.9), (0.1, 0.7, 1)), NOT),
    ("pgd_is_stronger", sweep((1, 0.8, 0.2), (1, 0.7, 0)), HOLDS),
    ("pgd_is_stronger", sweep((1, 0.6, 0.2), (1, 0.7, 0)), PARTLY),
    ("pgd_is_stronger", sweep((1, 0.6, 0.0), (1, 0.7, 0.1)), NOT),
    ("targeted_fgsm", targeted(0.12, 0.5), HOLDS),
    ("targeted_fgsm", targeted(0.15, 0.5), NOT),
    ("targeted_pgd", targeted(0.15, 0.5), HOLDS),
    ("targeted_pgd", targeted(0.5, 0.5), NOT),
    ("filters_differ", concentration(0.9, 0.6), HOLDS),
    ("filters_differ", concentration(0.9, 0.15), PARTLY),
    ("filters_differ", concentration(0.1, 0.15), NOT),
    ("same_for_all_classes", overlap(1.0, 0.6), HOLDS),
    ("same_for_all_classes", overlap(1.0, 0.3), PARTLY),
    ("same_for_all_classes", overlap(0.05, 0.05), NOT),
    ("across_data_sets", {}, UNTOLD),
    ("errors_lie_in_a_tenth", defence() | fractions(none=0.2), HOLDS),
    ("errors_lie_in_a_tenth", HALF_NEEDED | alone(0.4), PARTLY),
    ("errors_lie_in_a_tenth", HALF_NEEDED | alone(0.6), UNTOLD),
    ("errors_lie_in_a_tenth", defence() | fractions(none=0.98) | alone(0.4), NOT),
    ("errors_lie_in_a_tenth", defence() | fractions(none=0.98) | alone(0.6), UNTOLD),
    ("errors_lie_in_a_tenth", defence() | fractions(none=0.98) | alone(0.4, spread=0.2), UNTOLD),
    ("errors_lie_in_a_tenth", defence() | fractions(none=0.98), UNTOLD),
    ("a_tenth_rather_than_none", contrast(*MORE), HOLDS),
    ("a_tenth_rather_than_none", contrast(*SAME), NOT),
    ("a_tenth_rather_than_none", contrast(*WIDE), UNTOLD),
    ("a_tenth_rather_than_none", contrast(*MORE, **NOBODY), UNTOLD),
    ("a_tenth_rather_than_none", contrast(*MORE, **WORSE_THAN_NONE), UNTOLD),
    ("static_images_are_learned", defence(), HOLDS),
    ("static_images_are_learned", defence(split={("adversarial", "static"): 0.9}), PARTLY),
    ("fresh_images_too", ladder(fgsm=0.98, pgd=0.98), HOLDS),
    ("fresh_images_too", ladder(fgsm=0.0, pgd=0.98), PARTLY),
    ("fresh_images_too", ladder(), NOT),
    ("same_for_both_attacks", over_seeds(defence()), HOLDS),
    ("same_for_both_attacks", over_seeds(defence(t6=STATIC_LOW)), PARTLY),
    ("same_for_both_attacks", defence(), UNTOLD),  # one training
    ("better_than_no_defence", defence(), HOLDS),
    ("better_than_no_defence", defence(split={("mixed", "static"): 0.05}), PARTLY),
    ("better_against_all", contrast(*MORE), HOLDS),
    ("better_against_all", contrast(*LESS), NOT),
    ("better_against_all", contrast(*WIDE), UNTOLD),
    ("better_against_all", contrast(*MORE, **NOBODY), UNTOLD),
    ("better_against_all", alone(0.5), ABSENT),  # an older record
    ("mixing_brings_back", defence(), HOLDS),
    ("mixing_brings_back", defence(split={("mixed", "clean"): 0.9}), PARTLY),
    ("mixing_brings_back", defence(whole={("adversarial", "clean"): 0.99}), PARTLY),
    ("clean_accuracy_is_kept", defence(), PARTLY),  # adversarial images alone cost
    ("split_does_as_well", defence(), HOLDS),
    ("split_does_as_well", defence(split=STATIC_LOW), PARTLY),
    ("split_does_as_well", defence(split=CLEAN_LOW), PARTLY),
    ("split_as_well_against_all", contrast(*SAME), HOLDS),
    ("split_as_well_against_all", contrast(*MORE), HOLDS),
    ("split_as_well_against_all", contrast(*LESS), NOT),
    ("split_as_well_against_all", contrast(*WIDE), UNTOLD),
    ("split_as_well_against_all", contrast(0.2, 0.25, **WORSE_THAN_NONE), UNTOLD),
    ("split_as_well_against_all", contrast(*SAME, **NOBODY), UNTOLD),
    ("split_as_well_against_all", contrast(float("nan"), float("nan")), UNTOLD),
    ("split_as_well_against_all", contrast(*LESS, name="_shallow"), NOT),
    ("a_tenth_is_enough", fractions(), HOLDS),
    ("a_tenth_is_enough", fractions({(1, "adversarial", "clean"): 0.8}), PARTLY),
    ("a_tenth_is_enough", fractions({(0, "adversarial", "clean"): 0.8}), HOLDS),
    ("a_tenth_is_enough", over_seeds(fractions()), HOLDS),
    ("a_tenth_is_enough", over_seeds(fractions(), spread=0.1), UNTOLD),
    ("a_tenth_against_all", contrast(*SAME), HOLDS),
    ("a_tenth_against_all", contrast(*MORE), NOT),
    ("a_tenth_against_all", contrast(*LESS), NOT),
    ("a_tenth_against_all", contrast(*WIDE), UNTOLD),
    ("dominant_filters_matter", fractions(none=0.5), HOLDS),
    ("dominant_filters_matter", fractions({(0, "adversarial", "static"): 0.5}), PARTLY),
    ("dominant_filters_matter", fractions({(0, "adversarial", "clean"): 0.5}), NOT),
    ("dominant_filters_matter", over_seeds(fractions(none=0.5), spread=0.1), HOLDS),
    ("dominant_filters_matter", over_seeds(fractions(none=0.5), spread=5), UNTOLD),
    ("dominant_rather_than_others", contrast(*MORE), HOLDS),
    ("dominant_rather_than_others", contrast(*SAME, others=["random filters"]), PARTLY),
    ("dominant_rather_than_others", contrast(*SAME), NOT),
    ("dominant_rather_than_others", contrast(*WIDE), UNTOLD),
    ("consistent_over_radii", other_radius(0.99), HOLDS),
    ("consistent_over_radii", other_radius(0.99, alone=0.7), PARTLY),
    ("consistent_over_radii", other_radius(0.7, alone=0.7), NOT),
    ("radii_against_all", {}, UNTOLD),
    ("parameters_saved", spared(), HOLDS),
    ("parameters_saved", spared(d10=0.10), PARTLY),  # less than the base network
    ("half_of_dense_is_spared", spared(d50=0.6), HOLDS),
    ("half_of_dense_is_spared", spared(), PARTLY),
    ("half_of_dense_is_spared", spared(d10=0.4, d20=0.4), NOT),
    ("dense_is_robust", ladder(fgsm=0.98, pgd=0.0, split=0.98), HOLDS),
    ("dense_is_robust", ladder(), NOT),
    ("computationally_light", costs((0.9, 0.6), (0.9, 0.8)), HOLDS),
    ("computationally_light", costs((1.7, 0.6), (1.3, 1.1)), PARTLY),
    ("computationally_light", costs((1.7, 1.1), (1.3, 1.1)), NOT),
    ("weaker_attacks_are_met", crossed(0.5, 0.5), HOLDS),
    ("weaker_attacks_are_met", crossed(0.02, 0.5, mixed=0.5), PARTLY),
    ("weaker_attacks_are_met", crossed(0.02, 0.5), NOT),
    ("weaker_attacks_afresh", weaker((0.1, 0.9)), HOLDS),
    ("weaker_attacks_afresh", weaker((0.1, 0.0), noise=(0.9, 0.5)), PARTLY),
    ("weaker_attacks_afresh", weaker((0.1, 0.0), (0.9, 0.5), (0, 0), (0.5, 0.1)), NOT),
    ("weaker_attacks_afresh", weaker((0, 0), (0, 0), (0, 0), (0.5, 0.52)), UNTOLD),
    ("weaker_attacks_afresh", weaker((0.1, 0.0), (0.9, 0.5), (0, 0), informed=0), NOT),
    ("pgd_defends_better", crossed(0.9, 0.5), HOLDS),
    ("pgd_defends_better", crossed(0.4, 0.5, mixed=0.9), PARTLY),
    ("pgd_defends_better", crossed(0.4, 0.5), NOT),
    ("pgd_defends_better_against_all", ladder(fgsm=0.2, pgd=0.8), HOLDS),
    ("pgd_defends_better_against_all", ladder(fgsm=0.8, pgd=0.2), NOT),
    ("pgd_defends_better_against_all", ladder(fgsm=0.2, pgd=0.8, split=0.1), PARTLY),
    ("pgd_defends_better_against_all", ladder(fgsm=0.2, pgd=0.22), UNTOLD),
    ("pgd_defends_better_against_all", ladder(), UNTOLD),
    ("pgd_defends_better_against_all", ladder(fgsm=0.2, pgd=0.4, none=0.5), UNTOLD),
    ("fgsm_needs_more", crossed(0.9, 0.5), HOLDS),
    ("fgsm_needs_more", crossed(0.9, 0.99), NOT),
    ("fgsm_falls", ladder(fgsm=0.1), HOLDS),
    ("fgsm_falls", ladder(fgsm=0.98), NOT),
    ("attacked_again", {}, UNTOLD),
    ("attacked_with_all_means", ladder(), HOLDS),
    ("attacked_with_all_means", ladder(pgd=0.98), PARTLY),
    ("attacked_with_all_means", ladder(fgsm=0.98, pgd=0.98), NOT),
]


def case_name(case):
    return "-".join([case[0], *case[2].split()])


@pytest.mark.parametrize(("rule", "planted", "verdict"), CASES, ids=map(case_name, CASES))
def test_a_rule_gives_the_verdict_that_planted_results_deserve(judge, rule, planted, verdict):
    assert judge(rule, planted) == verdict


def rules(page):
    return [
        one[column]
        for one in page[0]["claims"].values()
        for column in ("protocol", "adaptive")
        if one[column]
    ]


def test_every_rule_is_tested(page):
    assert {rule.__name__ for rule in rules(page)} == {case[0] for case in CASES}


def test_a_run_without_the_rows_gets_a_dash(page, judge):
    reasoned = {name for name, planted, verdict in CASES if not planted and verdict == UNTOLD}
    for rule in rules(page):
        expected = UNTOLD if rule.__name__ in reasoned else ABSENT
        assert judge(rule.__name__, {}) == expected, rule.__name__


def test_every_claim_is_shown_in_one_part_and_in_the_table(page):
    names, glued = page
    parts = {one["part"] for one in names["claims"].values()}
    cards = "".join(names["evidence_for"](part).data for part in parts)
    for name in names["claims"]:
        target = f"claim-{name.replace('_', '-')}"
        assert cards.count(f"({target})=") == 1
        assert glued["verdicts"].data.count(f"<{target}>") == 1
    sources = NOTEBOOK.read_text(encoding="utf-8")
    assert sources.count("evidence_for(") - 1 == len(parts)  # one call each, and the definition


def test_evidence_says_what_both_kinds_of_training_do(page):
    names, _ = page
    planted = defence(split=CLEAN_LOW)
    _, evidence = names["split_does_as_well"](planted.__getitem__)
    assert "mixed images, clean test: +0.00 points" in evidence
    assert "adversarial images alone, clean test: -40.00 to +0.00 points" in evidence


def test_evidence_on_attackers_who_adapt_has_the_undefended_value_and_the_reason(page):
    names, _ = page
    planted = contrast(0.2, 0.25, **WORSE_THAN_NONE)
    _, evidence = names["split_as_well_against_all"](planted.__getitem__)
    small = next(line for line in evidence if line.startswith("small radius"))
    assert "undefended 68.5%" in small
    assert "both are worse than no defence" in small
    assert not any(line.startswith("static") for line in evidence)


def test_the_summary_and_the_first_page_follow_the_recorded_results(monkeypatch, tmp_path):
    def told(planted):
        for name, rows in planted.items():
            monkeypatch.setenv("LIB_RESULTS", str(tmp_path / "full"))
            records.save(name, rows)
        names, glued = execute(monkeypatch, tmp_path)
        summary = "\n".join(names["listed"]("protocol"))
        sentences = re.findall(r"<claim-([a-z-]+)>", summary)
        return sentences, glued["verdicts"].data, glued["finding"].data

    name = "split-does-as-well"
    unclear, verdicts, finding = told(defence(split=STATIC_LOW) | ladder())
    assert name in unclear
    assert re.search(rf"<claim-{name}>` \| ◐ holds in part", verdicts)
    assert "and 0.00% under every attack" in finding
    assert "90.0% and 99.0% after training the dominant filters" in finding
    unclear, verdicts, finding = told(defence() | ladder(fgsm=0.5, pgd=0.5))
    assert name not in unclear
    assert re.search(rf"<claim-{name}>` \| ✓ holds", verdicts)
    assert "and 50.00% under every attack" in finding
    assert "99.0% and 99.0% after training the dominant filters" in finding


@pytest.mark.parametrize(
    ("interval", "said"), [(LESS, "easier"), (MORE, "harder"), (SAME, "no difference")]
)
def test_the_first_page_says_if_the_defence_helps_at_a_small_radius(page, interval, said):
    sentence = page[0]["small_radius_found"](contrast(*interval).__getitem__)
    assert said in sentence


def test_each_of_the_four_claims_has_its_sentence(page):
    answers = page[0]["answers"]
    assert len(answers) == 4
    assert set(answers) == {"No run has recorded it yet."}
    full_scale = page[0]["RUNS"]["Full scale"]
    assert all("%" in say(full_scale) for say in page[0]["ANSWERS"])


def text_of(site, page):
    """Return what the cells of an executed chapter show."""
    notebook = json.loads((site / "_sources" / "book" / f"{page}.ipynb").read_text("utf-8"))
    return "".join(
        "".join(output.get("data", {}).get("text/markdown", ""))
        for cell in notebook["cells"]
        for output in cell.get("outputs", [])
    )


@pytest.mark.parametrize("attack", ["FGSM", "PGD"])
def test_costs_at_full_scale_are_those_of_chapter_10(site, attack):
    bill = re.search(
        rf"{attack}, full scale: \*\*([\d.]+)\*\* times the whole network's bill with the "
        r"selective layer \(.*?\), ([\d.]+) times with parallel layers",
        text_of(site, "10_cost"),
    )
    light = text_of(site, "claims").split("(rule `computationally_light`)")[1]
    light = light.split("Full scale")[1].split("This run")[0]
    for way, cost in zip(("the selective layer", "parallel layers"), bill.groups(), strict=True):
        assert re.search(rf"{way}: a training step .*{cost} \({attack}\)", light)


def test_the_readme_says_what_the_full_scale_says(page):
    names, _ = page
    find = names["RUNS"]["Full scale"]
    assert names["judged"](names["filters_differ"], find)[0] == HOLDS
    overlap = find("filter_overlap").query("comparison == 'classes'").set_index("layer")["jaccard"]
    assert overlap[1] > 0.75 > overlap[2]
    for test in ("clean", "static"):  # nearly, if clean images are mixed in
        where = {"training": "mixed", "test": test}
        split, whole = (names["defended"](find, numbers, **where) for numbers in ((8, 9), (6, 7)))
        assert all((split[cell] - whole[cell]).mean() > -0.03 for cell in split)
    steps = find("step_time").set_index("way")["ratio"]
    bill = find("cost_total").query("attack == 'pgd'").set_index("way")["seconds"]
    assert steps["selective"] < 1 < steps["parallel"]
    assert bill["whole"] < bill["selective"]
    of_fraction = find("table_11").query("test == 'static'").groupby("fraction")["value"].mean()
    assert of_fraction[0.0] > of_fraction[0.1] - 0.001
    assert names["worst_defended"](find).max() == 0
    small = find("controls").query("test == 'small radius'").pivot_table("value", "seed", "arm")
    assert (small["dominant filters"] < small["undefended"]).all()
