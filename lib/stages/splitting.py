"""The split model of the paper's section 3.5: dominant filters train, the others stay frozen.

Two ways to build it. :func:`parallel` is the paper's own (its Fig. 7): two convolutions side
by side, their channels put back in order. :func:`selective` is the same mathematics as one
convolution, whose backward pass computes only what the trainable filters need
(:mod:`lib.fast.selective`).
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lib.compute.parameters import Architecture, Fraction
from lib.fast.selective import SelectiveBlocks
from lib.stages import filters, models
from lib.stages.filters import FilterChoice
from lib.stages.models import Weights


def _rest(chosen: tuple[int, ...], count: int) -> tuple[int, ...]:
    return tuple(index for index in range(count) if index not in set(chosen))


def _checked(model: keras.Model, choice: FilterChoice) -> list[keras.layers.Layer]:
    layers = models.conv_layers(model)
    if len(choice) != len(layers):
        raise ValueError(f"filters for {len(choice)} layers, but the model has {len(layers)}")
    for layer, chosen in zip(layers, choice, strict=True):
        outside = [index for index in chosen if not 0 <= index < layer.filters]
        if outside or list(chosen) != sorted(set(chosen)):
            raise ValueError(
                f"{layer.name} has the filters 0 to {layer.filters - 1}, each to be chosen at "
                f"most once and in ascending order, not {chosen}"
            )
    return layers


@keras.saving.register_keras_serializable("lib")
class ChannelOrder(keras.layers.Layer):
    """Puts the channels of parallel layers back in the order of the original layer."""

    def __init__(self, order: list[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.order = order

    def call(self, maps: tf.Tensor) -> tf.Tensor:
        """Return the maps with channel ``order[i]`` at place ``i``."""
        return tf.gather(maps, self.order, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Return what is needed to build the layer again."""
        return {**super().get_config(), "order": self.order}


def parallel(model: keras.Model, choice: FilterChoice) -> keras.Model:
    """Split each convolution of a model into a trainable and a frozen one, side by side.

    Parameters
    ----------
    model
        A trained model of :func:`lib.stages.models.build`. It is not changed.
    choice
        The trainable filters of each layer; a layer may have none, or all.

    Returns
    -------
    keras.Model
        Computes the same logits. All that is not a convolution stays trainable: Table 12 of
        the paper counts only frozen filters as saved.
    """
    split_layers = dict(zip([layer.name for layer in _checked(model, choice)], choice, strict=True))
    inputs = keras.Input(model.input_shape[1:])
    maps = inputs
    for layer in model.layers:
        if layer.name in split_layers:
            maps = _side_by_side(layer, split_layers[layer.name], maps)
        else:
            copy = layer.__class__.from_config(layer.get_config())
            maps = copy(maps)
            copy.set_weights(layer.get_weights())
    return keras.Model(inputs, maps, name=f"{model.name}_parallel")


def _side_by_side(layer: keras.layers.Conv2D, chosen: tuple[int, ...], maps: Any) -> Any:
    rest = _rest(chosen, layer.filters)
    kernel, bias = layer.get_weights()
    branches = []
    for part, indices in (("dominant", chosen), ("frozen", rest)):
        if not indices:
            continue
        config = {**layer.get_config(), "filters": len(indices), "name": f"{layer.name}_{part}"}
        branch = keras.layers.Conv2D.from_config(config)
        branches.append(branch(maps))
        branch.set_weights([kernel[..., list(indices)], bias[list(indices)]])
        branch.trainable = part == "dominant"
    if len(branches) == 1:
        return branches[0]
    joined = keras.layers.Concatenate(name=f"{layer.name}_joined")(branches)
    order = np.argsort(chosen + rest).tolist()
    return ChannelOrder(order, name=f"{layer.name}_reordered")(joined)


BLOCKS = "blocks"
"""Name of the layer that a selective model has in place of all convolutions."""


