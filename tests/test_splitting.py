"""The split model: the same function, the same training step in every form, Table 12."""

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from lib.compute.parameters import Architecture
from lib.evidence import paper
from lib.fast import fused
from lib.fast import selective as fast_selective
from lib.stages import filters, models, splitting
from lib.stages.filters import FilterChoice
from lib.stages.models import Weights

REAL_IS_BLOCK = fused.is_block
FORMS = (splitting.parallel, splitting.gathered, splitting.selective)
every_form = pytest.mark.parametrize("split", FORMS)
RANDOM = np.random.default_rng(0)
IMAGES: NDArray[np.float32] = RANDOM.random((16, 28, 28, 1), np.float32)
LABELS = RANDOM.integers(0, 10, 16)
MANY_STEPS = 20


class PlainDropout(keras.layers.Dropout):
    """Dropout of the units that a selective model drops, by TensorFlow's own gradients."""

    drawn_in: list[int]
    """The channels in the order in which a selective model has them."""

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Return the units that are kept, scaled up."""
        if not training:
            return inputs
        seed, shape = self.seed_generator.next(), tf.unstack(tf.shape(inputs))
        shape[-1] = inputs.shape[-1]
        kept = fused.kept(fused.draw(seed, shape, self.rate), self.rate, shape[-1])
        kept = tf.gather(kept, np.argsort(self.drawn_in), axis=-1)
        return tf.where(kept, inputs / (1 - self.rate), 0)


@pytest.fixture(autouse=True)
def plain_dropout_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without that, the maps would be put in order before it."""
    monkeypatch.setattr(splitting, "CHANNELWISE", (*splitting.CHANNELWISE, PlainDropout))


@pytest.fixture(autouse=True)
def fast_layers_take_plain_dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without that, the selective form would be the parallel one here."""
    plain = [*fused.BLOCK[:2], PlainDropout]
    monkeypatch.setattr(
        fused, "is_block", lambda layers: [type(layer) for layer in layers[:3]] == plain
    )


def with_plain_dropout(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Copy a layer, and let the parallel layers drop what the selective ones do."""
    if isinstance(layer, keras.layers.Dropout):
        return PlainDropout(layer.rate, name=layer.name)
    return layer.__class__.from_config(layer.get_config())


def new_model(architecture: Architecture) -> keras.Sequential:
    """Return a network with random weights; the biases too, which Keras begins with zero."""
    keras.utils.set_random_seed(0)
    model = keras.models.clone_model(models.build(architecture), clone_function=with_plain_dropout)
    random = np.random.default_rng(0)
    for layer in model.layers:
        if layer.weights:
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel, random.uniform(0, 0.1, bias.shape)])
    return model


def random_choice(architecture: Architecture, fraction: float, seed: int) -> FilterChoice:
    """Return filters chosen at random, a fraction of each layer."""
    random = np.random.default_rng(seed)
    return tuple(
        tuple(sorted(random.permutation(count)[: filters.how_many(fraction, count)].tolist()))
        for count in models.conv_filters(architecture)
    )


CHOICES = [
    pytest.param(name, random_choice(name, fraction, seed), id=f"{name}-{fraction}-{seed}")
    for name, fraction, seed in (
        ("shallow", 0.0, 0),
        ("shallow", 0.1, 1),
        ("shallow", 0.5, 2),
        ("shallow", 1.0, 3),
        ("dense", 0.1, 4),
        ("dense", 0.5, 5),
        ("base", 0.0, 7),
        ("base", 0.1, 8),
        ("base", 0.5, 9),
        ("base", 1.0, 10),
        ("dense", 0.0, 11),
        ("dense", 1.0, 12),
    )
] + [
    # Which gradients are needed below depends on where trainable filters are above.
    pytest.param("dense", ((), (5, 60), ()), id="only in the middle"),
    pytest.param("dense", ((31,), (), (0, 127)), id="first and last"),
    pytest.param("dense", (tuple(range(32)), (), (7,)), id="all and none"),
    pytest.param("dense", ((0, 30), (5,), ()), id="none in the last"),
    pytest.param("dense", ((), (), (1, 100)), id="only in the last"),
]


@pytest.mark.parametrize(
    "row",
    [pytest.param(row, id=f"{row.model}-{row.fraction}") for row in paper.table(12).itertuples()],
)
def test_the_share_of_frozen_parameters_is_that_of_table_12(row) -> None:
    assert splitting.share_saved(row.model, row.fraction) == pytest.approx(row.value, abs=1e-4)


