"""The recorded full-scale run is whole, and reaches what it has to."""

import json
import math
import os
import re
import subprocess
import sys
from itertools import product

import keras
import pytest

from lib.evidence import paper, records, tables
from lib.stages import adaptive, attacks, data, models

from .conftest import ROOT

RECORDED = set(adaptive.RUNGS) - {"insider"}
"""The attackers that there were when the ladders were recorded; later ones may have no record."""

TABLES = [number for number in range(2, 13)]


def rows(name):
    recorded = records.full_scale(name)
    assert recorded is not None, f"book/results lacks {name}"
    return recorded


def test_every_published_table_and_figure_has_a_counterpart():
    assert records.missing() == []


@pytest.mark.parametrize("number", TABLES)
def test_every_published_cell_has_a_counterpart(number):
    compared = tables.side_by_side(number, rows(f"table_{number:02d}"))
    published = compared.dropna(subset=["paper"])
    assert len(published) == len(paper.table(number))
    absent = published[published["full scale"].isna()]
    assert absent.empty, absent


MODELS = {"shallow", "base", "dense"}
FILTERS = {"figure_04": {1: 32}, "figure_05": {1: 32}, "figure_06": {2: 64}}


def cells(frame, *columns):
    """Return the cells that a record has for every seed, each once."""
    assert not frame.duplicated([*columns, "seed"]).any()
    by_seed = [set(zip(*(of[c] for c in columns), strict=True)) for _, of in frame.groupby("seed")]
    assert all(one == by_seed[0] for one in by_seed)
    return by_seed[0]


def test_figure_2_has_both_curves_of_every_epoch():
    curves = rows("figure_02").query("model == 'base'")
    last = curves["epoch"].max()
    assert last >= 3
    assert cells(curves, "part", "quantity", "epoch") == {
        (part, quantity, epoch)
        for part in ("training", "validation")
        for quantity in ("accuracy", "loss")
        for epoch in range(1, last + 1)
    }


def test_figure_3_has_four_radii_of_three_models_under_both_attacks():
    sweep = cells(rows("figure_03"), "attack", "model", "epsilon")
    assert sweep >= set(product(("fgsm", "pgd"), MODELS, (0.0, 0.1, 0.2, 0.3, 0.5)))


@pytest.mark.parametrize("name", FILTERS)
def test_figures_4_to_6_count_every_filter_of_every_class(name):
    shares = rows(name)
    classes = {0} if name == "figure_04" else set(range(10))
    assert cells(shares, "layer", "class", "filter") == {
        (layer, digit, index)
        for layer, count in FILTERS[name].items()
        for digit in classes
        for index in range(count)
    }
    places = shares.groupby(["layer", "class", "seed"])["value"].sum()
    for (layer, _, _), held in places.items():  # a tenth of the filters, in every pair
        assert held == pytest.approx(math.ceil(FILTERS[name][layer] / 10), abs=0.01)


def test_the_third_layer_of_the_dense_network_is_counted_as_well():
    shares = rows("filters_dense")
    assert cells(shares, "layer", "class", "filter") == {
        (layer, digit, index)
        for layer, count in ((1, 32), (2, 64), (3, 128))
        for digit in range(10)
        for index in range(count)
    }


METHODS, LOSSES = ("fgsm", "pgd"), ("logits", "probabilities")


@pytest.mark.parametrize(("method", "number"), [("fgsm", 4), ("pgd", 5)])
def test_an_aim_was_tried_on_the_network_of_the_sweep(method, number):
    aims = rows("attack_goals").query("attack == @method").set_index("aims at")["value"]
    assert set(aims.index) == {"any wrong digit", "a random one"}
    swept = rows(f"table_{number:02d}").query("model == 'base' and epsilon == 0.3 and seed == 0")
    assert aims["any wrong digit"] == swept["value"].item()


