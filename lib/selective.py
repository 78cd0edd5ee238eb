"""A convolution of which only some filters are trained, at the cost of training only those.

The mathematics is that of the paper's two parallel layers (its section 3.5 and Fig. 7), as one
convolution forward and, backward, what the trainable filters need and no more. The loops
between the convolutions are fused (:mod:`lib.fused`), and dropout draws few random numbers: a
profile showed that these took more than half of a training step on a CPU.
"""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from lib import fused

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
        self.places = chosen + rest
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
        return fused.block(maps, kernel, bias)

    def _in_order(self, dominant: Any, frozen: Any) -> tf.Tensor:
        parts = tf.concat([tf.convert_to_tensor(dominant), tf.convert_to_tensor(frozen)], axis=-1)
        return tf.stop_gradient(_spread(parts, self.places, len(self.places)))

    def _operation(self, seed: tf.Tensor) -> Callable[..., tf.Tensor]:
        rate = round(self.dropout * DROPOUT_LEVELS) / DROPOUT_LEVELS
        scale = 1 / (1 - rate)
        frozen = len(self.chosen) < len(self.places)

        @tf.custom_gradient
        def convolve_and_pool(
            maps: tf.Tensor,
            kernel: tf.Tensor,
            bias: tf.Tensor,
            dominant_kernel: tf.Tensor,
            dominant_bias: tf.Tensor,
        ) -> tuple[tf.Tensor, Callable[..., Gradients]]:
            convolved, padded, padding = fused.convolve(maps, kernel)
            _, rows, columns, count = convolved.shape
            pooled = [tf.shape(maps)[0], rows // 2, columns // 2, count]
            out = fused.activate(convolved, bias, keep(seed, pooled, rate), scale)

            def backward(gradient: tf.Tensor) -> Gradients:
                def of_filters(*channels: tf.Tensor) -> tf.Tensor:
                    return fused.before_pooling(convolved, bias, out, gradient, scale, *channels)

                channels = tf.constant(self.chosen, tf.int32)
                of_maps = tf.zeros_like(maps)
                if self.needed or not frozen:
                    everything = of_filters()
                    of_chosen = fused.pick(everything, channels) if frozen else everything
                elif self.chosen:
                    of_chosen = of_filters(channels)
                if self.needed:
                    of_needed = fused.input_gradient(
                        tf.gather(kernel, self.needed, axis=2), everything, *maps.shape[1:3]
                    )
                    of_maps = _spread(of_needed, self.needed, maps.shape[-1])
                of_kernel = tf.zeros_like(dominant_kernel)
                of_bias = tf.zeros_like(dominant_bias)
                if self.chosen:
                    of_bias = tf.reduce_sum(of_chosen, (0, 1, 2))
                    of_kernel = tf.raw_ops.Conv2DBackpropFilter(
                        input=padded,
                        filter_sizes=tf.shape(dominant_kernel),
                        out_backprop=of_chosen,
                        strides=[1, 1, 1, 1],
                        padding=padding,
                    )
                return [of_maps, None, None, of_kernel, of_bias]

            return out, backward

        operation: Callable[..., tf.Tensor] = convolve_and_pool
        return operation


def _spread(maps: tf.Tensor, places: tuple[int, ...], channels: int) -> tf.Tensor:
    """Put the maps of some channels in their places, zeros in the others."""
    if places == tuple(range(channels)):
        return maps
    # A product with ones and zeros beats a gather.
    return tf.tensordot(maps, tf.one_hot(places, channels, dtype=maps.dtype), 1)
