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

from lib.fast import fused, winograd
from lib.stages.models import Weights

Gradients = list[tf.Tensor | None]


class _Block:
    """A convolution, ReLU, pooling and dropout in a training step: forward when it is made.

    Parameters
    ----------
    maps
        In the layout of the block.
    kernel, bias
        Of the convolution; the filters that train come first.
    count
        How many train.
    needed
        How many channels of the maps lead to a trainable filter below.
    seed, rate
        Of dropout.
    above
        The layout in which the output is wanted.
    """

    layout = fused.BATCH_FIRST

    def __init__(
        self,
        maps: tf.Tensor,
        kernel: tf.Tensor,
        bias: tf.Tensor,
        count: int,
        needed: int,
        seed: tf.Tensor,
        rate: float,
        above: fused.Axes,
    ) -> None:
        self.count, self.needed, self.rate, self.above = count, needed, rate, above
        batch, self.rows, self.columns = (
            tf.shape(maps)[self.layout.index(0)],
            *(maps.shape[self.layout.index(axis)] for axis in (1, 2)),
        )
        convolved = self.convolve(maps, kernel)
        self.size, filters = fused.size(convolved), bias.shape[0]
        words = fused.draw(seed, (batch, self.rows // 2, self.columns // 2, filters), rate)
        self.width = min(fused.lanes(count), filters)
        wanted = filters if needed else self.width
        self.out, self.winning = fused.forward(
            convolved, bias, words, rate, wanted, self.layout, above
        )

    def convolve(self, maps: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """Convolve, and keep what the gradients need."""
        self.kernel = kernel
        convolved, self.maps, self.padding = fused.convolve(maps, kernel)
        return convolved

    def gradients(
        self, of_first: tf.Tensor | None, of_all: tf.Tensor | None
    ) -> tuple[tf.Tensor | None, tf.Tensor | None]:
        """Return the gradients of the first filters and of the maps, those that are needed."""
        of_kernel = of_maps = None
        if of_all is not None:
            needed = self.kernel[:, :, : self.needed]
            of_maps = fused.input_gradient(needed, of_all, self.rows, self.columns)
        if of_first is not None:
            of_kernel = tf.raw_ops.Conv2DBackpropFilter(
                input=self.maps,
                filter_sizes=[*self.kernel.shape[:3], of_first.shape[-1]],
                out_backprop=of_first,
                strides=[1, 1, 1, 1],
                padding=self.padding,
            )
        return of_kernel, of_maps

    def backward(self, gradient: tf.Tensor) -> tuple[Gradients, tf.Tensor | None]:
        """Return the gradients of the trainable filters and biases, if any, and of the maps.

        That of the output may end after the channels that lead to a trainable filter.
        """
        of_bias, of_first, of_all = fused.backward(
            self.winning, gradient, self.rate, self.width, self.size, self.layout, self.above
        )
        of_kernel, of_maps = self.gradients(
            of_first if self.count else None, of_all if self.needed else None
        )
        if of_kernel is None:
            return [], of_maps
        return [of_kernel[..., : self.count], of_bias[: self.count]], of_maps


class _SmallBlock(_Block):
    """The same for maps so small that :mod:`lib.fast.winograd` is faster."""

    layout = winograd.PLACES_FIRST

    def convolve(self, maps: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """Convolve, and keep what the gradients need."""
        convolved, self.maps, self.kernel = winograd.convolve(maps, kernel)
        return convolved

    def gradients(
        self, of_first: tf.Tensor | None, of_all: tf.Tensor | None
    ) -> tuple[tf.Tensor | None, tf.Tensor | None]:
        """Return the gradients of the first filters and of the maps, those that are needed."""
        return winograd.gradients(self.maps, self.kernel, of_first, of_all)


def _kinds(maps: tf.Tensor, kernels: list[tf.Tensor]) -> list[type[_Block]]:
    """Return the faster kind of block for each convolution; the first reads the images."""
    _, rows, columns, _ = maps.shape
    return [_Block] + [
        _SmallBlock
        if winograd.fits(rows // 2**index, columns // 2**index, kernel.shape[0])
        else _Block
        for index, kernel in enumerate(kernels[1:], start=1)
    ]


def _channels_needed(counts: tuple[int, ...], filters: list[int]) -> list[int]:
    """Return how many input channels of each block lead to a trainable filter below."""
    lowest = next((index for index, count in enumerate(counts) if count), len(counts))
    below = zip(counts, filters, strict=True)
    # Filters above the lowest trainable ones read them, so there every channel counts.
    ways = [
        count if index == lowest else every if index > lowest else 0
        for index, (count, every) in enumerate(below)
    ]
    return [0, *ways[:-1]]


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
            kinds = _kinds(maps, kernels)
            layouts = [kind.layout for kind in kinds[1:]] + [fused.BATCH_FIRST]
            blocks: list[_Block] = []
            for kind, *arguments in zip(
                kinds, kernels, biases, self.counts, needed, seeds, self.rates, layouts, strict=True
            ):
                blocks.append(kind(maps, *arguments))
                maps = blocks[-1].out

            def backward(gradient: tf.Tensor) -> Gradients:
                found: Gradients = [tf.zeros_like(array) for array in trained]
                for index in reversed(range(len(blocks))):
                    if not self.counts[index] and not needed[index]:
                        break  # nothing trains here or below
                    of_weights, gradient = blocks[index].backward(gradient)
                    if of_weights:
                        found[2 * index : 2 * index + 2] = of_weights
                return [None, *found]

            return maps, backward

        operation: Callable[..., tf.Tensor] = run_blocks
        return operation
