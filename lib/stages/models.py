"""Networks and their training on clean images."""

import json
import random
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from math import ceil
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from lib.compute import registered
from lib.compute.cache import cached
from lib.compute.parameters import Architecture, Count, Dataset, Fraction, RefusedError, Seed
from lib.stages import data, registry
from lib.stages.data import Images, Labels

tf.get_logger().setLevel("ERROR")  # it warns that every network is compiled anew
# From the start, not when something first trains: results must not depend on what is in the cache.
tf.config.experimental.enable_op_determinism()

ARCHITECTURES: tuple[Architecture, ...] = tuple(
    name
    for name in registered.names("networks")
    if getattr(registry.entry("networks", name), "OF_THE_PAPER", False)
)
"""The paper's networks, over which its tables and the chapters' sweeps go."""

PREDICTION_BATCH = 500

STEPS_PER_CALL = 10
"""Training steps between two returns to Python: a return costs a twentieth of a step."""

Weights = list[NDArray[np.float32]]
"""As ``model.get_weights()`` returns them."""


@dataclass(frozen=True)
class Training:
    """How a network is trained on clean images.

    The paper gives the optimizer, the learning rate and the patience (section 3.1); it does
    not give the dropout rate, the batch size or the largest number of epochs. Its networks
    have 32 hidden units.
    """

    dataset: Dataset
    architecture: Architecture
    seed: Seed = 0
    learning_rate: float = 0.001
    patience: Count = 2
    dropout: Fraction = 0.25
    batch_size: Count = 128
    max_epochs: Count = 20
    hidden_units: Count = 32


class Trained(NamedTuple):
    """What training leaves behind: the weights, and a list of values an epoch a quantity."""

    weights: Weights
    history: dict[str, list[float]]


def build(architecture: Architecture, dropout: float = 0.25, hidden_units: int = 32) -> keras.Model:
    """Return an untrained network that maps images to logits.

    Parameters
    ----------
    architecture
        A file of :mod:`lib.stages.networks`.
    dropout
        Share of activations dropped after each pooling layer during training.
    hidden_units
        Width of the dense layer before the logits: 32 in the paper.

    Returns
    -------
    keras.Model
        From pixels ``(batch, 28, 28, 1)`` to logits ``(batch, 10)``. The layers of the paper's
        networks are those of its Table 1; the kernel sizes (5 x 5, then 3 x 3, padded to equal
        size) follow from its parameter counts.
    """
    network = registry.entry("networks", architecture)
    if hasattr(network, "build"):
        return network.build(dropout, hidden_units)
    model = keras.Sequential([keras.Input((28, 28, 1), name="image")], name=architecture)
    for index, filters in enumerate(network.FILTERS, start=1):
        kernel = 5 if index == 1 else 3
        model.add(
            keras.layers.Conv2D(
                filters, kernel, padding="same", activation="relu", name=f"conv{index}"
            )
        )
        model.add(keras.layers.MaxPooling2D(name=f"pool{index}"))
        model.add(keras.layers.Dropout(dropout, name=f"dropout{index}"))
    model.add(keras.layers.Flatten(name="flatten"))
    model.add(keras.layers.Dense(hidden_units, activation="relu", name="dense1"))
    model.add(keras.layers.Dense(data.CLASSES, name="logits"))
    return model


@lru_cache
def conv_filters(architecture: Architecture) -> tuple[int, ...]:
    """Return the number of filters of each convolution of a network."""
    network = registry.entry("networks", architecture)
    if hasattr(network, "FILTERS"):
        return tuple(network.FILTERS)
    state = random.getstate()  # Keras draws its layers' seeds from here: leave them the same ones
    counts = tuple(layer.filters for layer in conv_layers(build(architecture)))
    random.setstate(state)
    return counts


def require_stacks(*architectures: Architecture) -> None:
    """Check that the layers of some networks follow each other, as a chapter supposes.

    Raises
    ------
    RefusedError
        One has branches.
    """
    for name in architectures:
        if not hasattr(registry.entry("networks", name), "FILTERS"):
            state = random.getstate()  # as above
            branches = not isinstance(build(name), keras.Sequential)
            random.setstate(state)
            if branches:
                raise RefusedError(
                    f"{name} has branches, and this chapter goes through a network layer by layer; "
                    "chapters 4, 8 and 11 take it"
                )


def untrained(training: Training) -> keras.Model:
    """Return a new network of the shape that a training asks for."""
    return build(training.architecture, training.dropout, training.hidden_units)


