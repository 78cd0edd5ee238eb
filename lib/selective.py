"""Convolutions of which only some filters are trained, at the cost of training only those.

The mathematics is that of the paper's two parallel layers (its section 3.5 and Fig. 7), as one
convolution forward and, backward, what the trainable filters need and no more. The loops
between the convolutions are fused (:mod:`lib.fused`), and dropout draws few random numbers: a
profile showed that these took more than half of a training step on a CPU.
"""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from lib import fused, winograd
from lib.models import Weights

Gradients = list[tf.Tensor | None]


class _Block:
    """A convolution, ReLU, pooling and dropout in a training step: forward when it is made."""

    def __init__(
        self, maps: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor, seed: tf.Tensor, rate: float
    ) -> None:
        _, self.rows, self.columns, _ = maps.shape
        self.kernel, self.bias, self.rate = kernel, bias, rate
        self.convolved, self.maps, self.padding = fused.convolve(maps, kernel)
        _, rows, columns, filters = self.convolved.shape
        pooled = (tf.shape(maps)[0], rows // 2, columns // 2, filters)
        words = fused.draw(seed, pooled, rate)
        self.out = fused.activate(self.convolved, bias, words, rate)

    def backward(
        self, gradient: tf.Tensor, count: int, needed: int
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor | None]:
        """Return the gradients of the first filters, of their biases, and of the first maps.

        Parameters
        ----------
        gradient
            Of the output: of all its channels, or of the first ``count``.
        count
            How many filters train.
        needed
            How many input channels lead to a trainable filter below.
        """

        def below(channels: int | None) -> tf.Tensor:
            return fused.before_pooling(
                self.convolved, self.bias, self.out, gradient, self.rate, channels
            )

        of_maps = of_filters = None
        width = min(fused.lanes(count), gradient.shape[-1])
        if needed:
            of_filters = below(None)
            of_maps = fused.input_gradient(
                self.kernel[:, :, :needed], of_filters, self.rows, self.columns
            )
        if count == 0:
            return self.kernel[..., :0], self.bias[:0], of_maps
        if of_filters is None or width < gradient.shape[-1]:
            of_filters = below(width)  # sooner done than a part is copied
        of_kernel = tf.raw_ops.Conv2DBackpropFilter(
            input=self.maps,
            filter_sizes=[*self.kernel.shape[:3], width],
            out_backprop=of_filters,
            strides=[1, 1, 1, 1],
            padding=self.padding,
        )
        of_bias = fused.bias_gradient(self.out, gradient, self.rate, count)
        return of_kernel[..., :count], of_bias, of_maps


class _SmallBlock:
    """The same for maps so small that :mod:`lib.winograd` is faster."""

    def __init__(
        self, maps: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor, seed: tf.Tensor, rate: float
    ) -> None:
        self.bias, self.rate = bias, rate
        self.convolved, self.maps, self.kernel = winograd.convolve(maps, kernel)
        _, rows, columns, _, filters = self.convolved.shape
        words = fused.draw(seed, (tf.shape(maps)[0], rows, columns, filters), rate)
        self.pooled = fused.activate(self.convolved, bias, winograd.places_first(words), rate)
        self.out = winograd.batch_first(self.pooled)

    def backward(
        self, gradient: tf.Tensor, count: int, needed: int
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor | None]:
        """Return what :meth:`_Block.backward` does."""
        filters = gradient.shape[-1]
        gradient = winograd.places_first(gradient)
        below = fused.before_pooling(self.convolved, self.bias, self.pooled, gradient, self.rate)
        width = min(fused.lanes(count), filters)
        of_kernel, of_maps = winograd.gradients(
            self.maps, self.kernel, below, width, needed=needed > 0
        )
        of_bias = fused.bias_gradient(self.pooled, gradient, self.rate, count)
        return of_kernel[..., :count], of_bias, of_maps


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
            blocks: list[_Block | _SmallBlock] = []
            for index, (seed, rate) in enumerate(zip(seeds, self.rates, strict=True)):
                kernel, bias = weights[2 * index : 2 * index + 2]
                _, rows, columns, _ = maps.shape
                kind = _SmallBlock if winograd.fits(rows, columns, kernel.shape[0]) else _Block
                blocks.append(kind(maps, kernel, bias, seed, rate))
                maps = blocks[-1].out

            def backward(gradient: tf.Tensor) -> Gradients:
                found: Gradients = [tf.zeros_like(array) for array in trained]
                training = [index for index, count in enumerate(self.counts) if count]
                for index in reversed(range(min(training, default=len(blocks)), len(blocks))):
                    # Below the first trainable filters nothing; above them, every channel counts.
                    needed = 0
                    if index > training[0]:
                        channels = weights[2 * index - 1].shape[0]
                        needed = self.counts[index - 1] if index - 1 == training[0] else channels
                    *of_weights, gradient = blocks[index].backward(
                        gradient, self.counts[index], needed
                    )
                    found[2 * index : 2 * index + 2] = of_weights
                return [None, *found]

            return maps, backward

        operation: Callable[..., tf.Tensor] = run_blocks
        return operation
