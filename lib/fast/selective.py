"""Convolutions of which only some filters are trained, at the cost of training only those.

The mathematics is that of the paper's two parallel layers (its section 3.5 and Fig. 7), as one
convolution forward and, backward, what the trainable filters need and no more. The loops
between the convolutions are fused (:mod:`lib.fast.fused`), and dropout draws few random numbers: a
profile showed that these took more than half of a training step on a CPU.
"""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from lib.fast import fused
from lib.stages import models, splitting
from lib.stages.filters import FilterChoice
from lib.stages.models import Weights

Gradients = list[tf.Tensor | None]


class _Block:
    """A convolution, ReLU, pooling and dropout in a training step: forward when it is made.

    Parameters
    ----------
    maps
        What the block reads.
    kernel, bias
        Of the convolution; the filters that train come first.
    count
        How many train.
    needed
        How many channels of the maps lead to a trainable filter below.
    seed, rate
        Of dropout.
    """

    def __init__(
        self,
        maps: tf.Tensor,
        kernel: tf.Tensor,
        bias: tf.Tensor,
        count: int,
        needed: int,
        seed: tf.Tensor,
        rate: float,
    ) -> None:
        self.count, self.needed, self.rate, self.kernel = count, needed, rate, kernel
        _, self.rows, self.columns, _ = maps.shape
        convolved, self.maps, self.padding = fused.convolve(maps, kernel)
        self.size, filters = fused.size(convolved), bias.shape[0]
        places = (tf.shape(maps)[0], self.rows // 2, self.columns // 2)
        words = fused.draw(seed, (*places, filters), rate)
        self.width = min(fused.lanes(count), filters)
        wanted = filters if needed else self.width
        self.out, self.winning = fused.forward(convolved, bias, words, rate, wanted)

    def backward(self, gradient: tf.Tensor) -> tuple[Gradients, tf.Tensor | None]:
        """Return the gradients of the trainable filters and biases, if any, and of the maps.

        That of the output may end after the channels that lead to a trainable filter.
        """
        bias_gradient, first_gradient, whole_gradient = fused.backward(
            self.winning, gradient, self.rate, self.width, self.size
        )
        maps_gradient = None
        if self.needed:
            kernel = self.kernel[:, :, : self.needed]
            maps_gradient = fused.input_gradient(kernel, whole_gradient, self.rows, self.columns)
        if not self.count:
            return [], maps_gradient
        kernel_gradient = tf.raw_ops.Conv2DBackpropFilter(
            input=self.maps,
            filter_sizes=[*self.kernel.shape[:3], first_gradient.shape[-1]],
            out_backprop=first_gradient,
            strides=[1, 1, 1, 1],
            padding=self.padding,
        )
        return [kernel_gradient[..., : self.count], bias_gradient[: self.count]], maps_gradient


def _channels_needed(counts: tuple[int, ...], filters: list[int]) -> list[int]:
    """Return how many input channels of each block lead to a trainable filter below."""
    lowest = next((index for index, count in enumerate(counts) if count), len(counts))
    below = zip(counts, filters, strict=True)
    # Filters above the lowest trainable ones read them, so there every channel counts.
    trained = [
        count if index == lowest else every if index > lowest else 0
        for index, (count, every) in enumerate(below)
    ]
    return [0, *trained[:-1]]


class SelectiveBlocks(keras.layers.Layer):
    """Blocks of convolution, ReLU, 2 x 2 max-pooling and dropout, whose first filters are trained.

    Forward, full convolutions. Backward, the gradients that trainable filters need and no
    others: those of the trainable filters' weights, and those of the input channels that
    lead to a trainable filter below. **While training, there is therefore no gradient of the
    input**; outside training it is complete, so attacks see all of it.

    Parameters
    ----------
    weights
        Kernel and bias of each convolution, in which the trainable filters come first.
    counts
        How many filters of each are trainable.
    rates
        Share of each block's pooled activations that is dropped in training, rounded to 1/256.
    """

    def __init__(
        self, weights: Weights, counts: tuple[int, ...], rates: tuple[float, ...], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.counts, self.rates = counts, rates
        self.seed_generators = [keras.random.SeedGenerator() for _ in counts]
        self.dominant: list[Any] = []
        self.frozen: list[Any] = []
        for index, array in enumerate(weights):
            count = counts[index // 2]
            for part, values in (
                ("dominant", array[..., :count]),
                ("frozen", array[..., count:]),
            ):
                weight = self.add_weight(
                    shape=values.shape,
                    name=f"{part}_{'bias' if index % 2 else 'kernel'}{index // 2 + 1}",
                    trainable=part == "dominant" and count > 0,
                )
                weight.assign(values)
                getattr(self, part).append(weight)

    def merged(self) -> Weights:
        """Return the weights in the layout in which they were given."""
        return [
            keras.ops.convert_to_numpy(keras.ops.concatenate(parts, axis=-1))
            for parts in zip(self.dominant, self.frozen, strict=True)
        ]

    def call(self, maps: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Return the pooled maps of the last block."""
        trained, frozen = (
            [tf.convert_to_tensor(weight) for weight in part]
            for part in (self.dominant, self.frozen)
        )
        if training:
            seeds = [generator.next() for generator in self.seed_generators]
            return self._operation(frozen, seeds)(maps, *trained)
        weights = [tf.stop_gradient(tf.concat(p, -1)) for p in zip(trained, frozen, strict=True)]
        for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
            maps = fused.block(maps, kernel, bias)
        return maps

    def _operation(
        self, frozen: list[tf.Tensor], seeds: list[tf.Tensor]
    ) -> Callable[..., tf.Tensor]:
        @tf.custom_gradient
        def run_blocks(
            maps: tf.Tensor, *trained: tf.Tensor
        ) -> tuple[tf.Tensor, Callable[[tf.Tensor], Gradients]]:
            weights = [tf.concat(parts, axis=-1) for parts in zip(trained, frozen, strict=True)]
            kernels, biases = weights[::2], weights[1::2]
            filters = [bias.shape[0] for bias in biases]
            needed = _channels_needed(self.counts, filters)
            blocks: list[_Block] = []
            for arguments in zip(
                kernels, biases, self.counts, needed, seeds, self.rates, strict=True
            ):
                blocks.append(_Block(maps, *arguments))
                maps = blocks[-1].out

            def backward(gradient: tf.Tensor) -> Gradients:
                found: Gradients = [tf.zeros_like(array) for array in trained]
                for index in reversed(range(len(blocks))):
                    if not self.counts[index] and not needed[index]:
                        break  # nothing trains here or below
                    weight_gradients, gradient = blocks[index].backward(gradient)
                    if weight_gradients:
                        found[2 * index : 2 * index + 2] = weight_gradients
                return [None, *found]

            return maps, backward

        operation: Callable[..., tf.Tensor] = run_blocks
        return operation


CONSTRAINTS = ("regularizer", "constraint")


def computes(model: Any) -> bool:
    """Tell whether a model is what :func:`split` can split: one of the paper's kind.

    That is one or more blocks of :func:`lib.fast.fused.is_block`, a flattening and dense layers,
    one after the other, and no regularization that a step would have to add.
    """
    if type(model) is not keras.Sequential:
        return False
    layers = list(model.layers)
    while fused.is_block(layers):
        if _is_constrained(layers[0]):
            return False
        del layers[:3]
    kinds = [type(layer) for layer in layers]
    return (
        len(layers) < len(model.layers)
        and kinds[:1] == [keras.layers.Flatten]
        and all(kind is keras.layers.Dense for kind in kinds[1:])
        and all(layer.use_bias for layer in layers[1:])
    )


def _is_constrained(layer: Any) -> bool:
    both = [f"{weight}_{kind}" for weight in ("kernel", "bias") for kind in CONSTRAINTS]
    return any(getattr(layer, name) is not None for name in ("activity_regularizer", *both))


def split(model: keras.Model, choice: FilterChoice) -> keras.Model:
    """Split a model as :func:`lib.stages.splitting.parallel` does, with :class:`SelectiveBlocks`.

    Same parameters and same mathematics. While it trains, it has no gradients with respect to the
    images; :func:`lib.stages.splitting.merged_weights` brings the weights back into the original
    layout.

    Parameters
    ----------
    model
        One that :func:`computes` allows; it is not changed.
    choice
        The trainable filters of each layer.
    """
    weights = splitting.in_order(model.get_weights(), splitting.dominant_first(model, choice))
    in_blocks, in_dense = weights[: 2 * len(choice)], weights[2 * len(choice) :]
    layers = list(model.layers)
    rates = tuple(layer.rate for layer in layers if isinstance(layer, keras.layers.Dropout))
    inputs = keras.Input(model.input_shape[1:])
    blocks = SelectiveBlocks(in_blocks, tuple(map(len, choice)), rates, name=splitting.BLOCKS)
    maps = blocks(inputs)
    for layer in layers[3 * len(models.conv_layers(model)) :]:
        maps = layer.__class__.from_config(layer.get_config())(maps)
    whole = keras.Model(inputs, maps, name=f"{model.name}_selective")
    for layer in whole.layers:
        if isinstance(layer, keras.layers.Dense):
            layer.set_weights([in_dense.pop(0), in_dense.pop(0)])
    return whole
