"""The work between convolutions in fused loops, and a network's logits made of them.

A profile of training and of PGD on a CPU showed that TensorFlow's gradient of max-pooling takes
longer than that of the convolution below it.
"""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf


def _places(convolved: tf.Tensor) -> list[tf.Tensor]:
    """Return what pooling chooses from: the four places of each 2 x 2 block, row by row."""
    _, rows, columns, count = convolved.shape
    whole = convolved[:, : rows // 2 * 2, : columns // 2 * 2]
    blocks = tf.reshape(whole, (-1, rows // 2, 2, columns // 2, 2, count))
    return [blocks[:, :, row, :, column] for row in (0, 1) for column in (0, 1)]


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


@tf.function(jit_compile=True)
def activate(
    convolved: tf.Tensor, bias: tf.Tensor, kept: tf.Tensor | None = None, scale: float = 1.0
) -> tf.Tensor:
    """Pool, add the bias and apply ReLU, then dropout, in one loop.

    Bias and ReLU keep the order of values, so they may follow the pooling, where they have a
    quarter of the work.

    Parameters
    ----------
    convolved
        What the convolution gave, without its bias.
    bias
        Of the convolution.
    kept
        Which units dropout keeps; all if ``None``.
    scale
        What it multiplies those with.
    """
    out = tf.nn.relu(_highest(_places(convolved)) + bias)
    return out if kept is None else tf.where(kept, out * scale, 0.0)


@tf.function(jit_compile=True)
def before_pooling(
    convolved: tf.Tensor,
    bias: tf.Tensor,
    out: tf.Tensor,
    gradient: tf.Tensor,
    scale: float = 1.0,
    channels: tf.Tensor | None = None,
) -> tf.Tensor:
    """Bring the gradient back through dropout, ReLU and pooling, in one loop.

    Parameters
    ----------
    convolved, bias, scale
        As given to :func:`activate`.
    out
        What it returned.
    gradient
        Of ``out``.
    channels
        The channels wanted; all if ``None``. As a tensor, so that other channels, if they
        are as many, need no other compilation.
    """
    if channels is not None:
        convolved, bias, out, gradient = (
            tf.gather(part, channels, axis=-1) for part in (convolved, bias, out, gradient)
        )
    gradient = tf.where(out > 0, gradient * scale, 0.0)
    # Values may become equal by adding the bias, and of equal values the first one counts.
    places = [place + bias for place in _places(convolved)]
    highest = _highest(places)
    _, rows, columns, count = convolved.shape
    if channels is None:  # the number of the first highest place, compared at every place
        first = tf.where(places[2] == highest, 2, 3)
        first = tf.where(places[0] == highest, 0, tf.where(places[1] == highest, 1, first))
        numbers = tf.reshape(tf.range(4), (1, 1, 2, 1, 2, 1))
        spread = tf.where(first[:, :, None, :, None] == numbers, gradient[:, :, None, :, None], 0.0)
    else:  # slower by itself, but every gathered value is needed once
        shares = []
        for place in places[:3]:
            shares.append(tf.where(place == highest, gradient, 0.0))
            gradient -= shares[-1]
        shares.append(gradient)
        spread = tf.stack([tf.stack(shares[:2], axis=3), tf.stack(shares[2:], axis=3)], axis=2)
    unpooled = tf.reshape(spread, (-1, rows // 2 * 2, columns // 2 * 2, count))
    return tf.pad(unpooled, [[0, 0], [0, rows % 2], [0, columns % 2], [0, 0]])


@tf.function(jit_compile=True)
def pick(maps: tf.Tensor, channels: tf.Tensor) -> tf.Tensor:
    """Return some channels; TensorFlow's own gather takes twice as long on the last axis."""
    return tf.gather(maps, channels, axis=-1)


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
    of_input = tf.raw_ops.Conv2DBackpropInput(
        input_sizes=[tf.shape(gradient)[0], *(padded if edge else places), channels],
        filter=kernel,
        out_backprop=gradient,
        strides=[1, 1, 1, 1],
        padding="VALID" if edge else "SAME",
    )
    return of_input[:, edge : edge + rows, edge : edge + columns]


def _is_block(convolution: Any, pooling: Any, dropout: Any) -> bool:
    """Tell whether three layers are a block of :func:`lib.models.build`."""
    return (
        isinstance(convolution, keras.layers.Conv2D)
        and isinstance(pooling, keras.layers.MaxPooling2D)
        and isinstance(dropout, keras.layers.Dropout)
        and convolution.activation is keras.activations.relu
        and (convolution.padding, convolution.strides) == ("same", (1, 1))
        and (pooling.pool_size, pooling.strides) == ((2, 2), (2, 2))
    )


def block(maps: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """Compute convolution, ReLU and 2 x 2 max-pooling, with a gradient of the maps only."""

    @tf.custom_gradient
    def convolve_and_pool(maps: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        convolved, _, _ = convolve(maps, kernel)
        out = activate(convolved, bias)
        rows, columns = maps.shape[1:3]

        def backward(gradient: tf.Tensor) -> tf.Tensor:
            below = before_pooling(convolved, bias, out, gradient)
            return input_gradient(kernel, below, rows, columns)

        return out, backward

    return convolve_and_pool(maps)


def logits(model: Any, images: tf.Tensor) -> tf.Tensor:
    """Return a model's logits, dropout off, with gradients that are faster where they can be.

    Parameters
    ----------
    model
        Maps images to logits. The blocks of a model of :func:`lib.models.build` are fused; any
        other model is called as it is.
    images
        Pixels in [0, 1], shape ``(n, 28, 28, 1)``.
    """
    if not isinstance(model, keras.Sequential):
        return model(images, training=False)
    maps, layers = images, list(model.layers)
    while layers:
        if len(layers) > 2 and _is_block(*layers[:3]):
            kernel, bias = map(tf.convert_to_tensor, (layers[0].kernel, layers[0].bias))
            maps = block(maps, kernel, bias)
            del layers[:3]
        else:
            maps = layers.pop(0)(maps, training=False)
    return maps
