"""A convolution of which only some filters are trained, at the cost of training only those.

The mathematics is that of the paper's two parallel layers (its section 3.5 and Fig. 7), as one
convolution forward and, backward, what the trainable filters need and no more. The loops
between the convolutions are fused: a profile showed that TensorFlow's gradient of max-pooling
and the random numbers of dropout took more than half of a training step on a CPU.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

Gradients = list[tf.Tensor | None]

DROPOUT_LEVELS = 256
"""Dropout draws one byte a unit, so its rate is a multiple of 1/256; the paper's model has 1/4."""


def keep(seed: tf.Tensor, shape: tf.Tensor, rate: float) -> tf.Tensor:
    """Draw which units dropout keeps: four bytes from each 32-bit random number.

    Parameters
    ----------
    seed
        Two integers, as a Keras seed generator gives them.
    shape
        Of the units.
    rate
        Share of units that is dropped, rounded to 1/256.
    """
    count = tf.reduce_prod(shape)
    words = tf.random.stateless_uniform([(count + 3) // 4], seed, None, None, tf.uint32)
    drawn = tf.reshape(tf.bitcast(words, tf.uint8), [-1])[:count]
    return tf.reshape(drawn, shape) >= round(rate * DROPOUT_LEVELS)


@tf.function(jit_compile=True)
def _activate(highest: tf.Tensor, bias: tf.Tensor, kept: tf.Tensor, scale: float) -> tf.Tensor:
    """Add the bias, apply ReLU, then dropout, in one loop."""
    return tf.where(kept, tf.nn.relu(highest + bias) * scale, 0.0)


@tf.function(jit_compile=True)
def before_pooling(
    convolved: tf.Tensor,
    highest: tf.Tensor,
    bias: tf.Tensor,
    out: tf.Tensor,
    gradient: tf.Tensor,
    scale: float,
    channels: tf.Tensor | None = None,
) -> tf.Tensor:
    """Bring the gradient back through dropout, ReLU and pooling, in one loop.

    Parameters
    ----------
    convolved
        What the convolution gave, without its bias.
    highest
        The same after pooling.
    bias
        Of the convolution.
    out
        After bias, ReLU and dropout.
    gradient
        Of ``out``.
    scale
        What dropout multiplied the units with that it kept.
    channels
        The channels wanted; all if ``None``. As a tensor, so that other channels, if they
        are as many, need no other compilation.
    """
    if channels is not None:
        convolved, highest, bias, out, gradient = (
            tf.gather(part, channels, axis=-1) for part in (convolved, highest, bias, out, gradient)
        )
    gradient = tf.where(out > 0, gradient * scale, 0.0)
    rows, columns, count = (int(size) for size in highest.shape[1:])
    # Values may become equal by adding the bias, and of equal values the first one counts.
    highest += bias
    whole = convolved[:, : 2 * rows, : 2 * columns] + bias
    blocks = tf.reshape(whole, (-1, rows, 2, columns, 2, count))
    shares = []
    for row, column in ((0, 0), (0, 1), (1, 0)):
        share = tf.where(blocks[:, :, row, :, column] == highest, gradient, 0.0)
        gradient -= share
        shares.append(share)
    shares.append(gradient)
    pairs = [tf.stack(shares[:2], axis=3), tf.stack(shares[2:], axis=3)]
    unpooled = tf.reshape(tf.stack(pairs, axis=2), (-1, 2 * rows, 2 * columns, count))
    left_out = [
        size - 2 * half for size, half in zip(convolved.shape[1:3], (rows, columns), strict=True)
    ]
    return tf.pad(unpooled, [[0, 0], [0, left_out[0]], [0, left_out[1]], [0, 0]])


@tf.function(jit_compile=True)
def _shift_and_add(products: tf.Tensor) -> tf.Tensor:
    """Add up, at each place, what the places around it send there, in one loop.

    ``products`` has the shape ``(batch, rows, columns, k, k, channels)`` for ``k x k`` weights.
    """
    _, rows, columns, size, _, _ = products.shape
    edge = [size // 2, size // 2]
    padded = tf.pad(products, [[0, 0], edge, edge, [0, 0], [0, 0], [0, 0]])
    last = size - 1
    return tf.add_n(
        [
            padded[:, last - i : last - i + rows, last - j : last - j + columns, i, j]
            for i in range(size)
            for j in range(size)
        ]
    )


def input_gradient(kernel: tf.Tensor, gradient: tf.Tensor) -> tf.Tensor:
    """Return the gradient of a convolution's input, by the way that is faster for its shape."""
    rows, columns = gradient.shape[1:3]
    size, _, channels, count = kernel.shape
    if size * size * channels < 2 * count:  # one matrix product, and little to add up
        weights = tf.reshape(tf.transpose(kernel, (3, 0, 1, 2)), (count, -1))
        products = tf.matmul(tf.reshape(gradient, (-1, count)), weights)
        return _shift_and_add(tf.reshape(products, (-1, rows, columns, size, size, channels)))
    return tf.raw_ops.Conv2DBackpropInput(
        input_sizes=[tf.shape(gradient)[0], rows, columns, channels],
        filter=kernel,
        out_backprop=gradient,
        strides=[1, 1, 1, 1],
        padding="SAME",
    )


class SelectiveConv2D(keras.layers.Layer):
    """Convolution, ReLU, 2 x 2 max-pooling and dropout, of which only some filters are trained.

    Forward, one full convolution. Backward, the gradients that trainable filters need and no
    others: those of the trainable filters' weights, and those of the input channels that
    lead to a trainable filter below. **While training, the gradient of the input is therefore
    zero in the other channels**; outside training it is complete, so attacks see all of it.

    Parameters
    ----------
    layer
        The trained convolution whose weights are taken.
    chosen
        Its trainable filters.
    needed
        The input channels whose gradient some trainable filter below needs.
    dropout
        Share of the pooled activations that is dropped in training, rounded to 1/256.
    """

    def __init__(
        self,
        layer: keras.layers.Conv2D,
        chosen: tuple[int, ...],
        needed: tuple[int, ...],
        dropout: float,
    ) -> None:
        super().__init__(name=layer.name)
        rest = tuple(index for index in range(layer.filters) if index not in set(chosen))
        self.chosen, self.needed = chosen, needed
        self.order = np.argsort(chosen + rest).tolist()
        self.dropout = dropout
        self.seed_generator = keras.random.SeedGenerator()
        kernel, bias = layer.get_weights()
        for part, indices in (("dominant", chosen), ("frozen", rest)):
            for kind, array in (("kernel", kernel), ("bias", bias)):
                values = array[..., list(indices)]
                weight = self.add_weight(
                    shape=values.shape,
                    name=f"{part}_{kind}",
                    trainable=part == "dominant" and bool(indices),
                )
                weight.assign(values)
                setattr(self, f"{part}_{kind}", weight)

    def call(self, maps: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Return the pooled output maps, shape ``(batch, height / 2, width / 2, filters)``."""
        kernel = self._in_order(self.dominant_kernel, self.frozen_kernel)
        bias = self._in_order(self.dominant_bias, self.frozen_bias)
        if training:
            seed = self.seed_generator.next()
            return self._operation(seed)(
                maps, kernel, bias, self.dominant_kernel, self.dominant_bias
            )
        # Bias and ReLU keep the order of values, so they may follow the pooling, where they
        # have a quarter of the work.
        highest = tf.nn.max_pool2d(tf.nn.conv2d(maps, kernel, 1, "SAME"), 2, 2, "VALID")
        return tf.nn.relu(tf.nn.bias_add(highest, bias))

    def _in_order(self, dominant: Any, frozen: Any) -> tf.Tensor:
        parts = tf.concat([tf.convert_to_tensor(dominant), tf.convert_to_tensor(frozen)], axis=-1)
        return tf.stop_gradient(tf.gather(parts, self.order, axis=-1))

    def _operation(self, seed: tf.Tensor) -> Callable[..., tf.Tensor]:
        rate = round(self.dropout * DROPOUT_LEVELS) / DROPOUT_LEVELS
        scale = 1 / (1 - rate)

        @tf.custom_gradient
        def convolve_and_pool(
            maps: tf.Tensor,
            kernel: tf.Tensor,
            bias: tf.Tensor,
            dominant_kernel: tf.Tensor,
            dominant_bias: tf.Tensor,
        ) -> tuple[tf.Tensor, Callable[..., Gradients]]:
            convolved = tf.nn.conv2d(maps, kernel, 1, "SAME")
            highest = tf.nn.max_pool2d(convolved, 2, 2, "VALID")
            out = _activate(highest, bias, keep(seed, tf.shape(highest), rate), scale)

            def of_filters(gradient: tf.Tensor, *channels: tf.Tensor) -> tf.Tensor:
                return before_pooling(convolved, highest, bias, out, gradient, scale, *channels)

            def backward(gradient: tf.Tensor) -> Gradients:
                of_maps = tf.zeros_like(maps)
                if self.needed:
                    everything = of_filters(gradient)
                    of_needed = input_gradient(tf.gather(kernel, self.needed, axis=2), everything)
                    of_maps = _spread(of_needed, self.needed, maps.shape[-1])
                of_kernel = tf.zeros_like(dominant_kernel)
                of_bias = tf.zeros_like(dominant_bias)
                if self.chosen:
                    of_chosen = (
                        of_filters(gradient)
                        if len(self.chosen) == out.shape[-1]
                        else of_filters(gradient, tf.constant(self.chosen))
                    )
                    of_bias = tf.reduce_sum(of_chosen, (0, 1, 2))
                    of_kernel = tf.raw_ops.Conv2DBackpropFilter(
                        input=maps,
                        filter_sizes=tf.shape(dominant_kernel),
                        out_backprop=of_chosen,
                        strides=[1, 1, 1, 1],
                        padding="SAME",
                    )
                return [of_maps, None, None, of_kernel, of_bias]

            return out, backward

        operation: Callable[..., tf.Tensor] = convolve_and_pool
        return operation


def _spread(of_needed: tf.Tensor, needed: tuple[int, ...], channels: int) -> tf.Tensor:
    """Put the gradients of the needed channels in their places, zeros in the others."""
    if len(needed) == channels:
        return of_needed
    places = tf.one_hot(
        needed, channels, dtype=of_needed.dtype
    )  # a product with ones and zeros beats a gather
    return tf.tensordot(of_needed, places, 1)
