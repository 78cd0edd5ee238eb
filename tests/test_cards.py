"""A card says what the ladder leaves, the scoreboard computes it again, and fakes are flagged."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from lib.cards import board, card, kept
from lib.cards.card import Card, Terms
from lib.compute.parameters import RefusedError
from lib.site.cli import main
from lib.stages import adapters, attacks, data, models, submitted
from lib.stages.adaptive import Budget
from lib.stages.attacks import Attack
from lib.stages.hardening import Hardening
from tests.helpers import TINY, shared_tiny_model, tiny_model

TERMS = Terms(dataset="mnist-tiny", images=20, epsilon=0.08, quick=True)
OPTIONS = ("--dataset", "mnist-tiny", "--images", "20", "--epsilon", "0.08", "--quick")


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(attacks, "BATCH", 20)
        # Such small images are lost to twice these; only what hides from gradients may fail.
        patch.setattr(card.adaptive, "patient_budgets", lambda *_: dict.fromkeys(PATIENT, FEW))
        patch.setattr(submitted, "SURROGATE", "shallow")
        # Imported under the runner's streams, it would have absl close those of pytest.
        adapters.art_classifier(shared_tiny_model())
        yield


FEW = Budget(steps=10, queries=60)
PATIENT = ("square", "restarts", "apgd-ce", "apgd-dlr", "fmn")


def stack(*layers):
    return keras.Sequential([keras.Input((28, 28, 1)), *layers])


def masked():
    """Return a network whose logits are so large that a softmax has no gradient."""
    return stack(*tiny_model().layers, keras.layers.Rescaling(1000.0))


def quantised():
    """Return a network that sees five shades of grey, which have no derivative."""
    images = keras.Input((28, 28, 1))
    seen = keras.ops.round(4 * images) / 4
    return keras.Model(images, tiny_model()(seen))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return what a class handed in, as a scoreboard of it finds it."""
    place = tmp_path_factory.mktemp("class")
    for name, network in (("honest", tiny_model()), ("masked", masked()), ("steps", quantised())):
        (place / name).mkdir()
        network.save(place / name / "mine.keras")
    (place / "broken.keras").write_bytes((place / "honest" / "mine.keras").read_bytes()[:2000])
    return place


@pytest.fixture(scope="module")
def attacked(folder):
    """Return what the command said of the honest network."""
    network = folder / "honest" / "mine.keras"
    return CliRunner().invoke(main, ["attack", str(network), *OPTIONS])


def test_the_command_says_what_it_does_and_writes_a_card(folder, attacked):
    assert attacked.exit_code == 0, attacked.output
    for text in ("apgd-dlr: ", "sanity checks", "withstand every attack", "mine.card.json"):
        assert text in attacked.stdout
    found = Card.model_validate_json((folder / "honest" / "mine.card.json").read_bytes())
    validation = data.load("mnist-tiny").validation.first(20)
    right = models.predict(shared_tiny_model(), validation.images) == validation.labels
    assert found.clean == pytest.approx(right.mean())
    assert [step.rung for step in found.ladder] == list(card.RUNGS)
    assert found.worst_case == min(step.worst_case for step in found.ladder) < found.clean
    assert found.masked == []
    shown = (folder / "honest" / "mine.card.md").read_text("utf-8")
    for text in (found.sha256, f"**{found.worst_case:.1%}**", "validation images of mnist-tiny"):
        assert text in shown


def test_what_has_finished_is_not_computed_again(folder, attacked, monkeypatch):
    assert attacked.exit_code == 0
    monkeypatch.setattr(models, "predict", lambda *_: pytest.fail("computed again"))
    monkeypatch.setattr(card.adaptive.sanity, "without_gradient", lambda *_, **__: 0.0)
    monkeypatch.setattr(card.adaptive.sanity, "changed_answers", lambda *_, **__: 0.0)
    before = (folder / "honest" / "mine.card.json").read_text("utf-8")
    assert (
        card.evaluate(folder / "honest" / "mine.keras", TERMS).worst_case
        == (json.loads(before)["worst_case"])
    )