def trained_steps(
    split: keras.Model, architecture: Architecture, choice: FilterChoice, steps: int = 2
) -> keras.Model:
    """Train a few steps; the dropout of every split model draws the same units."""
    first = [
        [*chosen, *sorted(set(range(count)) - set(chosen))]
        for chosen, count in zip(choice, models.conv_filters(architecture), strict=True)
    ]
    if split.name.endswith("parallel"):  # its maps stay in that order
        first = [list(range(len(order))) for order in first]
    orders = iter(first)
    for layer in split.layers:
        if isinstance(layer, PlainDropout):
            layer.drawn_in = next(orders)
        own = [layer.seed_generator] if hasattr(layer, "seed_generator") else []
        for generator in getattr(layer, "seed_generators", own):
            generator.state.assign([1, 0])
    split.compile(
        # Not RMSprop: it divides by the size of the gradient, rounding included.
        optimizer=keras.optimizers.SGD(0.1),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        run_eagerly=steps < MANY_STEPS,  # a few steps are not worth a graph
    )
    for _ in range(steps):
        split.train_on_batch(IMAGES, LABELS)
    return split


class Journey(NamedTuple):
    """What a split model computes and holds, from the split to the end of a short training."""

    expected: NDArray[np.float32]
    """The logits of the whole model."""
    logits: NDArray[np.float32]
    before: Weights
    """Of the whole model."""
    merged: Weights
    """Of the split model before it trained; what merging does not fill in is not a number."""
    after: Weights


@cache
def journey(
    split: Callable[..., keras.Model], architecture: Architecture, choice: FilterChoice
) -> Journey:
    """Split a model, train it, and see that the original is left alone."""
    model = new_model(architecture)
    before = model.get_weights()
    network = split(model, choice)
    both = [np.array(each(IMAGES, training=False)) for each in (model, network)]
    blank = models.build(architecture)
    blank.set_weights([np.full_like(array, np.nan) for array in before])
    merged = splitting.merged_weights(network, blank, choice)
    tuned = trained_steps(network, architecture, choice)
    after = splitting.merged_weights(tuned, model, choice)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)
    return Journey(*both, before, merged, after)


@every_form
@pytest.mark.parametrize(("architecture", "choice"), CHOICES)
def test_a_split_model_computes_the_same_logits(
    split: Callable[..., keras.Model], architecture: Architecture, choice: FilterChoice
) -> None:
    expected, logits, *_ = journey(split, architecture, choice)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-6)
    assert np.ptp(expected) > 0.1  # constant logits would prove nothing


@pytest.mark.parametrize(("architecture", "choice"), CHOICES)
@pytest.mark.parametrize("split", (splitting.parallel, splitting.selective))
def test_every_form_trains_as_the_drawn_one_does(
    split: Callable[..., keras.Model], architecture: Architecture, choice: FilterChoice
) -> None:
    *_, before, _, drawn = journey(splitting.gathered, architecture, choice)
    after = journey(split, architecture, choice).after
    for old, expected, ours in zip(before, drawn, after, strict=True):
        moved = np.abs(expected - old).max()
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-7 + 1e-3 * moved)
    assert np.abs(drawn[-2] - before[-2]).max() > 1e-3  # it did train


def set_precision(name: str) -> None:
    """Let Keras make layers of this precision, whatever was made before."""
    keras.config.set_floatx(name)
    keras.config.set_dtype_policy(name)


@pytest.fixture
def double_precision() -> Iterator[None]:
    set_precision("float64")
    yield
    set_precision("float32")


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("architecture", ["shallow", "base", "dense"])
def test_a_seeded_fine_tuning_run_is_the_same_in_every_form(architecture: Architecture) -> None:
    # In single precision, a rounding error may decide which pixel of a pool is the largest.
    choice = random_choice(architecture, 0.1, 6)
    runs = []
    for split in FORMS:
        model = new_model(architecture)
        tuned = trained_steps(split(model, choice), architecture, choice, steps=MANY_STEPS)
        runs.append(splitting.merged_weights(tuned, model, choice))
    start = new_model(architecture).get_weights()
    for old, expected, *others in zip(start, *runs, strict=True):
        moved = np.abs(expected - old).max()
        for ours in others:
            np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-15 + 1e-8 * moved)


