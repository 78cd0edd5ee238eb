"""A network that is not the paper's: batch normalisation and residual blocks (He et al. 2016).

It has 226,186 parameters, nearly all of them in its convolutions, where the paper's networks have
most of theirs in a dense layer.
"""

from typing import Any

import keras

ORDER = 4
EPOCHS = 10
"""In which its learning rate falls to 0: under normalisation, one that stays keeps it restless."""

BLOCKS = ((32, 1), (64, 2), (96, 2))
"""Filters of each block, and how many places its first convolution goes on."""

MOMENTUM = 0.9
"""Of the moving statistics: they follow within tens of steps, also where there are few."""

WITHIN = 0.4
"""Of the dropout rate: the rate between the two convolutions of a block."""


def _normalised(maps: Any, filters: int, kernel: int, stride: int, name: str) -> Any:
    # A bias would be taken off again: the normalisation has its own.
    convolution = keras.layers.Conv2D(
        filters,
        kernel,
        stride,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )
    normalisation = keras.layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_normalised")
    return normalisation(convolution(maps))


def build(dropout: float, hidden_units: int) -> keras.Model:
    """Return an untrained network from images to ten logits.

    Two convolutions of each block are added to what came in, or to a 1 x 1 convolution of it where
    the shape changes. ``dropout`` is the rate before the dense layers.
    """
    image = keras.Input((28, 28, 1), name="image")
    maps = keras.layers.ReLU(name="relu")(_normalised(image, BLOCKS[0][0], 3, 1, "conv"))
    maps = keras.layers.MaxPooling2D(name="pool")(maps)
    for number, (filters, stride) in enumerate(BLOCKS, start=1):
        name, shortcut = f"block{number}", maps
        maps = _normalised(maps, filters, 3, stride, f"{name}_conv1")
        maps = keras.layers.ReLU(name=f"{name}_relu1")(maps)
        maps = keras.layers.Dropout(WITHIN * dropout, name=f"{name}_dropout")(maps)
        maps = _normalised(maps, filters, 3, 1, f"{name}_conv2")
        if shortcut.shape != maps.shape:
            shortcut = _normalised(shortcut, filters, 1, stride, f"{name}_shortcut")
        maps = keras.layers.Add(name=f"{name}_add")([maps, shortcut])
        maps = keras.layers.ReLU(name=f"{name}_relu2")(maps)
    maps = keras.layers.GlobalAveragePooling2D(name="mean")(maps)
    maps = keras.layers.Dropout(dropout, name="dropout")(maps)
    hidden = keras.layers.Dense(hidden_units, activation="relu", name="dense1")(maps)
    return keras.Model(image, keras.layers.Dense(10, name="logits")(hidden), name="residual")
