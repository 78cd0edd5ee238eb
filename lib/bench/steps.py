"""A training step that leaves filters as they are, in each of the ways to do so."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from lib.bench import costs
from lib.bench.costs import Way
from lib.bench.timing import Seconds, in_turn
from lib.compute.parameters import Architecture
from lib.stages import data, filters, models, splitting
from lib.stages.filters import FilterChoice

FRACTION = 0.1

SPLIT: dict[Way, Callable[[keras.Model, FilterChoice], keras.Model]] = {
    "parallel": splitting.parallel,
    "gathered": splitting.gathered,
    "selective": splitting.selective,
}


class MaskedRMSprop(keras.optimizers.RMSprop):
    """The paper's optimizer, with some gradients multiplied by zero first.

    Parameters
    ----------
    learning_rate
        As for RMSprop, where a gradient of zero changes nothing.
    masks
        Zeros and ones for each trainable weight, in its shape or one that broadcasts to it.
    """

    def __init__(self, learning_rate: float, masks: list[NDArray[np.float32]]) -> None:
        super().__init__(learning_rate)
        self.masks = [tf.constant(mask, tf.float32) for mask in masks]

    def apply(self, grads: list[tf.Tensor], trainable_variables: Any = None) -> None:
        """Update the weights with the masked gradients."""
        masked = [gradient * mask for gradient, mask in zip(grads, self.masks, strict=True)]
        super().apply(masked, trainable_variables)


def some_filters(architecture: Architecture, fraction: float) -> FilterChoice:
    """Return as many filters of each layer as a fraction has, spread evenly.

    Which ones they are makes no difference to the time.
    """
    return tuple(
        tuple(np.linspace(0, count - 1, filters.how_many(fraction, count), dtype=int).tolist())
        for count in models.conv_filters(architecture)
    )


def _masks(model: keras.Model, choice: FilterChoice) -> list[NDArray[np.float32]]:
    masks = [np.ones(weight.shape, np.float32) for weight in model.trainable_weights]
    for index, chosen in enumerate(choice):
        for mask in masks[2 * index : 2 * index + 2]:  # kernel and bias
            mask[...] = 0
            mask[..., list(chosen)] = 1
    return masks


def fine_tuned_in(
    way: Way, original: keras.Model, choice: FilterChoice, learning_rate: float = 0.001
) -> keras.Model:
    """Return a model that is ready to fine-tune some filters of another in one of the ways.

    Parameters
    ----------
    way
        If it is one of those in which everything trains, no choice counts.
    original
        Of :func:`lib.stages.models.build`.
    choice
        The filters that train.
    learning_rate
        Of RMSprop, the paper's optimizer.
    """
    if way == costs.WHOLE[1]:
        model = splitting.selective(original, costs.every_filter(original))
    elif way in SPLIT:
        model = SPLIT[way](original, choice)
    else:
        model = keras.models.clone_model(original)
        model.set_weights(original.get_weights())
    models.compile_for_training(model, learning_rate)
    if way == "mask":
        model.optimizer = MaskedRMSprop(learning_rate, _masks(model, choice))
    return model


def training_steps(
    architecture: Architecture,
    *,
    fraction: float = FRACTION,
    steps: int = 10,
    batch: int = 128,
    rounds: int = 7,
) -> Seconds:
    """Time training steps of all ways.

    Parameters
    ----------
    architecture
        The network, untrained: values do not change the time.
    fraction
        Share of each layer's filters that trains.
    steps
        Steps in one measurement, as ``fit`` takes them in training: rounded up to what it
        does between two returns to Python.
    batch
        Images in a step.
    rounds
        How often each way is timed.

    Returns
    -------
    Seconds
        Of a step.
    """
    models.make_repeatable(0)
    original, choice = models.build(architecture), some_filters(architecture, fraction)
    random = np.random.default_rng(0)
    images = tf.constant(random.random((batch, 28, 28, 1), np.float32))
    labels = tf.constant(random.integers(0, data.CLASSES, batch))
    calls = -(-steps // models.STEPS_PER_CALL)

    def stepping(way: Way) -> Callable[[], None]:
        model = fine_tuned_in(way, original, choice)
        model.train_on_batch(images, labels)  # makes the function that is timed
        batches = iter(tf.data.Dataset.from_tensors((images, labels)).repeat())

        def take_steps() -> None:
            for _ in range(calls):
                model.train_function(batches)

        return take_steps

    seconds = in_turn({way: stepping(way) for way in costs.WAYS}, rounds)
    return seconds / (calls * models.STEPS_PER_CALL)