@pytest.fixture(scope="module")
def entries(folder, attacked):
    assert attacked.exit_code == 0
    invented = json.loads((folder / "honest" / "mine.card.json").read_text("utf-8"))
    for step in invented["ladder"]:
        step["accuracy"] = step["worst_case"] = 1.0
    (folder / "honest" / "mine.card.json").write_text(json.dumps(invented))
    (folder / "copied").mkdir()
    shutil.copy(folder / "honest" / "mine.keras", folder / "copied")
    result = CliRunner().invoke(main, ["scoreboard", str(folder), *OPTIONS])
    assert result.exit_code == 0, result.output
    assert "4 of 5: masked/mine.keras" in result.stdout
    terms = TERMS.model_copy(update={"part": "test"})
    return {entry.name: entry for entry in board.judged(folder, terms)}


def test_networks_without_gradients_are_flagged_and_not_ranked(entries):
    for name in ("masked/mine.keras", "steps/mine.keras"):
        assert entries[name].place is None
        assert any("gradient" in flag for flag in entries[name].card.masked)
    assert entries["honest/mine.keras"].place is not None
    assert entries["honest/mine.keras"].card.masked == []
    assert "no derivative" in entries["steps/mine.keras"].card.notes[0]


def test_an_invented_card_is_noticed(entries):
    remarks = entries["honest/mine.keras"].remarks
    assert any("claims 100.0% (worst case)" in remark for remark in remarks)
    assert "the same file as copied/mine.keras" in remarks
    assert entries["copied/mine.keras"].remarks == ["no card was handed in with it"]


def test_a_card_says_how_a_network_was_hardened(monkeypatch, tmp_path):
    monkeypatch.setenv("LIB_RESULTS", str(tmp_path))
    monkeypatch.setattr(kept.adaptive, "model_of", lambda defence: shared_tiny_model())
    clothes = replace(TINY, dataset="fashion-5k", seed=3)
    defence = Hardening(clothes, Attack("pgd", 0.15, 0.05, 5), epochs=7, batch_size=64)
    ladder = pd.DataFrame(
        {"rung": ["clean"], "budget": ["none"], "accuracy": [0.5], "worst case": [0.5]}
    )
    path = kept.keep_hardened("mine", defence, ladder, 1_000)
    said = " ".join(path.with_suffix(".md").read_text("utf-8").split())
    for text in (
        "7 epochs",
        "(5 steps, epsilon 0.15, batches of 64, seed 3)",
        "on the first 1,000",
    ):
        assert text in said
    origins = json.loads((tmp_path / "provenance.json").read_text("utf-8"))
    assert origins["models/mine"]["dataset"] == "fashion-5k"
    assert origins["models/mine"]["seeds"] == [3]


def test_an_honest_card_raises_no_question(entries, tmp_path):
    found = entries["honest/mine.keras"].card
    written = found.write(tmp_path / "mine")
    assert board._remarks(written[1], found) == []
    other = found.model_copy(update={"sha256": "0" * 64})
    assert board._remarks(written[1], other) == ["its card is of another file"]
    written[1].write_text("{")
    assert board._remarks(written[1], found) == ["the card that was handed in cannot be read"]


def test_the_page_shows_what_was_computed(folder, entries):
    text = (folder / "scoreboard.html").read_text("utf-8")
    worst = f"{entries['honest/mine.keras'].card.worst_case:.1%}"
    for expected in (worst, "gradients mislead", "not attacked", "test images of mnist-tiny"):
        assert expected in text
    assert text.index("honest/mine.keras") < text.index("masked/mine.keras")
    assert text.index("masked/mine.keras") < text.index("broken.keras")
    assert "http" not in text


def test_names_are_text_on_the_page(entries, tmp_path):
    entry = entries["broken.keras"].model_copy(update={"name": "<script>x</script>.keras"})
    assert "<script>" not in board.write(tmp_path, [entry], TERMS).read_text("utf-8")


