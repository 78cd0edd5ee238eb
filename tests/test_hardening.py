"""Hardening: what trains, what it is trained on, that it can be stopped, and that it works."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import keras
import numpy as np
import pytest
import tensorflow as tf

from lib.stages import attacks, data, filters, hardening, models, splitting
from lib.stages.attacks import Attack
from lib.stages.filters import Selection, Study
from lib.stages.hardening import CraftedAfresh, Hardening
from lib.stages.models import Training

VICTIM = Training("mnist-tiny", "shallow", batch_size=32, max_epochs=5)
PGD = Attack("pgd", 0.1, 0.05, 4)
RESTRICTED = Hardening(
    VICTIM,
    replace(PGD, steps=1),
    Selection(Study(VICTIM, PGD, images_per_class=2), 0.1, "random"),
    start="victim",
    epochs=2,
    batch_size=32,
    dropout=0.25,
)


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def moved(experiment: Hardening) -> list[np.ndarray]:
    """Return which weights changed, by filter: one row of truth values an array."""
    before, after = models.fit(VICTIM).weights, hardening.harden(experiment).weights
    return [
        (old != new).reshape(-1, old.shape[-1]).any(axis=0)
        for old, new in zip(before, after, strict=True)
    ]


def test_only_the_chosen_filters_and_the_dense_layers_change() -> None:
    choice = filters.choose(RESTRICTED.selection)
    kernel_1, bias_1, kernel_2, bias_2, *dense = moved(RESTRICTED)
    for kernel, bias, chosen in ((kernel_1, bias_1, choice[0]), (kernel_2, bias_2, choice[1])):
        assert tuple(np.flatnonzero(kernel)) == tuple(np.flatnonzero(bias)) == chosen
    assert all(array.any() for array in dense)


def test_at_fraction_0_no_filter_changes_and_with_dense_layers_frozen_nothing_else() -> None:
    none = replace(RESTRICTED, selection=replace(RESTRICTED.selection, fraction=0.0), epochs=1)
    *convolutions, _, _, _, logits_bias = moved(none)
    assert not any(array.any() for array in convolutions)
    assert logits_bias.any()

    kernel_1, _, kernel_2, _, *dense = moved(replace(RESTRICTED, dense_layers=False, epochs=1))
    assert kernel_1.any()
    assert kernel_2.any()
    assert not any(array.any() for array in dense)


def network_with(weights: models.Weights) -> keras.Model:
    """Return a network as it is trained when everything trains."""
    original = models.build("shallow", dropout=0)
    original.set_weights(weights)
    everything = tuple(tuple(range(count)) for count in models.conv_filters("shallow"))
    return splitting.selective(original, everything)


def test_crafted_images_keep_to_the_radius_which_grows_to_epsilon() -> None:
    split = data.load("mnist-tiny").train.first(32)
    images, labels = tf.constant(split.images), tf.constant(split.labels)
    experiment = replace(RESTRICTED, attack=PGD, growth=0.5)
    model = CraftedAfresh(network_with(models.fit(VICTIM).weights), experiment, steps=20)
    craft = tf.function(model.craft)  # a graph, as in training
    for step, radius in ((0, 0.01), (4, 0.05), (9, 0.1), (19, 0.1)):
        adversarial = craft(images, labels, tf.constant(step, tf.int64)).numpy()
        attacks.check(split.images, adversarial, radius)
        assert np.abs(adversarial - split.images).max() == pytest.approx(radius, abs=1e-6)


def test_images_are_crafted_against_the_weights_of_the_moment() -> None:
    split = data.load("mnist-tiny").train.first(128)
    images, labels = tf.constant(split.images), tf.constant(split.labels)
    network = network_with(models.fit(VICTIM).weights)
    model = CraftedAfresh(network, replace(RESTRICTED, attack=PGD, growth=0), steps=1)
    craft = tf.function(model.craft)
    step = tf.constant(0, tf.int64)

    before = craft(images, labels, step).numpy()
    clean = models.accuracy(network, split.images, split.labels)
    assert models.accuracy(network, before, split.labels) < clean - 0.2

    other = network_with(models.fit(replace(VICTIM, seed=1)).weights)
    network.set_weights(other.get_weights())  # as an optimizer does: in place
    after = craft(images, labels, step).numpy()
    stale, fresh = (models.accuracy(other, crafted, split.labels) for crafted in (before, after))
    assert fresh < stale - 0.05


def test_the_loss_of_trades_is_that_of_clean_images_and_the_change_of_the_answer() -> None:
    clean = np.array([[2.0, 0, 0], [0, 1, 0]], np.float32)
    crafted = np.array([[0.0, 1, 0], [0, 1, 0]], np.float32)
    labels = np.array([0, 2])

    def probabilities(logits: np.ndarray) -> np.ndarray:
        return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)

    before, after = probabilities(clean), probabilities(crafted)
    error = -np.log(before[[0, 1], labels])
    change = (before * np.log(before / after)).sum(axis=1)
    found = hardening.trades_loss(4.0)(np.tile(labels, 2), np.concatenate([clean, crafted]))
    np.testing.assert_allclose(found, error + 4 * change, rtol=1e-5)
    assert change[0] > 0.5
    assert change[1] == pytest.approx(0)


def test_trades_crafts_what_is_far_from_the_answer_to_the_clean_image() -> None:
    split = data.load("mnist-tiny").train.first(128)
    images = tf.constant(split.images)
    network = network_with(models.fit(VICTIM).weights)
    answers = network(images, training=False).numpy().argmax(axis=1)
    wrong = tf.constant((answers + 1) % data.CLASSES)
    kept = {}
    for loss in ("cross-entropy", "trades"):
        experiment = replace(RESTRICTED, attack=PGD, growth=0, loss=loss)
        model = CraftedAfresh(network, experiment, steps=1)
        crafted = tf.function(model.craft)(images, wrong, tf.constant(0, tf.int64)).numpy()
        attacks.check(split.images, crafted, PGD.epsilon)
        kept[loss] = models.accuracy(network, crafted, answers)
    # Told wrong labels, one of them leads away from those, so the answers stay.
    assert kept["trades"] < kept["cross-entropy"] - 0.2


def test_a_weight_that_weighs_nothing_makes_no_other_experiment() -> None:
    assert replace(RESTRICTED, weight=3.0) == RESTRICTED
    assert replace(RESTRICTED, loss="trades", weight=3.0).weight == 3.0


def test_a_training_that_was_stopped_goes_on_to_the_same_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = hardening.harden(RESTRICTED)
    save, saved = hardening._Checkpoint.save, []

    def save_and_stop(checkpoint: hardening._Checkpoint, history: dict[str, list[float]]) -> None:
        save(checkpoint, history)
        saved.append(checkpoint.path)
        if len(saved) == 2:  # before the first epoch, and after it
            raise KeyboardInterrupt

    monkeypatch.setattr(hardening._Checkpoint, "save", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        hardening.harden.__wrapped__(RESTRICTED)
    assert saved[0].is_file()
    resumed = hardening.harden.__wrapped__(RESTRICTED)

    assert len(saved) == 3  # one more epoch, not two
    assert not saved[0].exists()
    for one, other in zip(resumed.weights, whole.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    for name in ("clean", "pgd"):
        assert resumed.history[name] == whole.history[name]
    assert resumed.history["seconds"] == sorted(resumed.history["seconds"])


@pytest.mark.parametrize("loss", ["cross-entropy", "trades"])
def test_a_short_training_makes_fresh_attacks_harder(
    loss: Literal["cross-entropy", "trades"],
) -> None:
    experiment = Hardening(
        VICTIM, PGD, start="victim", epochs=5, batch_size=32, growth=0.2, loss=loss, weight=2.0
    )
    split = data.load("mnist-tiny").test
    judge = Attack("pgd", 0.1, 0.02, 10)

    def fresh_accuracy(model: keras.Model) -> float:
        adversarial = attacks.perturb(model, judge, split.images, split.labels)
        return models.accuracy(model, adversarial, split.labels)

    undefended, defended = models.trained(VICTIM), hardening.hardened(experiment)
    assert models.accuracy(undefended, split.images, split.labels) > 0.7
    assert models.accuracy(defended, split.images, split.labels) > 0.7
    assert fresh_accuracy(defended) > fresh_accuracy(undefended) + 0.15

    history = hardening.harden(experiment).history
    assert {name: len(values) for name, values in history.items()} == dict.fromkeys(
        ("clean", "pgd", "seconds"), 6
    )
    assert history["pgd"][-1] > history["pgd"][0] + 0.15


def test_the_cost_is_counted_in_gradients_of_single_images() -> None:
    images = len(data.load("mnist-tiny").train)
    crossed = replace(RESTRICTED, attack=PGD)
    assert hardening.gradients(crossed) == 2 * images * (4 + 1)
    assert hardening.gradients(replace(crossed, loss="trades")) == 2 * images * (4 + 2)


@pytest.mark.parametrize("attack", [Attack("fgsm"), Attack("pgd", random_start=False)], ids=str)
def test_attacks_that_training_does_not_craft_with_are_refused(attack: Attack) -> None:
    with pytest.raises(ValueError, match="PGD and a random start"):
        Hardening(VICTIM, attack)
