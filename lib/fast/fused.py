"""The work between convolutions in fused loops, and a network's logits made of them.

A profile of training and of PGD on a CPU showed that TensorFlow's gradient of max-pooling takes
longer than that of the convolution below it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

PLACES = 4
"""Of a 2 x 2 pool."""

NOWHERE = PLACES
"""The place to which no gradient goes."""

Size = tuple[int, int]

WORD = 32
"""Bits of a random number."""

BLOCK = [keras.layers.Conv2D, keras.layers.MaxPooling2D, keras.layers.Dropout]
"""Layers of a block; a class derived from one of them may compute something else."""

LANES = 16
"""Numbers that one instruction takes: so many channels cost hardly more than one."""


def _places(convolved: tf.Tensor) -> list[tf.Tensor]:
    """Return what pooling chooses from: the four places of each 2 x 2 block, row by row."""
    _, rows, columns, count = convolved.shape
    whole = convolved[:, : rows // 2 * 2, : columns // 2 * 2]
    blocks = tf.reshape(whole, (-1, rows // 2, 2, columns // 2, 2, count))
    return [blocks[:, :, row, :, column] for row in (0, 1) for column in (0, 1)]


def size(convolved: tf.Tensor) -> Size:
    """Return how many rows and columns there are."""
    _, rows, columns, _ = convolved.shape
    return int(rows), int(columns)


def _highest(places: list[tf.Tensor]) -> tf.Tensor:
    return tf.maximum(tf.maximum(*places[:2]), tf.maximum(*places[2:]))


def convolve(maps: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, str]:
    """Convolve, padded to equal size, at the places that 2 x 2 pooling uses.

    Of an odd number of rows or columns pooling drops the last, so it is not computed.

    Returns
    -------
    convolved, maps, padding
        The output; the input of the same convolution with ``padding``, as TensorFlow's gradients
        want it. (Those with explicit paddings take three times as long.)
    """
    _, rows, columns, _ = maps.shape
    edge = kernel.shape[0] // 2
    if edge == 0 or (rows % 2 == 0 and columns % 2 == 0):
        return tf.nn.conv2d(maps, kernel, 1, "SAME"), maps, "SAME"
    around = [[0, 0], [edge, edge - rows % 2], [edge, edge - columns % 2], [0, 0]]
    padded = tf.pad(maps, around)
    return tf.nn.conv2d(padded, kernel, 1, "VALID"), padded, "VALID"


def _dropout(rate: float) -> tuple[int, int]:
    """Return how many bits a unit's draw has, and below which number the unit is dropped."""
    bits = next((bits for bits in (1, 2, 4) if float(rate * 2**bits).is_integer()), 8)
    return bits, round(rate * 2**bits)


def share_dropped(rate: float) -> float:
    """Return the share of units that is dropped: the rate, rounded to 1/256."""
    bits, below = _dropout(rate)
    return float(below / 2**bits)