@every_form
@pytest.mark.parametrize(("architecture", "choice"), CHOICES)
def test_chosen_filters_and_dense_layers_train_and_nothing_else(
    split: Callable[..., keras.Model], architecture: Architecture, choice: FilterChoice
) -> None:
    *_, before, _, after = journey(split, architecture, choice)
    for layer, chosen in enumerate(choice):
        for old, new in zip(before[2 * layer : 2 * layer + 2], after[2 * layer :], strict=False):
            rest = np.delete(np.arange(old.shape[-1]), list(chosen))
            np.testing.assert_array_equal(new[..., rest], old[..., rest])
            moved = np.abs(new - old).reshape(-1, old.shape[-1]).max(axis=0)
            assert not chosen or (moved[list(chosen)] > 0).mean() > 0.9  # a ReLU may be dead
    for old, new in zip(before[2 * len(choice) :], after[2 * len(choice) :], strict=True):
        assert not np.array_equal(old, new)


@every_form
@pytest.mark.parametrize(("architecture", "choice"), CHOICES)
def test_weights_survive_splitting_and_merging(
    split: Callable[..., keras.Model], architecture: Architecture, choice: FilterChoice
) -> None:
    *_, before, merged, _ = journey(split, architecture, choice)
    for old, new in zip(before, merged, strict=True):
        np.testing.assert_array_equal(new, old)


def reorderings(split: keras.Model) -> list[str]:
    return [layer.name for layer in split.layers if isinstance(layer, splitting.ChannelOrder)]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("architecture", ["shallow", "base", "dense"])
def test_parallel_layers_put_nothing_in_order_and_the_drawn_form_does(
    architecture: Architecture,
) -> None:
    model, choice = new_model(architecture), random_choice(architecture, 0.1, 6)
    assert reorderings(splitting.parallel(model, choice)) == []
    assert reorderings(splitting.gathered(model, choice)) == [
        f"{layer.name}_reordered" for layer in models.conv_layers(model)
    ]


@keras.saving.register_keras_serializable("tests")
class Shift(keras.layers.Layer):
    """Mixes channels: each takes what its neighbour had."""

    def call(self, maps: tf.Tensor) -> tf.Tensor:
        """Return the maps, one channel further."""
        return tf.roll(maps, 1, axis=-1)


def other_stack(*behind_first: keras.layers.Layer) -> keras.Sequential:
    """Return a stack unlike the paper's: strides, no bias, mean pooling, dense layers on maps."""
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input((12, 12, 2)),
            keras.layers.Conv2D(6, 3, strides=2, use_bias=False, name="first"),
            *behind_first,
            keras.layers.AveragePooling2D(2, padding="same"),
            keras.layers.Conv2D(8, 2, activation="tanh", name="second"),
            keras.layers.Dense(5, name="on_maps"),
            keras.layers.Conv2D(7, 2, padding="same", name="third"),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(4, name="scores"),
        ]
    )


OTHER_CHOICE = ((1, 4), (2, 3, 7), (0, 6))


def trained_other_stack(split: Callable[..., keras.Model], model: keras.Sequential) -> keras.Model:
    """Return a split model after a step, and see that it computed what the whole one does."""
    network = split(model, OTHER_CHOICE)
    images = np.random.default_rng(0).random((5, 12, 12, 2), np.float32)
    np.testing.assert_allclose(network(images), model(images), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(
        np.concatenate([a.ravel() for a in model.get_weights()]),
        np.concatenate([a.ravel() for a in splitting.merged_weights(network, model, OTHER_CHOICE)]),
    )
    network.compile(keras.optimizers.SGD(0.1), "mse")
    network.train_on_batch(images, np.ones((5, 4)))
    moved = keras.models.clone_model(model)
    moved.set_weights(splitting.merged_weights(network, model, OTHER_CHOICE))
    assert np.abs(moved(images) - model(images)).max() > 1e-3
    np.testing.assert_allclose(network(images), moved(images), rtol=0, atol=1e-6)
    return network


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("split", (splitting.parallel, splitting.gathered))
def test_any_stack_of_known_layers_can_be_split(split: Callable[..., keras.Model]) -> None:
    network = trained_other_stack(split, other_stack(keras.layers.ReLU()))
    assert len(reorderings(network)) == (3 if split is splitting.gathered else 0)


def test_the_maps_are_put_in_order_before_a_layer_that_mixes_them_and_only_there() -> None:
    with pytest.warns(UserWarning, match="shift may mix channels: the maps are put in order"):
        network = trained_other_stack(splitting.parallel, other_stack(Shift(name="shift")))
    assert reorderings(network) == ["first_for_shift"]


def test_maps_that_nothing_reads_come_out_in_order() -> None:
    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Conv2D(6, 3, name="only")])
    images = np.random.default_rng(0).random((2, 4, 4, 1), np.float32)
    network = splitting.parallel(model, ((2, 5),))
    np.testing.assert_allclose(network(images), model(images), rtol=0, atol=1e-6)


