"""The split model of the paper's section 3.5: dominant filters train, the others stay frozen.

Three forms of one function. :func:`parallel` is the paper's own: two convolutions side by side,
one of which trains. :func:`gathered` is its Fig. 7 drawn literally, with the channels put back in
order behind each pair, which costs time and changes nothing. :func:`selective` is the form
that trains fastest: the same mathematics as one convolution, whose backward pass computes only
what the trainable filters need (:mod:`lib.fast.selective`).
"""

import warnings
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lib.compute.parameters import Architecture, Fraction
from lib.stages import accelerated, filters, models
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


def _chosen_by_name(model: keras.Model, choice: FilterChoice) -> dict[str, tuple[int, ...]]:
    return dict(zip([layer.name for layer in _checked(model, choice)], choice, strict=True))


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


CHANNELWISE: tuple[type[keras.layers.Layer], ...] = (
    keras.layers.MaxPooling2D,
    keras.layers.AveragePooling2D,
    keras.layers.Dropout,
    keras.layers.ReLU,
    keras.layers.Flatten,
)
"""Layers that treat all channels alike, each by itself, so that their order may be any."""

READERS: tuple[type[keras.layers.Layer], ...] = (keras.layers.Conv2D, keras.layers.Dense)
"""Layers whose weights can follow another order of the channels that they read."""


def parallel(model: keras.Model, choice: FilterChoice) -> keras.Model:
    """Split each convolution of a model into a trainable and a frozen one, side by side.

    Their maps are stacked, the trainable ones first, and stay in that order: the weights of the
    next convolution, or of the dense layer behind a Flatten, follow. So nothing is copied
    but to stack the maps. Before a layer that may mix channels, or that is not known here, the
    maps are put back in order, with a warning.

    Parameters
    ----------
    model
        A trained stack of layers, as of :func:`lib.stages.models.build`. It is not changed.
    choice
        The trainable filters of each convolution; a layer may have none, or all.

    Returns
    -------
    keras.Model
        Computes the same logits. All that is not a convolution stays trainable: Table 12 of
        the paper counts only frozen filters as saved.
    """
    return _split(model, choice, absorb=True)


def gathered(model: keras.Model, choice: FilterChoice) -> keras.Model:
    """Split a model as :func:`parallel` does, but put the maps in order behind each convolution.

    This is Fig. 7 of the paper drawn literally. It copies every map once more, and its gradient.
    """
    return _split(model, choice, absorb=False)


def _split(model: keras.Model, choice: FilterChoice, *, absorb: bool) -> keras.Model:
    chosen_of = _chosen_by_name(model, choice)
    inputs = keras.Input(model.input_shape[1:])
    maps, order, joined = inputs, None, ""
    for layer in model.layers:
        if order and not (absorb and type(layer) in CHANNELWISE + READERS):
            if absorb:
                warnings.warn(
                    f"{layer.name} may mix channels: the maps are put in order before it",
                    stacklevel=3,
                )
            maps = _in_order(maps, order, joined)
            order = None
        weights = _following(layer.get_weights(), order)
        if layer.name in chosen_of:
            maps = _side_by_side(layer, weights, chosen_of[layer.name], maps)
            joined = layer.name
        else:
            copy = layer.__class__.from_config(layer.get_config())
            maps = copy(maps)
            copy.set_weights(weights)
        order = _order_behind(layer, chosen_of, order)
    if order:
        maps = _in_order(maps, order, joined)
    return keras.Model(inputs, maps, name=f"{model.name}_{'parallel' if absorb else 'gathered'}")


def _in_order(maps: Any, order: list[int], name: str) -> Any:
    return ChannelOrder(np.argsort(order).tolist(), name=f"{name}_reordered")(maps)


def _following(weights: Weights, order: list[int] | None) -> Weights:
    """Return the weights of a layer that reads channels in an order (None: as they were)."""
    return [weights[0][..., order, :], *weights[1:]] if order and weights else weights


def _order_behind(
    layer: keras.layers.Layer, chosen_of: dict[str, tuple[int, ...]], order: list[int] | None
) -> list[int] | None:
    """Return where the channels, or units, behind a layer come from; None: as they were."""
    if layer.name in chosen_of:
        order = [*chosen_of[layer.name], *_rest(chosen_of[layer.name], layer.filters)]
        return None if order == sorted(order) else order
    if isinstance(layer, keras.layers.Dense):
        return None
    if isinstance(layer, keras.layers.Flatten) and order:
        shape = layer.input.shape[1:]
        return list(np.arange(np.prod(shape)).reshape(shape)[..., order].ravel().tolist())
    return order


