"""The network that is not the paper's: measured, split and trained as the paper's are."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from lib.compute import registered
from lib.stages import defences, filters, hardening, models, splitting, training
from lib.stages.attacks import Attack
from lib.stages.filters import FilterChoice, Selection, Study
from lib.stages.models import Weights
from lib.stages.networks import residual

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.random((16, 28, 28, 1), np.float32)
LABELS = RANDOM.integers(0, 10, 16)
COUNTS = models.conv_filters("residual")
FORMS = (splitting.parallel, splitting.gathered, splitting.selective)
VICTIM = models.Training("mnist-tiny", "residual", max_epochs=1)


def random_choice(fraction: float) -> FilterChoice:
    random = np.random.default_rng(1)
    return tuple(
        tuple(sorted(random.permutation(count)[: filters.how_many(fraction, count)].tolist()))
        for count in COUNTS
    )


CHOICES = {
    "a tenth": random_choice(0.1),
    "none": random_choice(0),
    "all": random_choice(1),
    # Trained and frozen layers meet in the sums.
    "every other layer": tuple(
        choice if layer % 2 else () for layer, choice in enumerate(random_choice(0.5))
    ),
}
every_form = pytest.mark.parametrize("split", FORMS)
every_choice = pytest.mark.parametrize("name", CHOICES)


@cache
def network() -> keras.Model:
    """Return a network whose normalisations differ by channel, and know such images."""
    keras.utils.set_random_seed(0)
    model = models.build("residual", dropout=0.0)  # the forms would drop different channels
    random = np.random.default_rng(0)
    model.set_weights(
        [
            array if array.ndim > 1 else random.uniform(0.5, 1.5, array.shape)
            for array in model.get_weights()
        ]
    )
    for _ in range(30):
        model(IMAGES, training=True)  # moves the statistics
    return model


@cache
def trained(split: Callable[..., keras.Model], name: str) -> tuple[keras.Model, Weights]:
    """Return a split model after a few steps, and its weights in the original layout."""
    model = split(network(), CHOICES[name])
    model.compile(
        keras.optimizers.SGD(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    for _ in range(3):
        model.train_on_batch(IMAGES, LABELS)
    return model, splitting.merged_weights(model, network(), CHOICES[name])


def test_it_is_no_network_of_the_paper_and_of_the_size_that_was_asked_for() -> None:
    assert models.ARCHITECTURES == ("shallow", "base", "dense")
    assert "residual" in registered.names("networks")
    assert 100_000 <= network().count_params() <= 300_000
    assert f"{network().count_params():,} parameters" in str(residual.__doc__)


@pytest.mark.filterwarnings("error::UserWarning")
@every_form
@every_choice
def test_a_split_network_computes_the_same_logits(
    split: Callable[..., keras.Model], name: str
) -> None:
    expected = network()(IMAGES, training=False)
    found = split(network(), CHOICES[name])(IMAGES, training=False)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@every_form
@every_choice
def test_weights_survive_splitting_and_merging(
    split: Callable[..., keras.Model], name: str
) -> None:
    blank = models.build("residual")  # what merging does not fill in would show
    blank.set_weights([np.full_like(array, np.nan) for array in blank.get_weights()])
    merged = splitting.merged_weights(split(network(), CHOICES[name]), blank, CHOICES[name])
    for old, new in zip(network().get_weights(), merged, strict=True):
        np.testing.assert_array_equal(new, old)


@pytest.mark.parametrize("split", (splitting.parallel, splitting.gathered))
@every_choice
def test_frozen_filters_stay_to_the_bit_and_so_do_their_statistics(
    split: Callable[..., keras.Model], name: str
) -> None:
    model = network()
    layers = [layer for layer in model.layers for _ in layer.get_weights()]
    chosen_of = dict(
        zip([layer.name for layer in models.conv_layers(model)], CHOICES[name], strict=True)
    )
    _, after = trained(split, name)
    for layer, old, new in zip(layers, model.get_weights(), after, strict=True):
        chosen = chosen_of.get(layer.name.removesuffix("_normalised"))
        if chosen is None:
            assert not np.array_equal(old, new)  # the dense layers train
            continue
        rest = np.delete(np.arange(old.shape[-1]), list(chosen))
        np.testing.assert_array_equal(new[..., rest], old[..., rest])
        moved = np.abs(new - old).reshape(-1, old.shape[-1]).max(axis=0)[list(chosen)]
        assert not chosen or (moved > 0).mean() > 0.5, layer.name


@every_choice
def test_what_has_trained_gives_back_the_original_architecture(name: str) -> None:
    tuned, weights = trained(splitting.parallel, name)
    merged = models.build("residual")
    merged.set_weights(weights)
    expected = tuned(IMAGES, training=False)
    np.testing.assert_allclose(
        merged(IMAGES, training=False), expected, rtol=0, atol=1e-5 * np.abs(expected).max()
    )


def test_both_plain_forms_train_alike() -> None:
    _, parallel = trained(splitting.parallel, "a tenth")
    _, gathered = trained(splitting.gathered, "a tenth")
    for old, one, other in zip(network().get_weights(), parallel, gathered, strict=True):
        assert np.linalg.norm(one - other) <= 1e-6 + 1e-2 * np.linalg.norm(one - old)


def test_order_is_restored_only_where_maps_of_two_orders_are_added() -> None:
    split = splitting.parallel(network(), CHOICES["a tenth"])
    found = [layer.name for layer in split.layers if isinstance(layer, splitting.ChannelOrder)]
    assert found == ["pool_for_block1_add"] + [
        f"block{number}_shortcut_normalised_for_block{number}_add" for number in (2, 3)
    ]


def test_the_fast_layers_leave_it_to_the_plain_form() -> None:
    assert splitting.selective(network(), CHOICES["a tenth"]).name == "residual_parallel"


def test_filters_are_measured_behind_their_normalisation() -> None:
    model = network()
    pair = RANDOM.random((2, 3, 28, 28, 1), np.float32)
    first, inner, second = (filters.output_changes(model, *pair)[layer] for layer in (0, 1, 2))
    for name, found in (
        ("relu", first),
        ("block1_relu1", inner),
        ("block1_conv2_normalised", second),
    ):
        maps = keras.Model(model.inputs, model.get_layer(name).output)
        expected = np.abs(maps(pair[0]) - maps(pair[1])).mean(axis=(1, 2))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.fixture
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("LIB_CACHE", str(tmp_path_factory.getbasetemp() / "residual"))


@pytest.mark.usefixtures("own_cache")
class TestEveryStageTakesIt:
    attack = Attack("pgd", 0.1, 0.05, 2)

    @property
    def selection(self) -> Selection:
        return Selection(Study(VICTIM, self.attack, images_per_class=2), 0.1)

    def assert_only_chosen_filters_differ(self, before: Weights, after: Weights) -> None:
        choice = filters.choose(self.selection)
        model = models.build("residual")
        names = [layer.name for layer in model.layers for _ in layer.get_weights()]
        of_first = [place for place, name in enumerate(names) if name.startswith("conv")]
        rest = np.delete(np.arange(COUNTS[0]), list(choice[0]))
        for place in of_first:
            np.testing.assert_array_equal(after[place][..., rest], before[place][..., rest])
        assert not np.array_equal(before[-1], after[-1])

    def test_fine_tuning(self) -> None:
        tuning = training.FineTuning(VICTIM, self.attack, "mixed", self.selection, epochs=1)
        tuned = training.fine_tune(tuning)
        self.assert_only_chosen_filters_differ(models.fit(VICTIM).weights, tuned.weights)
        assert defences.model_of(tuning)(IMAGES).shape == (16, 10)

    def test_hardening(self) -> None:
        hard = hardening.Hardening(
            VICTIM, self.attack, self.selection, start="victim", epochs=1, batch_size=64
        )
        tuned = hardening.harden(hard)
        self.assert_only_chosen_filters_differ(models.fit(VICTIM).weights, tuned.weights)

    def test_a_planted_fake(self) -> None:
        fake = defences.model_of(defences.Masked(VICTIM, 10.0))
        np.testing.assert_allclose(
            fake(IMAGES), 10 * models.trained(VICTIM)(IMAGES), rtol=1e-4, atol=1e-4
        )


def test_its_rate_falls_to_nothing_and_that_of_the_papers_networks_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LIB_CACHE", str(tmp_path))
    compiled = []

    def compile_for_training(model: keras.Model, *arguments: Any) -> None:
        original(model, *arguments)
        compiled.append(model)

    original = models.compile_for_training
    monkeypatch.setattr(models, "compile_for_training", compile_for_training)
    attack = Attack("pgd", 0.1, 0.05, 2)
    for architecture, falls in (("residual", True), ("shallow", False)):
        victim = replace(VICTIM, architecture=architecture, max_epochs=2, patience=1)
        training.fine_tune(training.FineTuning(victim, attack, "clean", epochs=2))
        fitted, tuned = compiled[-2:]
        assert len(models.fit(victim).history["loss"]) == 2 or not falls
        for model in (fitted, tuned):
            assert (float(model.optimizer.learning_rate) < 1e-8) == falls