def test_the_double_softmax_is_recorded_for_every_attack_and_loss():
    pairs = set(product(METHODS, LOSSES))
    targets = {(one, other) for one, other in product(range(10), repeat=2) if one != other}
    rates = cells(rows("targeted_rates"), "attack", "loss_input", "source", "target")
    assert rates == {(*pair, *target) for pair in pairs for target in targets}
    found = cells(rows("double_softmax"), "attack", "loss_input", "quantity")
    quantities = {"untargeted accuracy", "tables with no more ticks"}
    quantities |= {f"reaches rank {place}" for place in range(1, 10)}
    assert found == {(*pair, quantity) for pair in pairs for quantity in quantities}
    found = cells(rows("targeted_cases"), "attack", "loss_input", "case")
    assert found == {(*pair, case) for pair in pairs for case in ("average", "best", "worst")}


def test_the_learning_curves_begin_before_the_first_epoch():
    curves = rows("learning_curves").query("fraction in (0.1, 1)")
    columns = ("model", "attack", "training", "fraction", "test", "epoch")
    assert cells(curves, *columns) == set(
        product(
            MODELS,
            METHODS,
            ("adversarial", "mixed"),
            (0.1, 1.0),
            ("clean", "static"),
            range(curves["epoch"].max() + 1),
        )
    )


def test_attacks_are_crossed_and_a_second_radius_was_tried():
    mixed = rows("cross_attack").query("training == 'mixed'")
    crossed = cells(mixed, "trained_on", "tested_on", "model")
    assert crossed >= {(*pair, "base") for pair in product(METHODS, repeat=2)}
    chosen = cells(rows("filters_chosen_on"), "chosen_on", "test")
    assert chosen == set(product(("test", "validation"), ("clean", "static")))
    radii = rows("other_radius").query("training == 'mixed' and attack == 'pgd'")
    assert cells(radii, "model", "epsilon", "test") >= {
        ("base", 0.2, test) for test in ("clean", "static")
    }


def test_rival_explanations_were_tried():
    assert cells(rows("targeted_steps"), "loss_input", "steps") >= {
        ("logits", 5),
        ("logits", 40),
        ("probabilities", 40),
    }
    overlap = cells(rows("filter_overlap"), "comparison", "layer")
    rivals = ("random groups of images", "attack and random noise", "another random start")
    assert overlap >= set(product(("classes", *rivals), (1, 2)))
    leaking = cells(rows("label_leaking"), "perturbation", "digit", "network")
    swapped = ("of an image of another digit", "its digit")
    assert leaking >= {(*swapped, network) for network in ("undefended", "split")}


def test_fractions_are_compared_over_three_networks_in_every_setting():
    contrasts = rows("fraction_contrasts")
    assert (contrasts["networks"] >= 3).all()
    settings = contrasts[["attack", "training", "test", "start", "stop"]]
    assert set(settings.itertuples(index=False, name=None)) == {
        (*setting, *fractions)
        for setting in product(METHODS, ("adversarial", "mixed"), ("clean", "static"))
        for fractions in ((0.0, 0.1), (0.0, 1.0), (0.1, 1.0))
    }


def test_every_network_met_noise_and_images_of_a_surrogate_defended_like_itself():
    noise = rows("noise")
    kinds = ("one uniform draw", "one of full strength", "worst of 20")
    assert cells(noise, "model", "defence", "training", "fraction", "noise") >= {
        (model, *defence, kind)
        for model, kind in product(MODELS, kinds)
        for defence in (("none", "none", 1.0), ("pgd", "mixed", 0.1), ("pgd", "mixed", 1.0))
    }
    assert cells(rows("transfer"), "fraction", "surrogate") == set(
        product((0.1, 1.0), ("undefended", "defended the same way"))
    )


def test_hardening_compares_filters_from_three_networks_with_two_draws():
    arms = set(rows("hardening_arms")[["arm", "draw", "seed"]].itertuples(index=False, name=None))
    draws = (("dominant filters", 0), ("all filters", 0), *(("random filters", i) for i in (0, 1)))
    assert arms >= {(*arm, seed) for arm, seed in product(draws, range(3))}
    blocks = rows("hardening_blocks")
    assert blocks["images"].sum() == 10_000
    assert sorted(blocks["start"]) == list(range(0, 10_000, 1_000))


