"""Fused loops compute what Keras's layers compute, forwards and backwards."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from lib.fast import fused
from lib.stages import models
from tests.helpers import tiny_split


def logits_and_gradient(function, split):
    """Return logits, and the gradient of the cross-entropy with respect to the pixels."""
    images = tf.constant(split.images)
    with tf.GradientTape() as tape:
        tape.watch(images)
        logits = function(images)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(split.labels, logits)
    return logits.numpy(), tape.gradient(losses, images).numpy()


def assert_fused_equals(model):
    some = tiny_split(20)
    found = logits_and_gradient(lambda images: fused.logits(model, images), some)
    expected = logits_and_gradient(lambda images: model(images, training=False), some)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
        assert np.abs(theirs).max() > 1e-3


@pytest.mark.parametrize("architecture", ["shallow", "base", "dense"])
def test_the_gradient_is_that_of_the_model(architecture):
    keras.utils.set_random_seed(3)
    assert_fused_equals(models.build(architecture))


@pytest.mark.parametrize(
    ("convolution", "pooling"),
    [
        ({"activation": "tanh"}, {}),
        ({"activation": "relu", "padding": "valid"}, {}),
        ({"activation": "relu", "strides": 2}, {}),
        ({"activation": "relu"}, {"pool_size": 3}),
        ({"activation": "relu"}, {"strides": 1}),
    ],
)
def test_what_is_no_block_of_ours_is_called_as_it_is(convolution, pooling):
    keras.utils.set_random_seed(3)
    layers = [
        keras.Input((28, 28, 1)),
        keras.layers.Conv2D(4, 3, **{"padding": "same"} | convolution),
        keras.layers.MaxPooling2D(**pooling),
        keras.layers.Dropout(0.25),
        keras.layers.Flatten(),
        keras.layers.Dense(10),
    ]
    assert_fused_equals(keras.Sequential(layers))


@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize(("rows", "columns"), [(7, 7), (8, 6), (7, 8)])
@pytest.mark.parametrize("channels", [1, 24], ids=["few channels", "many channels"])
def test_the_places_that_pooling_drops_are_not_computed_and_not_missed(
    size, rows, columns, channels
):
    random = np.random.default_rng(0)
    maps = tf.constant(random.normal(size=(2, rows, columns, channels)).astype("float32"))
    kernel = tf.constant(random.normal(size=(size, size, channels, 16)).astype("float32"))
    used = rows // 2 * 2, columns // 2 * 2
    with tf.GradientTape() as tape:
        tape.watch(maps)
        plain = tf.nn.conv2d(maps, kernel, 1, "SAME")[:, : used[0], : used[1]]
    convolved, _, _ = fused.convolve(maps, kernel)
    if size > 1:
        assert tuple(convolved.shape[1:3]) == used
    np.testing.assert_allclose(convolved[:, : used[0], : used[1]], plain, atol=1e-4)
    above = tf.constant(random.normal(size=plain.shape).astype("float32"))
    missing = [[0, 0], *([0, n - m] for n, m in zip(convolved.shape[1:3], used, strict=True))]
    found = fused.input_gradient(kernel, tf.pad(above, [*missing, [0, 0]]), rows, columns)
    np.testing.assert_allclose(found, tape.gradient(plain, maps, above), atol=1e-4)


@pytest.mark.parametrize("rate", [0.25, 0.5, 0.1, 0.0])
def test_dropout_keeps_the_asked_share_of_units_and_other_units_each_time(rate):
    shape = (101, 7, 7, 20)  # no whole number of random numbers
    kept = [
        fused.kept(fused.draw(tf.constant([7, again]), shape, rate), rate, 20).numpy()
        for again in range(2)
    ]
    assert kept[0].shape == shape
    assert abs(fused.share_dropped(rate) - rate) < 1 / 512
    assert kept[0].mean() == pytest.approx(1 - rate, abs=0.01)
    for fixed in (0, 3):  # no image and no channel fares better than others
        others = tuple(axis for axis in range(4) if axis != fixed)
        assert kept[0].mean(axis=others) == pytest.approx(1 - rate, abs=0.06)
    assert (kept[0] == kept[1]).mean() == pytest.approx((1 - rate) ** 2 + rate**2, abs=0.01)
    neighbours = (kept[0][..., 1:] == kept[0][..., :-1]).mean()
    assert neighbours == pytest.approx((1 - rate) ** 2 + rate**2, abs=0.01)
