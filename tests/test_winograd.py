"""The same convolution and the same gradients as TensorFlow's own."""

import numpy as np
import pytest
import tensorflow as tf

from lib.fast import winograd

CHANNELS, FILTERS = 5, 7


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape)


def pooled_places(maps: tf.Tensor) -> tf.Tensor:
    """Bring ``(batch, 6, 6, filters)`` into the layout of :func:`lib.fast.winograd.convolve`."""
    blocks = tf.reshape(maps, (-1, 3, 2, 3, 2, FILTERS))
    return tf.reshape(tf.transpose(blocks, (2, 4, 1, 3, 0, 5)), (4, 3, 3, -1, FILTERS))


# Relative to the largest value: single precision has 7 digits.
@pytest.mark.parametrize(("dtype", "rounding"), [("float64", 1e-13), ("float32", 1e-4)])
def test_outputs_and_gradients_are_those_of_the_plain_convolution(dtype, rounding):
    maps = tf.constant(random(4, 7, 7, CHANNELS), dtype)
    kernel = tf.constant(random(3, 3, CHANNELS, FILTERS), dtype)
    above = tf.constant(random(4, 6, 6, FILTERS), dtype)
    with tf.GradientTape() as tape:
        tape.watch([maps, kernel])
        plain = tf.nn.conv2d(maps, kernel, 1, "SAME")[:, :6, :6]
    of_maps, of_kernel = tape.gradient(plain, [maps, kernel], above)

    convolved, *factors = winograd.convolve(tf.transpose(maps, winograd.PLACES_FIRST), kernel)
    above = pooled_places(above)
    found = winograd.gradients(*factors, above[..., :3], above)
    for ours, theirs in (
        (convolved, pooled_places(plain)),
        (found[0], of_kernel[..., :3]),
        (found[1], tf.transpose(of_maps, winograd.PLACES_FIRST)),
    ):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=rounding * np.abs(theirs).max())


def test_only_maps_of_one_tile_are_convolved_so():
    assert winograd.fits(7, 7, 3)
    assert not winograd.fits(14, 14, 3)
    assert not winograd.fits(7, 7, 5)