def test_every_record_says_what_produced_it():
    origins = json.loads((records.FULL_SCALE / "provenance.json").read_text(encoding="utf-8"))
    tables = [path.stem for path in records.FULL_SCALE.glob("*.csv")]
    networks = [f"models/{path.stem}" for path in records.FULL_SCALE.glob("models/*.keras")]
    assert sorted(origins) == sorted(tables + networks)
    of_others = ("autoattack", "certified", "verdicts_before")
    by_command = {name: origins.pop(name) for name in of_others}
    assert not any("preset" in origin for origin in by_command.values())
    assert {"torch", "pyautoattack"} <= by_command["autoattack"]["packages"].keys()
    assert {origin["preset"] for origin in origins.values()} == {"paper"}


ALONE = """
import sys
import keras
import numpy as np
import tensorflow as tf

file, images, count, epsilon = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
with np.load(images) as archive:
    x, y = archive["x_test"][:count], archive["y_test"][:count].astype(np.int64)
network = keras.saving.load_model(file, safe_mode=True)
x = tf.constant(x[..., None] / np.float32(255))
with tf.GradientTape() as tape:
    tape.watch(x)
    logits = network(x)
    loss = tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))
attacked = tf.clip_by_value(x + epsilon * tf.sign(tape.gradient(loss, x)), 0, 1)
clean = logits.numpy().argmax(1) == y
print(clean.mean(), (clean & (network(attacked).numpy().argmax(1) == y)).mean())
assert not any(name.partition(".")[0] == "lib" for name in sys.modules)
"""
"""Attacks a kept network by one FGSM step, with nothing of this project."""


