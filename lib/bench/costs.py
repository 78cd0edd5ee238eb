"""What a training step and an attack cost, counted from the shapes of the layers.

Counts, not measurements: multiply-adds of plain convolutions and matrix products (what lies
between them is left out), and the numbers that have to be stored. :mod:`lib.bench.suite` measures.
"""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, get_args

import keras
import numpy as np
import pandas as pd

from lib.stages import models
from lib.stages.filters import FilterChoice

Way = Literal["whole", "parallel", "mask", "selective"]
"""How a fine-tuning leaves filters as they are.

``whole``: not at all, everything trains. ``parallel``: :func:`lib.stages.splitting.parallel`, the
paper's. ``mask``: the whole model's gradients, those of frozen filters times zero.
``selective``: :func:`lib.stages.splitting.selective`.
"""

WAYS: tuple[Way, ...] = get_args(Way)

FLOAT = 4
"""Bytes of a number."""


class _Layer(NamedTuple):
    """A layer with weights, as the fine-tuning of some filters sees it."""

    layer: Any
    forward: int
    """Multiply-adds for one image."""
    trains: float
    """Share of its filters or units that trains."""
    needed: float
    """Share of its input channels that lead to something trainable below."""


def forward_multiply_adds(layer: keras.layers.Layer) -> int:
    """Return the multiply-adds of a convolution or dense layer for one image."""
    places = np.prod(layer.output.shape[1:-1], dtype=int)  # of a dense layer: one
    return int(places * np.prod(layer.kernel.shape))


def _used(layer: keras.layers.Layer) -> float:
    """Return the share of a layer's output that pooling uses, which is what is computed."""
    if isinstance(layer, keras.layers.Dense):
        return 1.0
    rows, columns = layer.output.shape[1:3]
    return float((rows // 2 * 2) * (columns // 2 * 2) / (rows * columns))


def _layers(model: keras.Model, choice: FilterChoice) -> Iterator[_Layer]:
    chosen_of = dict(zip(models.conv_layers(model), choice, strict=True))
    needed = 0.0  # nothing trains below the first layer
    for layer in model.layers:
        if not layer.weights:
            continue
        trains = len(chosen_of[layer]) / layer.filters if layer in chosen_of else 1.0
        yield _Layer(layer, forward_multiply_adds(layer), trains, needed)
        # Above a layer that passes gradients on, every channel counts.
        needed = 1.0 if needed else trains


def step_multiply_adds(model: keras.Model, choice: FilterChoice, way: Way) -> pd.DataFrame:
    """Return what one image costs in one training step.

    Parameters
    ----------
    model
        Of :func:`lib.stages.models.build`.
    choice
        The filters that train, layer by layer.
    way
        How the others are kept as they are.

    Returns
    -------
    pandas.DataFrame
        One row a layer with weights: ``layer``, and the multiply-adds of its output
        (``forward``), of the ``weight gradients`` and of the ``input gradients``. The images
        themselves need no gradient. The selective layer leaves out the last row and column of
        an output if pooling drops them.
    """
    rows = []
    for index, (layer, forward, trains, needed) in enumerate(_layers(model, choice)):
        shares = [1.0, trains, needed]
        if way in ("whole", "mask"):
            shares = [1.0, 1.0, float(index > 0)]
        elif way == "parallel" or isinstance(layer, keras.layers.Dense):
            shares = [1.0, trains, float(needed > 0)]
        used = _used(layer) if way == "selective" else 1.0
        rows.append((layer.name, *(round(forward * used * share) for share in shares)))
    return pd.DataFrame(rows, columns=["layer", "forward", "weight gradients", "input gradients"])


def attack_multiply_adds(model: keras.Model) -> int:
    """Return what one image costs in one step of an attack.

    That is the output of every layer and the gradient of every input, the image's included, where
    pooling uses them.
    """
    return 2 * sum(
        round(forward_multiply_adds(layer) * _used(layer))
        for layer in model.layers
        if layer.weights
    )


def step_bytes(
    model: keras.Model, choice: FilterChoice, way: Way, batch: int = 128
) -> dict[str, int]:
    """Return what a training step has to store, in bytes, by what it is for.

    Parameters
    ----------
    model, choice, way
        As for :func:`step_multiply_adds`.
    batch
        Images in a step.

    Returns
    -------
    dict
        ``weights``, with the zeros and ones of a gradient mask; ``gradients and averages``:
        the gradient of each weight that trains and its running mean square (RMSprop);
        ``activations``: what the forward pass keeps for the backward pass.
    """
    layers = list(_layers(model, choice))
    weights = model.count_params()
    trained = sum(one.trains * one.layer.count_params() for one in layers)
    numbers = {"weights": weights, "gradients and averages": 2 * round(trained)}
    if way in ("whole", "mask"):
        numbers["gradients and averages"] = 2 * weights
    if way == "mask":
        numbers["weights"] += sum(layer.count_params() for layer in models.conv_layers(model))
    stored = {name: FLOAT * count for name, count in numbers.items()}
    activations = FLOAT * int(np.prod(model.input_shape[1:]))
    for one in layers:
        activations += _kept(one, way)
    return {**stored, "activations": batch * activations}


def _kept(one: _Layer, way: Way) -> int:
    """Return the bytes that a layer, and what follows up to the next one, keep for an image."""
    units = int(np.prod(one.layer.output.shape[1:]))
    if isinstance(one.layer, keras.layers.Dense):
        return FLOAT * units
    rows, columns, filters = one.layer.output.shape[1:]
    pooled = (rows // 2) * (columns // 2) * filters
    kept = FLOAT * (units + 2 * pooled)  # the maps, pooled, and after dropout
    if way != "selective":
        kept += pooled  # one byte a unit: which ones dropout keeps
    if way == "parallel" and 0 < one.trains < 1:
        # The maps of the parts as well as those put in order, if gradients pass through them.
        kept += FLOAT * round(units * (1.0 if one.needed else one.trains))
    return int(kept)