def conv_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the convolution layers of a model, the first one first."""
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]


IMAGES = ""
"""What :func:`sources` calls the images."""


def sources(model: keras.Model) -> dict[str, list[str]]:
    """Return the layers whose outputs each layer of a model reads, by their names.

    Parameters
    ----------
    model
        A stack or a graph of layers from images to logits, each used once.

    Returns
    -------
    dict
        In an order in which the layers can be computed; the images are :data:`IMAGES`.
    """
    if isinstance(model, keras.Sequential):
        names = [IMAGES, *(layer.name for layer in model.layers)]
        return {name: [before] for before, name in pairwise(names)}
    made_by = {id(layer.output): layer.name for layer in model.layers}
    made_by[id(model.inputs[0])] = IMAGES
    return {
        layer.name: [made_by[id(maps)] for maps in keras.tree.flatten(layer.input)]
        for layer in model.layers
        if not isinstance(layer, keras.layers.InputLayer)
    }


def epochs_of_falling_rate(architecture: Architecture) -> Count | None:
    """Return in how many epochs of training from new weights a network's learning rate falls to 0.

    Its file says so by ``EPOCHS``. None for a network that trains as the paper's do: at one rate,
    until it makes no progress.
    """
    epochs: Count | None = getattr(registry.entry("networks", architecture), "EPOCHS", None)
    return epochs


def compile_for_training(
    model: keras.Model, learning_rate: float, falls_within: int | None = None
) -> None:
    """Give a model the paper's optimizer, and the loss that takes logits.

    Parameters
    ----------
    model
        Maps images to logits.
    learning_rate
        That of the first step.
    falls_within
        Steps in which it falls to 0 along half a cosine; None: it stays.
    """
    rate: Any = learning_rate
    if falls_within is not None:
        rate = keras.optimizers.schedules.CosineDecay(learning_rate, falls_within)
    model.compile(
        optimizer=keras.optimizers.RMSprop(rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        steps_per_execution=STEPS_PER_CALL,
    )


def make_repeatable(seed: int) -> None:
    """Seed every random draw that follows. Operations with unordered sums are forbidden above.

    The same seed then gives bit-identical weights on the same machine with the same number
    of threads. Another processor, or another number of threads, adds the same numbers in
    another order, and TensorFlow does not promise equal bits there.
    """
    keras.utils.set_random_seed(seed)


@cached
def fit(training: Training) -> Trained:
    """Train a network on clean images, and stop early as the paper does.

    Training stops when the accuracy on the validation images has not risen for ``patience``
    epochs; with a falling learning rate, when that is 0. The weights of the best epoch are kept.
    """
    images = data.load(training.dataset)
    epochs, patience, falls_within = training.max_epochs, training.patience, None
    if falling := epochs_of_falling_rate(training.architecture):
        epochs = patience = min(epochs, falling)
        falls_within = epochs * ceil(len(images.train.images) / training.batch_size)
    make_repeatable(training.seed)
    model = untrained(training)
    compile_for_training(model, training.learning_rate, falls_within)
    history = model.fit(
        images.train.images,
        images.train.labels,
        validation_data=(images.validation.images, images.validation.labels),
        batch_size=training.batch_size,
        epochs=epochs,
        callbacks=[
            keras.callbacks.EarlyStopping(
                "val_accuracy", patience=patience, restore_best_weights=True
            )
        ],
        verbose=0,
    )
    return Trained(model.get_weights(), history.history)


@lru_cache(maxsize=64)
def trained(training: Training) -> keras.Model:
    """Return the trained network, from the cache if it was trained before.

    Equal arguments return the same object, so that what TensorFlow compiled for it is used
    again. Do not change it: compiled attacks would go on with the layers that it had.
    """
    model = untrained(training)
    model.set_weights(fit(training).weights)
    return model


LAYERS = (
    keras.layers.Conv2D,
    keras.layers.MaxPooling2D,
    keras.layers.Dropout,
    keras.layers.Flatten,
    keras.layers.Dense,
)
"""Of which the paper's networks are made."""


@lru_cache(maxsize=16)
def _shared(config: str) -> keras.Sequential:
    return keras.Sequential.from_config(json.loads(config))


def shared_model(model: Any) -> Any:
    """Return the network that computes for all of one shape, with the weights of this one.

    What TensorFlow compiles belongs to a model object, and compiling takes longer than attacking a
    few hundred images. So functions that compile something do it for the shared model.

    Parameters
    ----------
    model
        A stack of :data:`LAYERS`, as :func:`build` makes; of any other, the model itself is
        returned.

    Returns
    -------
    keras.Model
        It has these weights until the next call with a network of the same shape.
    """
    if not isinstance(model, keras.Sequential) or any(
        type(layer) not in LAYERS for layer in model.layers
    ):
        return model
    shared = _shared(json.dumps(model.get_config(), sort_keys=True))
    shared.set_weights(model.get_weights())
    return shared


@lru_cache(maxsize=64)
def compiled(model: Any) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return the function from images to a model's logits, traced once for batches of any size.

    Dropout is off. The function goes on with the weights that the model has when it is called.
    """
    images = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)

    @tf.function(input_signature=[images])
    def logits(images: tf.Tensor) -> tf.Tensor:
        return model(images, training=False)

    function: Callable[[tf.Tensor], tf.Tensor] = logits
    return function


def predict_logits(model: Any, images: Images) -> NDArray[np.float32]:
    """Return the logits of a data set, shape ``(images, 10)``, with dropout off.

    Keras's own ``predict`` sets up a data pipeline in every call, which takes longer than a few
    images.
    """
    function = compiled(shared_model(model))
    logits = np.empty((len(images), data.CLASSES), np.float32)
    for first in range(0, len(images), PREDICTION_BATCH):
        rows = slice(first, first + PREDICTION_BATCH)
        logits[rows] = function(tf.constant(images[rows])).numpy()
    return logits


def predict(model: Any, images: Images) -> Labels:
    """Return the predicted class of each image."""
    classes: Labels = predict_logits(model, images).argmax(axis=1)
    return classes


def accuracy(model: Any, images: Images, labels: Labels) -> float:
    """Return the share of images whose class is predicted correctly, 0 to 1."""
    return float(np.mean(predict(model, images) == labels))
