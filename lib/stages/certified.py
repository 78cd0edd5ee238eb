"""Images that a network provably reads correctly within a radius, whoever attacks it.

An attack that finds nothing proves nothing: what it leaves is an upper bound of what is robust.
This is a lower bound. Every neuron is enclosed between two linear functions of the layer before it,
which are followed back to the pixels, as CROWN (Zhang et al. 2018) and DeepPoly (Singh et al. 2019)
do. What is certified is so; what is not may be robust all the same.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass
from scipy.sparse import csr_array, eye_array, kron  # type: ignore[import-untyped]

from lib.compute.cache import cached
from lib.compute.parameters import Count, Epsilon, RefusedError
from lib.stages import data, submitted
from lib.stages.data import Images
from lib.stages.submitted import Submitted

Values = NDArray[np.float64]

SLACK = 1e-4
"""Logits by which a certified class must lead: the network itself computes in single precision."""


class Block(NamedTuple):
    """A layer and the max-pooling behind it, ``relu(max over a group of (matrix @ x + bias))``.

    ``groups`` has shape (outputs, outputs of the layer that each is the maximum of); without
    pooling, that is one.
    """

    matrix: csr_array
    bias: Values
    groups: NDArray[np.int64]


class Network(NamedTuple):
    """Blocks from 784 pixels on, and the dense layer that gives the logits."""

    blocks: list[Block]
    kernel: Values
    bias: Values


class Bounds(NamedTuple):
    """Linear bounds of a block's outputs ``a`` by what its maxima are over, ``z``.

    ``lower @ z <= a <= upper @ z + shift``, and ``low <= a <= high`` whatever ``z`` is.
    """

    lower: csr_array
    upper: csr_array
    shift: Values
    low: Values
    high: Values


def _convolution(kernel: Values, height: int, width: int) -> csr_array:
    """Return the matrix of a convolution with odd sides, padded to equal size."""
    rows, columns = kernel.shape[:2]
    shifted = [
        kron(
            kron(eye_array(height, k=row - rows // 2), eye_array(width, k=column - columns // 2)),
            kernel[row, column].T,
        )
        for row in range(rows)
        for column in range(columns)
    ]
    return csr_array(sum(shifted[1:], start=shifted[0]))


def _pooled(height: int, width: int, maps: int, side: int) -> NDArray[np.int64]:
    """Return which outputs of a layer each maximum is over, the pooled ones in Keras's order."""
    numbers = np.arange(height * width * maps).reshape(height, width, maps)
    down, across = height // side, width // side
    cells = numbers[: down * side, : across * side].reshape(down, side, across, side, maps)
    return cells.transpose(0, 2, 4, 1, 3).reshape(-1, side * side)


def blocks_of(model: keras.Model) -> Network:
    """Return a network as matrices.

    Parameters
    ----------
    model
        A stack of convolutions that keep the size, each with ReLU, with or without max-pooling,
        and then of dense layers, the last one without activation.

    Raises
    ------
    RefusedError
        It has another layer, or branches; the message names it.
    """
    if not isinstance(model, keras.Sequential):
        raise RefusedError(f"{model.name}: only a stack of layers can be certified")
    blocks: list[Block] = []
    height, width, maps = 28, 28, 1
    for layer in model.layers[:-1]:
        match layer:
            case keras.layers.Conv2D(
                padding="same", strides=(1, 1), dilation_rate=(1, 1), groups=1, use_bias=True
            ) if layer.activation.__name__ == "relu" and all(s % 2 for s in layer.kernel_size):
                kernel, bias = (weights.astype(np.float64) for weights in layer.get_weights())
                maps = kernel.shape[-1]
                alone = _pooled(height, width, maps, 1)
                matrix = _convolution(kernel, height, width)
                blocks.append(Block(matrix, np.tile(bias, height * width), alone))
            case keras.layers.Dense(use_bias=True) if layer.activation.__name__ == "relu":
                kernel, bias = (weights.astype(np.float64) for weights in layer.get_weights())
                blocks.append(Block(csr_array(kernel.T), bias, np.arange(len(bias))[:, None]))
            case keras.layers.MaxPooling2D(padding="valid") if (
                blocks and layer.pool_size == layer.strides and len({*layer.pool_size}) == 1
            ):
                side = layer.pool_size[0]
                pooled = blocks[-1]._replace(groups=_pooled(height, width, maps, side))
                blocks[-1], height, width = pooled, height // side, width // side
            case keras.layers.Flatten() | keras.layers.Dropout():
                pass  # pixels are in this order already, and nothing is dropped under attack
            case _:
                raise RefusedError(f"{layer.name}: this {type(layer).__name__} is not certified")
    last = model.layers[-1]
    if not isinstance(last, keras.layers.Dense) or last.activation.__name__ != "linear":
        raise RefusedError(f"{last.name}: the last layer must be dense, without activation")
    kernel, bias = (weights.astype(np.float64) for weights in last.get_weights())
    return Network(blocks, kernel, bias)


