"""Fused loops compute what Keras's layers compute, forwards and backwards."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from lib import fused, models
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