@every_form
@pytest.mark.parametrize(
    ("choice", "complaint"),
    [
        (((0, 16), (1,)), "conv1 has the filters 0 to 15, each to be chosen at most once"),
        (((0,), (-1,)), "conv2 has the filters 0 to 31, each to be chosen at most once"),
        (((3, 3), (1,)), "conv1 has the filters 0 to 15, each to be chosen at most once"),
        (((0,),), "filters for 1 layers, but the model has 2"),
        (((0,), (1,), (2,)), "filters for 3 layers, but the model has 2"),
    ],
)
def test_an_impossible_choice_is_refused_in_one_line(
    split: Callable[..., keras.Model], choice: FilterChoice, complaint: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)) as caught:
        split(new_model("shallow"), choice)
    assert "\n" not in str(caught.value)


OTHER_BLOCKS = {
    "average pooling": ({}, keras.layers.AveragePooling2D(2)),
    "tanh": ({"activation": "tanh"}, keras.layers.MaxPooling2D(2)),
    "valid padding": ({"padding": "valid"}, keras.layers.MaxPooling2D(2)),
    "strides": ({"strides": 2}, keras.layers.MaxPooling2D(2)),
    "even kernel": ({"kernel_size": 4}, keras.layers.MaxPooling2D(2)),
    "no bias": ({"use_bias": False}, keras.layers.MaxPooling2D(2)),
    "groups": ({"groups": 2}, keras.layers.MaxPooling2D(2)),
    "dilation": ({"dilation_rate": 2}, keras.layers.MaxPooling2D(2)),
    "weight decay": ({"kernel_regularizer": "l2"}, keras.layers.MaxPooling2D(2)),
    "wide pool": ({}, keras.layers.MaxPooling2D(3)),
    "padded pool": ({}, keras.layers.MaxPooling2D(2, padding="same")),
}


def unlike_the_papers(convolution: dict[str, Any], pooling: keras.layers.Layer) -> keras.Model:
    keras.utils.set_random_seed(1)
    usual = {"filters": 6, "kernel_size": 3, "padding": "same", "activation": "relu"}
    return keras.Sequential(
        [
            keras.Input((28, 28, 2)),
            keras.layers.Conv2D(**usual | convolution),
            pooling.__class__.from_config(pooling.get_config()),
            keras.layers.Dropout(0.0),
            keras.layers.Flatten(),
            keras.layers.Dense(10),
        ]
    )


class TestNetworksThatTheFastLayersCannotCompute:
    @pytest.fixture(autouse=True)
    def real_blocks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fused, "is_block", REAL_IS_BLOCK)

    def test_those_of_the_paper_are_computed(self) -> None:
        for architecture in models.ARCHITECTURES[:3]:
            model = models.build(architecture)
            choice = random_choice(architecture, 0.1, 0)
            assert splitting.selective(model, choice).name.endswith("selective")

    @pytest.mark.parametrize("block", OTHER_BLOCKS.values(), ids=OTHER_BLOCKS)
    def test_are_split_in_the_plain_form(
        self, block: tuple[dict[str, Any], keras.layers.Layer]
    ) -> None:
        model, choice = unlike_the_papers(*block), ((1, 4),)
        images = RANDOM.random((8, 28, 28, 2), np.float32)
        runs = []
        for split in (splitting.parallel, splitting.selective):
            network = split(model, choice)
            np.testing.assert_allclose(network(images), model(images), rtol=0, atol=1e-5)
            network.compile(keras.optimizers.SGD(0.1), "mse")
            network.train_on_batch(images, np.ones((8, 10)))
            runs.append(splitting.merged_weights(network, model, choice))
        for plain, other, before in zip(*runs, model.get_weights(), strict=True):
            np.testing.assert_allclose(other, plain, rtol=0, atol=1e-6)
            assert np.abs(plain - before).max() > 1e-4

    @pytest.mark.parametrize("layer", [keras.layers.BatchNormalization, keras.layers.ReLU])
    @pytest.mark.parametrize("place", [1, 2, 3, 4])
    def test_so_are_those_with_a_layer_in_between(self, layer: Any, place: int) -> None:
        usual = unlike_the_papers({}, keras.layers.MaxPooling2D(2))
        layers = list(usual.layers)
        model = keras.Sequential(
            [keras.Input((28, 28, 2)), *layers[:place], layer(), *layers[place:]]
        )
        assert fast_selective.computes(usual)
        assert not fast_selective.computes(model)
        assert not fast_selective.computes(keras.Model(usual.inputs, usual.outputs))