def draw(seed: tf.Tensor, shape: Sequence[int | tf.Tensor], rate: float) -> tf.Tensor:
    """Draw which units dropout drops, several units in each 32-bit random number.

    Parameters
    ----------
    seed
        Two integers, as a Keras seed generator gives them.
    shape
        Of the units, the channels last.
    rate
        Share of units that is dropped, rounded to 1/256. A quarter takes two bits a unit.
    """
    *places, channels = shape
    words = -(-int(channels) * _dropout(rate)[0] // WORD)
    return tf.random.stateless_uniform([*places, words], seed, None, None, tf.uint32)


def kept(words: tf.Tensor, rate: float, channels: int) -> tf.Tensor:
    """Return which units dropout keeps.

    Parameters
    ----------
    words
        From :func:`draw`, with this ``rate``.
    channels
        How many each place has.
    """
    bits, below = _dropout(rate)
    shifts = tf.range(0, WORD, bits)
    draws = tf.bitwise.right_shift(words[..., None], tf.cast(shifts, tf.uint32))
    draws = tf.bitwise.bitwise_and(draws, tf.constant(2**bits - 1, tf.uint32))
    units = tf.concat([tf.shape(words)[:-1], [-1]], 0)
    return tf.reshape(draws, units)[..., :channels] >= tf.constant(below, tf.uint32)


@tf.function(jit_compile=True)
def activate(
    convolved: tf.Tensor, bias: tf.Tensor, words: tf.Tensor | None = None, rate: float = 0.0
) -> tf.Tensor:
    """Pool, add the bias and apply ReLU, then dropout, in one loop.

    Bias and ReLU keep the order of values, so they may follow the pooling, where they have a
    quarter of the work.

    Parameters
    ----------
    convolved
        What the convolution gave, without its bias: shape ``(batch, rows, columns, filters)``.
    bias
        Of the convolution.
    words, rate
        As of :func:`draw` for the pooled units; without them, nothing is dropped.
    """
    out = tf.nn.relu(_highest(_places(convolved)) + bias)
    if words is None:
        return out
    return tf.where(kept(words, rate, bias.shape[0]), out / (1 - share_dropped(rate)), 0.0)


@tf.function(jit_compile=True)
def winners(convolved: tf.Tensor, bias: tf.Tensor, out: tf.Tensor) -> tf.Tensor:
    """Return where the gradient of each pooled unit goes: all that the way back has to know.

    Parameters
    ----------
    convolved, bias
        As given to :func:`activate`.
    out
        What it returned.

    Returns
    -------
    tf.Tensor
        Which of the four places was the highest, the first of equal ones, as 0 to 3; or
        :data:`NOWHERE` if ReLU or dropout made the unit zero. A byte a unit.
    """
    # Values may become equal by adding the bias.
    places = [place + bias for place in _places(convolved)]
    highest = _highest(places)
    first = tf.where(places[2] == highest, 2, 3)
    first = tf.where(places[0] == highest, 0, tf.where(places[1] == highest, 1, first))
    return tf.cast(tf.where(out > 0, first, NOWHERE), tf.uint8)


@tf.function(jit_compile=True)
def unpool(winning: tf.Tensor, gradient: tf.Tensor, size: Size) -> tf.Tensor:
    """Bring the gradient of pooled units to the places where they come from.

    Parameters
    ----------
    winning
        From :func:`winners`.
    gradient
        Of the units.
    size
        From :func:`size`.
    """
    rows, columns = size
    numbers = tf.reshape(tf.range(PLACES), (1, 1, 2, 1, 2, 1))  # compared at every place
    hit = winning[:, :, None, :, None] == tf.cast(numbers, tf.uint8)
    spread = tf.where(hit, gradient[:, :, None, :, None], 0.0)
    even = rows // 2 * 2, columns // 2 * 2
    unpooled = tf.reshape(spread, (-1, *even, winning.shape[-1]))
    return tf.pad(unpooled, [[0, 0], [0, rows - even[0]], [0, columns - even[1]], [0, 0]])


@tf.function(jit_compile=True)
def forward(
    convolved: tf.Tensor,
    bias: tf.Tensor,
    words: tf.Tensor,
    rate: float,
    count: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Do, in a training step, all that stands between two convolutions.

    Parameters
    ----------
    convolved, bias, rate
        As of :func:`activate`.
    words
        As of :func:`draw`.
    count
        Of how many channels, the first ones, :func:`backward` will be asked.

    Returns
    -------
    out, winning
        What :func:`activate` and :func:`winners` return.
    """
    out = activate(convolved, bias, words, rate)
    return out, winners(convolved[..., :count], bias[:count], out[..., :count])


@tf.function(jit_compile=True)
def backward(
    winning: tf.Tensor,
    gradient: tf.Tensor,
    rate: float,
    width: int,
    size: Size,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Bring the gradient back to what the convolution gave.

    Parameters
    ----------
    winning, rate
        As of :func:`forward`.
    gradient
        Of what it returned: of all channels, or of the first ones.
    width
        How many of the first channels are wanted apart.
    size
        From :func:`size`.

    Returns
    -------
    bias_gradient, first_gradient, whole_gradient
        The gradients of the first biases, of the convolution's first channels, and of all of
        its channels. (To compute the first ones again takes less than to copy them.)
    """
    gradient = gradient / (1 - share_dropped(rate))
    both = min(winning.shape[-1], gradient.shape[-1])
    winning, gradient = winning[..., :both], gradient[..., :both]
    whole_gradient = unpool(winning, gradient, size)
    winning, gradient = winning[..., :width], gradient[..., :width]
    # Of the bias from before the pooling, which is a quarter of the work.
    arriving = tf.where(winning < NOWHERE, gradient, 0.0)
    bias_gradient = tf.reduce_sum(arriving, (0, 1, 2))
    return bias_gradient, unpool(winning, gradient, size), whole_gradient


def lanes(count: int) -> int:
    """Return how many channels cost as much as ``count``."""
    return -(-count // LANES) * LANES


@tf.function(jit_compile=True)
def _shift_and_add(
    products: tf.Tensor, places: tuple[int, int], rows: int, columns: int
) -> tf.Tensor:
    """Add up, at each place of the input, what the places around it send there, in one loop.

    ``products`` has the shape ``(k, k, channels, batch * places)`` for ``k x k`` weights: so each
    of the terms is read in the order in which it is stored.
    """
    size, _, channels, _ = products.shape
    products = tf.reshape(products, (size, size, channels, -1, *places))
    edge, last = size // 2, size - 1
    total = tf.add_n(
        [
            tf.pad(products[i, j], [[0, 0], [0, 0], [i, last - i], [j, last - j]])
            for i in range(size)
            for j in range(size)
        ]
    )
    inner = total[:, :, edge : edge + rows, edge : edge + columns]
    return tf.transpose(inner, (1, 2, 3, 0))


def input_gradient(kernel: tf.Tensor, gradient: tf.Tensor, rows: int, columns: int) -> tf.Tensor:
    """Return the gradient of the input of :func:`convolve`, the faster way for its shape.

    Parameters
    ----------
    kernel
        Of the convolution.
    gradient
        Of its output.
    rows, columns
        Of its input.
    """
    size, _, channels, count = kernel.shape
    places = gradient.shape[1], gradient.shape[2]
    if size * size * channels < 2 * count:  # one matrix product, and little to add up
        weights = tf.reshape(kernel, (-1, count))
        products = tf.matmul(weights, tf.reshape(gradient, (-1, count)), transpose_b=True)
        products = tf.reshape(products, (size, size, channels, -1))
        return _shift_and_add(products, places, rows, columns)
    edge = 0 if places == (rows, columns) else size // 2
    padded = [place + size - 1 for place in places]
    padded_gradient = tf.raw_ops.Conv2DBackpropInput(
        input_sizes=[tf.shape(gradient)[0], *(padded if edge else places), channels],
        filter=kernel,
        out_backprop=gradient,
        strides=[1, 1, 1, 1],
        padding="VALID" if edge else "SAME",
    )
    return padded_gradient[:, edge : edge + rows, edge : edge + columns]


def is_block(layers: Sequence[Any]) -> bool:
    """Tell whether layers begin with what :func:`block` computes.

    That is a block of the paper's networks (:func:`lib.stages.models.build`): convolution with
    ReLU, 2 x 2 max-pooling, dropout, and nothing unusual about any of them.
    """
    if [type(layer) for layer in layers[:3]] != BLOCK:
        return False
    convolution, pooling, dropout = layers[:3]
    rows, columns = convolution.kernel_size
    return (
        convolution.activation is keras.activations.relu
        and convolution.use_bias
        and rows == columns
        and rows % 2 == 1
        and (convolution.padding, convolution.groups) == ("same", 1)
        and (convolution.strides, convolution.dilation_rate) == ((1, 1), (1, 1))
        and (pooling.pool_size, pooling.strides) == ((2, 2), (2, 2))
        and pooling.padding == "valid"
        and dropout.noise_shape is None
        and {convolution.data_format, pooling.data_format} == {"channels_last"}
    )


def block(maps: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """Compute convolution, ReLU and 2 x 2 max-pooling, with a gradient of the maps only."""

    @tf.custom_gradient
    def convolve_and_pool(maps: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        convolved, _, _ = convolve(maps, kernel)
        out = activate(convolved, bias)
        rows, columns = maps.shape[1:3]

        def backward(gradient: tf.Tensor) -> tf.Tensor:
            below = unpool(winners(convolved, bias, out), gradient, size(convolved))
            return input_gradient(kernel, below, rows, columns)

        return out, backward

    return convolve_and_pool(maps)


def logits(model: Any, images: tf.Tensor) -> tf.Tensor:
    """Return a model's logits, dropout off, with gradients that are faster where they can be.

    Parameters
    ----------
    model
        Maps images to logits. Blocks of a model of :func:`lib.stages.models.build` are fused; any
        other model is called as it is.
    images
        Pixels in [0, 1], shape ``(n, 28, 28, 1)``.
    """
    if not isinstance(model, keras.Sequential):
        return model(images, training=False)
    maps, layers = images, list(model.layers)
    while layers:
        if is_block(layers):
            kernel, bias = map(tf.convert_to_tensor, (layers[0].kernel, layers[0].bias))
            maps = block(maps, kernel, bias)
            del layers[:3]
        else:
            maps = layers.pop(0)(maps, training=False)
    return maps