def _side_by_side(
    layer: keras.layers.Conv2D, weights: Weights, chosen: tuple[int, ...], maps: Any
) -> Any:
    branches = []
    for part, indices in _parts(layer, chosen):
        config = {**layer.get_config(), "filters": len(indices), "name": f"{layer.name}_{part}"}
        branch = keras.layers.Conv2D.from_config(config)
        branches.append(branch(maps))
        branch.set_weights([array[..., indices] for array in weights])
        branch.trainable = part == "dominant"
    if len(branches) == 1:
        return branches[0]
    return keras.layers.Concatenate(name=f"{layer.name}_joined")(branches)


def _parts(layer: keras.layers.Conv2D, chosen: tuple[int, ...]) -> list[tuple[str, list[int]]]:
    """Return the names and filters of the layers that stand for a convolution: two, or one."""
    both = ("dominant", list(chosen)), ("frozen", list(_rest(chosen, layer.filters)))
    return [(part, indices) for part, indices in both if indices]


BLOCKS = "blocks"
"""Name of the layer that a selective model has in place of all convolutions."""


def selective(model: keras.Model, choice: FilterChoice) -> keras.Model:
    """Split a model as :func:`parallel` does, in the form that trains fastest.

    Same parameters and same mathematics. For a network that :mod:`lib.fast.selective` cannot
    compute, as one with another pooling or activation, it is :func:`parallel` itself.
    """
    computes = accelerated.find("lib.fast.selective:computes")
    split = accelerated.find("lib.fast.selective:split")
    if computes is None or split is None or not computes(model):
        return parallel(model, choice)
    return split(model, choice)


def dominant_first(model: keras.Model, choice: FilterChoice) -> list[list[int]]:
    """Return each convolution's filters, the chosen ones first."""
    layers = _checked(model, choice)
    return [
        [*chosen, *_rest(chosen, layer.filters)]
        for layer, chosen in zip(layers, choice, strict=True)
    ]


def in_order(weights: Weights, orders: list[list[int]]) -> Weights:
    """Return the weights of the same network with the filters of each convolution in an order.

    The channels follow that the next convolution, or the first dense layer, reads.
    """
    arranged = [array.copy() for array in weights]
    for index, order in enumerate(orders):
        kernel, bias, reader = arranged[2 * index : 2 * index + 3]
        by_channel = reader.reshape(*reader.shape[:-2], -1, len(order), reader.shape[-1])
        moved = by_channel[..., order, :].reshape(reader.shape)
        arranged[2 * index : 2 * index + 3] = [kernel[..., order], bias[order], moved]
    return arranged


def _merged_parallel(split: keras.Model, model: keras.Model, choice: FilterChoice) -> Weights:
    chosen_of = _chosen_by_name(model, choice)
    own = {layer.name: layer for layer in split.layers}
    merged: Weights = []
    order: list[int] | None = None
    for layer in model.layers:
        weights = [array.copy() for array in layer.get_weights()]
        if layer.name in chosen_of:
            for part, indices in _parts(layer, chosen_of[layer.name]):
                tuned = own[f"{layer.name}_{part}"].get_weights()
                for target, source in zip(weights, tuned, strict=True):
                    target[..., indices] = source
        elif weights:
            weights = own[layer.name].get_weights()
        merged += _following(weights, order and np.argsort(order).tolist())
        order = _order_behind(layer, chosen_of, order)
        if f"{layer.name}_reordered" in own:
            order = None
    return merged


def merged_weights(split: keras.Model, model: keras.Model, choice: FilterChoice) -> Weights:
    """Return the weights of a split model in the layout of the model that was split.

    Parameters
    ----------
    split
        From :func:`parallel`, :func:`gathered` or :func:`selective`.
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
    back = [np.argsort(order).tolist() for order in dominant_first(model, choice)]
    return in_order(weights, back)


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
        for count in models.conv_filters(architecture)
    )
    return float(1 - trainable_parameters(parallel(model, choice)) / model.count_params())