def selective(model: keras.Model, choice: FilterChoice) -> keras.Model:
    """Split a model as :func:`parallel` does, with :class:`SelectiveBlocks` for training.

    Same parameters and same mathematics. While it trains, it has no gradients with respect to the
    images; :func:`merged_weights` brings the weights back into the original layout.
    """
    weights = _reordered(model.get_weights(), _dominant_first(model, choice))
    of_blocks, of_dense = weights[: 2 * len(choice)], weights[2 * len(choice) :]
    layers = list(model.layers)
    rates = tuple(layer.rate for layer in layers if isinstance(layer, keras.layers.Dropout))
    flatten = next(layer for layer in layers if isinstance(layer, keras.layers.Flatten))
    inputs = keras.Input(model.input_shape[1:])
    maps = SelectiveBlocks(of_blocks, tuple(map(len, choice)), rates, name=BLOCKS)(inputs)
    for layer in layers[layers.index(flatten) :]:
        maps = layer.__class__.from_config(layer.get_config())(maps)
    split = keras.Model(inputs, maps, name=f"{model.name}_selective")
    for layer in split.layers:
        if isinstance(layer, keras.layers.Dense):
            layer.set_weights([of_dense.pop(0), of_dense.pop(0)])
    return split


def _dominant_first(model: keras.Model, choice: FilterChoice) -> list[list[int]]:
    """Return each convolution's filters, the chosen ones first."""
    layers = _checked(model, choice)
    return [
        [*chosen, *_rest(chosen, layer.filters)]
        for layer, chosen in zip(layers, choice, strict=True)
    ]


def _reordered(weights: Weights, orders: list[list[int]]) -> Weights:
    """Return the weights of the same network with the filters of each convolution in an order.

    The channels follow that the next convolution, or the first dense layer, reads.
    """
    reordered = [array.copy() for array in weights]
    for index, order in enumerate(orders):
        kernel, bias, reader = reordered[2 * index : 2 * index + 3]
        by_channel = reader.reshape(*reader.shape[:-2], -1, len(order), reader.shape[-1])
        moved = by_channel[..., order, :].reshape(reader.shape)
        reordered[2 * index : 2 * index + 3] = [kernel[..., order], bias[order], moved]
    return reordered


def _merged_parallel(split: keras.Model, model: keras.Model, choice: FilterChoice) -> Weights:
    chosen_of = dict(zip([layer.name for layer in _checked(model, choice)], choice, strict=True))
    own = {layer.name: layer for layer in split.layers}
    weights: Weights = []
    for layer in model.layers:
        whole = [array.copy() for array in layer.get_weights()]
        if layer.name in chosen_of:
            chosen = chosen_of[layer.name]
            for part, indices in (("dominant", chosen), ("frozen", _rest(chosen, layer.filters))):
                if indices:
                    tuned = own[f"{layer.name}_{part}"].get_weights()
                    for target, source in zip(whole, tuned, strict=True):
                        target[..., list(indices)] = source
        elif whole:
            whole = own[layer.name].get_weights()
        weights += whole
    return weights


def merged_weights(split: keras.Model, model: keras.Model, choice: FilterChoice) -> Weights:
    """Return the weights of a split model in the layout of the model that was split.

    Parameters
    ----------
    split
        From :func:`parallel` or :func:`selective`.
    model
        The model that was split; only its layout is used.
    choice
        The choice that ``split`` was built with.
    """
    blocks = next((layer for layer in split.layers if layer.name == BLOCKS), None)
    if blocks is None:
        return _merged_parallel(split, model, choice)
    dense = [layer for layer in split.layers if isinstance(layer, keras.layers.Dense)]
    weights = blocks.merged() + [array for layer in dense for array in layer.get_weights()]
    back = [np.argsort(order).tolist() for order in _dominant_first(model, choice)]
    return _reordered(weights, back)


def trainable_parameters(model: keras.Model) -> int:
    """Return how many numbers an optimizer may change in a model."""
    return int(sum(np.prod(weight.shape) for weight in model.trainable_weights))


def share_saved(architecture: Architecture, fraction: Fraction) -> float:
    """Return the share of parameters that a split model freezes, counted on the model itself.

    Which filters are dominant does not matter for the count. Table 12 of the paper.
    """
    model = models.build(architecture)
    choice = tuple(
        tuple(range(filters.how_many(fraction, count)))
        for count in models.CONV_FILTERS[architecture]
    )
    return float(1 - trainable_parameters(parallel(model, choice)) / model.count_params())