def softmax_layer():
    return stack(*tiny_model().layers, keras.layers.Softmax())


def softmax_activation():
    network = tiny_model()
    network.layers[-1].activation = keras.activations.softmax
    return network


def softmax_inside():
    return stack(softmax_layer())


@pytest.mark.parametrize("make", [softmax_layer, softmax_activation, softmax_inside])
def test_a_softmax_is_noticed_and_attacked_by_its_logits(make, tmp_path):
    make().save(tmp_path / "mine.keras")
    found = submitted.network(submitted.keep(tmp_path / "mine.keras"))
    assert len(found.notes) == 1
    images = data.load("mnist-tiny").test.images[:20]
    expected = models.predict_logits(shared_tiny_model(), images)
    logits = models.predict_logits(found.model, images)
    apart = logits - expected  # a constant for each image changes no probability
    assert np.allclose(apart, apart.mean(axis=1, keepdims=True), atol=1e-2)


def test_images_without_a_channel_fit(tmp_path):
    layers = [keras.Input((28, 28)), keras.layers.Reshape((28, 28, 1)), *tiny_model().layers]
    keras.Sequential(layers).save(tmp_path / "mine.keras")
    found = submitted.network(submitted.keep(tmp_path / "mine.keras"))
    images = data.load("mnist-tiny").test.images[:20]
    expected = models.predict_logits(shared_tiny_model(), images)
    assert np.allclose(models.predict_logits(found.model, images), expected, atol=1e-4)


def wrong_shape():
    return keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Flatten()])


def code_of_its_own():
    return stack(keras.layers.Lambda(lambda x: x[:, 0, :10]))


def never_built():
    return keras.Sequential(tiny_model().layers)


def not_finite():
    network = tiny_model()
    network.set_weights([weight * np.nan for weight in network.get_weights()])
    return network


REFUSED = [
    (wrong_shape, "it maps (None, 32, 32, 3) to (None, 3072)"),
    (code_of_its_own, "a Lambda layer"),
    (never_built, "its input has no shape"),
    (not_finite, "its outputs are not all finite numbers"),
]


@pytest.mark.parametrize(("make", "reason"), REFUSED)
def test_what_is_no_such_network_is_refused_in_one_line(make, reason, tmp_path):
    make().save(tmp_path / "mine.keras")
    result = CliRunner().invoke(main, ["attack", str(tmp_path / "mine.keras"), *OPTIONS])
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {tmp_path / 'mine.keras'}: ")
    assert reason in result.stderr and result.stderr.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"mine.keras"}


def test_what_is_no_keras_file_is_refused(tmp_path, monkeypatch):
    with pytest.raises(RefusedError, match="there is no such file"):
        card.evaluate(tmp_path / "none.keras", TERMS)
    text = tmp_path / "text.keras"
    text.write_text("weights")
    with pytest.raises(RefusedError, match="not a whole Keras file"):
        card.evaluate(text, TERMS)
    monkeypatch.setattr(submitted, "MOST_BYTES", 1000)
    tiny_model().save(text)
    with pytest.raises(RefusedError, match="unpacked it has"):
        card.evaluate(text, TERMS)


def test_options_are_checked_before_anything_runs(tmp_path):
    for option, value, reason in (
        ("--epsilon", "2", "epsilon: 2 is not allowed"),
        ("--images", "none", "images: none is not allowed"),
        ("--dataset", "cats", "dataset: cats is not allowed"),
    ):
        result = CliRunner().invoke(main, ["attack", "mine.keras", option, value])
        assert result.exit_code == 2 and reason in result.stderr
    result = CliRunner().invoke(main, ["scoreboard", str(Path(tmp_path))])
    assert result.exit_code == 2 and "there is no .keras file in it" in result.stderr


def test_too_few_images_are_said_to_be_too_few(folder):
    terms = TERMS.model_copy(update={"images": 100_000})
    with pytest.raises(RefusedError, match="100000 images asked for"):
        card.evaluate(folder / "honest" / "mine.keras", terms)