@pytest.mark.parametrize(
    "network", sorted(records.FULL_SCALE.glob("models/*.keras")), ids=lambda path: path.stem
)
def test_keras_alone_confirms_the_card_of_each_network(network):
    card = network.with_suffix(".md").read_text(encoding="utf-8")
    found = re.search(r"epsilon ([\d.]+) on the\s+first ([\d,]+) test images \((.+)\)", card)
    epsilon, count, dataset = found.groups()
    variable = f"{dataset.upper().replace('-', '_')}_NPZ"
    if not (images := os.environ.get(variable)):
        pytest.skip(f"{variable} names no file: the network's images are not here")
    arguments = [network, images, count.replace(",", ""), epsilon]
    done = subprocess.run(
        [sys.executable, "-I", "-c", ALONE, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
    )
    shares = map(float, done.stdout.split())
    for rung, share in zip(("clean", "fgsm"), shares, strict=True):
        said = float(re.search(rf"^\| {rung} \| .+? \| ([\d.]+)% \|", card, re.M)[1])
        # Of a gradient that is all but 0, rounding decides the sign.
        assert 100 * share == pytest.approx(said, abs=0.01 if rung == "clean" else 0.3)


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


@pytest.mark.parametrize(
    ("by_fraction", "fraction", "of_model"), [(10, 0.1, 8), (10, 1, 6), (11, 0.1, 9), (11, 1, 7)]
)
def test_the_same_network_has_the_same_accuracies_in_every_table(by_fraction, fraction, of_model):
    keys = ["training", "test"]
    one = rows(f"table_{by_fraction}").query("seed == 0 and fraction == @fraction")
    other = rows(f"table_{of_model:02d}").query("model == 'base' and training != 'none'")
    found, expected = (frame.set_index(keys)["value"].sort_index() for frame in (one, other))
    assert len(found) == 4
    assert found.equals(expected)


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
    assert RECORDED <= set(ladder.index) <= set(adaptive.RUNGS)
    assert ladder.loc["clean", "accuracy"] >= 0.97
    assert ladder["worst case"].min() >= 0.85


def test_the_checks_of_the_hardened_network_pass():
    checks = rows("hardening_checks")
    assert checks["check"].str.contains("twice").sum() == 5
    assert checks["passed"].all()
    curve = rows("hardening_epsilon_curve").set_index("epsilon")["accuracy"]
    assert curve[0.3] > 0.85
    assert curve[1.0] == 0


class TestNetworks:
    """Those that are kept do what their cards say, on images that come with a package."""

    IMAGES = data.load("mnist-5k").test.first(200)

    @pytest.fixture(params=["undefended", "split_pgd", "hardened"])
    def kept(self, request):
        path = records.FULL_SCALE / "models" / f"{request.param}.keras"
        card = path.with_suffix(".md").read_text(encoding="utf-8")
        rungs = re.findall(r"^\| ([\w-]+) \| .* \| ([\d.]+)% \| ([\d.]+)% \|$", card, re.M)
        return keras.saving.load_model(path), {rung: float(share) / 100 for rung, share, _ in rungs}

    def test_they_read_clean_images_as_their_cards_say(self, kept):
        network, card = kept
        assert RECORDED <= set(card) <= set(adaptive.RUNGS)
        found = models.accuracy(network, self.IMAGES.images, self.IMAGES.labels)
        assert found == pytest.approx(card["clean"], abs=0.03)

    def test_they_withstand_pgd_as_their_cards_say(self, kept):
        network, card = kept
        images = attacks.perturb(
            network, attacks.Attack("pgd", 0.3), self.IMAGES.images, self.IMAGES.labels
        )
        found = models.accuracy(network, images, self.IMAGES.labels)
        assert found == pytest.approx(card["pgd"], abs=0.06)


def test_the_controls_were_trained_and_the_yardstick_withstands_what_they_do_not():
    controls = rows("controls")
    trained = {"random filters", "least affected filters", "dense layers only", "whole network"}
    assert trained | {"dominant filters", "clean images", "noisy images"} < set(controls["arm"])
    assert set(controls.loc[controls["arm"] == "random filters", "draw"]) >= {0, 1, 2}
    worst = controls[controls["test"] == "worst case"].groupby("arm")["value"].mean()
    assert worst.pop("crafted afresh") > 0.7 > 0.1 > worst.max()


QUOTED = [
    ("step", "base", "parallel"),
    ("step", "dense", "parallel"),
    ("step", "shallow", "parallel"),
    ("step", "base", "gathered"),
    ("step", "base", "selective"),
    ("step", "dense", "selective"),
    ("step", "shallow", "selective"),
    ("step, same kernel", "base", "selective"),
    ("step, same kernel", "dense", "selective"),
    ("survivors", "undefended model", "survivors"),
    ("survivors", "hardly any image falls", "survivors"),
    ("crafting", "PGD", "ours"),
    ("crafting", "FGSM", "ours"),
    ("sweeps", "equal trainings", "2 processes, one thread each"),
]


def test_the_readme_quotes_the_recorded_timings():
    times = rows("bench").set_index(["section", "case", "way"])
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = re.search(r"\| CPU time \| time \| goal \|\n.*\n((?:\|.*\n)+)", readme).group(1)
    written = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    assert len(written) == len(QUOTED)
    expected = []
    for (what, *_), key in zip(written, QUOTED, strict=True):
        row = times.loc[key]
        goal = "" if math.isnan(row["goal"]) else f"{row['goal']:.2f}"
        expected.append([what, f"{row['cpu_ratio']:.2f}", f"{row['ratio']:.2f}", goal])
    lines = "\n".join(f"| {' | '.join(cells)} |" for cells in expected)
    assert written == expected, f"the lines to paste into README.md:\n{lines}"
    machine = records.benchmark()["machine"]
    packages = machine["packages"]
    of = f"TensorFlow {packages['tensorflow']} and Keras {packages['keras']}"
    where = f"one thread of a machine with {machine['cores']} cores ({machine['processor']}), {of}"
    assert where in re.sub(r"\s+", " ", readme), f"the machine to paste into README.md: {where}"


@pytest.mark.parametrize(
    ("chapter", "words", "record"),
    [
        ("11_datasets", "has not climbed this ladder yet", "across_ladder"),
        ("09_hardening", "has not held this contest yet", "criteria_arms"),
    ],
)
def test_a_chapter_says_that_it_lacks_a_record_as_long_as_it_does(chapter, words, record):
    said = words in (ROOT / "book" / f"{chapter}.ipynb").read_text(encoding="utf-8")
    assert said == (records.full_scale(record) is None)
