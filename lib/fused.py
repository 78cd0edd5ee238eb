"""The work between convolutions in fused loops, and a network's logits made of them.

A profile of training and of PGD on a CPU showed that TensorFlow's gradient of max-pooling takes
longer than that of the convolution below it.
"""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf


@tf.function(jit_compile=True)
def activate(
    highest: tf.Tensor, bias: tf.Tensor, kept: tf.Tensor | None = None, scale: float = 1.0
) -> tf.Tensor:
    """Add the bias and apply ReLU, then dropout if it is told which units to keep, in one loop."""
    out = tf.nn.relu(highest + bias)
    return out if kept is None else tf.where(kept, out * scale, 0.0)


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
    """Compute convolution, ReLU and 2 x 2 max-pooling, with a gradient of the maps only.

    Bias and ReLU keep the order of values, so they may follow the pooling, where they have a
    quarter of the work.
    """

    @tf.custom_gradient
    def convolve_and_pool(maps: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        convolved = tf.nn.conv2d(maps, kernel, 1, "SAME")
        highest = tf.nn.max_pool2d(convolved, 2, 2, "VALID")
        out = activate(highest, bias)

        def backward(gradient: tf.Tensor) -> tf.Tensor:
            gradient = before_pooling(convolved, highest, bias, out, gradient, 1.0)
            return input_gradient(kernel, gradient)

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