def _undecided(block: Block, low: Values, high: Values) -> NDArray[np.int64]:
    """Return the inputs of those maxima that may be one input or another, or 0."""
    lows = low[block.groups].max(axis=1)
    reach = high[block.groups] > np.maximum(lows, 0)[:, None]
    candidates = reach.sum(axis=1) + (lows < 0)
    undecided: NDArray[np.int64] = block.groups[candidates > 1].ravel()
    return undecided


def _relaxed(block: Block, low: Values, high: Values) -> Bounds:
    """Bound the outputs of a block between lines, given bounds of what its maxima are over."""
    lows, highs = low[block.groups], high[block.groups]
    outputs = np.arange(len(block.groups))
    # From below: the maximum is at least any of its inputs, and at least 0.
    safest = (lows + highs).argmax(axis=1)
    chosen = block.groups[outputs, safest]
    slope = ((low + high)[chosen] > 0).astype(np.float64)
    shape = len(outputs), len(low)
    lower = csr_array((slope, (outputs, chosen)), shape)
    # From above: a line over the input that can be largest, from where the others can overtake it.
    largest = highs.argmax(axis=1)
    others = np.where(np.arange(highs.shape[1]) == largest[:, None], 0.0, highs)
    rest = np.maximum(others.max(axis=1), 0)
    chosen = block.groups[outputs, largest]
    rest = np.maximum(rest, low[chosen])  # where that is lower, this input is the maximum
    above, reach = high[chosen] - rest, high[chosen] - low[chosen]
    slope = np.divide(above, reach, out=np.zeros_like(reach), where=(above > 0) & (reach > 0))
    upper = csr_array((slope, (outputs, chosen)), shape)
    return Bounds(
        lower,
        upper,
        rest - slope * low[chosen],
        np.maximum(lows.max(axis=1), 0),
        np.maximum(highs.max(axis=1), 0),
    )


def _largest(
    matrix: Any, shift: Values, below: list[tuple[Block, Bounds]], low: Values, high: Values
) -> Values:
    """Return what ``matrix @ a + shift`` is at most, ``a`` the outputs of the last block below.

    ``low`` and ``high`` bound the pixels.
    """
    matrix = csr_array(matrix)
    for block, bounds in reversed(below):
        plus, minus = matrix.maximum(0), matrix.minimum(0)
        shift = shift + plus @ bounds.shift
        matrix = csr_array(plus @ bounds.upper + minus @ bounds.lower)
        shift = shift + matrix @ block.bias
        matrix = csr_array(matrix @ block.matrix)
    return np.asarray(matrix.maximum(0) @ high + matrix.minimum(0) @ low + shift)


def margins(network: Network, image: Images, label: int, epsilon: Epsilon) -> Values:
    """Return by how much the logit of each other class exceeds that of the true one, at most.

    Parameters
    ----------
    network
        As :func:`blocks_of` returns it.
    image
        784 pixels, 0 to 1, in any shape.
    label
        Its class.
    epsilon
        L-infinity radius; pixels stay within 0 and 1.

    Returns
    -------
    ndarray
        Nine numbers. If all are negative, no image in the ball is read as another class.
    """
    pixels = np.asarray(image, np.float64).reshape(-1)
    box = np.clip(pixels - epsilon, 0, 1), np.clip(pixels + epsilon, 0, 1)
    below: list[tuple[Block, Bounds]] = []
    low, high = box
    for block in network.blocks:
        plus, minus = block.matrix.maximum(0), block.matrix.minimum(0)
        least = plus @ low + minus @ high + block.bias
        most = plus @ high + minus @ low + block.bias
        if below:  # where intervals leave open which input is the maximum, look further back
            rows = _undecided(block, least, most)
            part, shift = block.matrix[rows], block.bias[rows]
            most[rows] = np.minimum(most[rows], _largest(part, shift, below, *box))
            least[rows] = np.maximum(least[rows], -_largest(-part, -shift, below, *box))
        bounds = _relaxed(block, least, most)
        below.append((block, bounds))
        low, high = bounds.low, bounds.high
    against = np.delete(network.kernel - network.kernel[:, [label]], label, axis=1).T
    ahead = np.delete(network.bias - network.bias[label], label)
    by_interval = np.maximum(against, 0) @ high + np.minimum(against, 0) @ low + ahead
    by_lines = _largest(against, ahead, below, *box)
    return np.asarray(np.minimum(by_interval, by_lines))


@dataclass(frozen=True)
class Certification:
    """Some test images of a network that comes as a file, and the radius to certify them at.

    Attributes
    ----------
    network
        The file, and whose images.
    epsilon
        L-infinity radius.
    first, count
        Which images: so many from number ``first`` on.
    """

    network: Submitted
    epsilon: Epsilon
    first: int
    count: Count


@lru_cache(maxsize=4)
def _network(sha256: str) -> Network:
    return blocks_of(submitted.network(sha256).model)


@cached
def certified(case: Certification) -> list[bool]:
    """Tell which images no change within the radius makes the network misread."""
    network = _network(case.network.sha256)
    images = data.load(case.network.dataset).test.at(slice(case.first, case.first + case.count))
    return [
        bool((margins(network, image, int(label), case.epsilon) < -SLACK).all())
        for image, label in zip(images.images, images.labels, strict=True)
    ]
