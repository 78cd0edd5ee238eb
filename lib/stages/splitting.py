"""The split model of the paper's section 3.5: dominant filters train, the others stay frozen.

Three forms of one function. :func:`parallel` is the paper's own: two convolutions side by side,
one of which trains. :func:`gathered` is its Fig. 7 drawn literally, with the channels put back in
order behind each pair, which costs time and changes nothing. :func:`selective` is the form
that trains fastest: the same mathematics as one convolution, whose backward pass computes only
what the trainable filters need (:mod:`lib.fast.selective`).
"""

import warnings
from typing import Any, NamedTuple

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
    keras.layers.GlobalAveragePooling2D,
    keras.layers.Dropout,
    keras.layers.ReLU,
    keras.layers.Flatten,
    keras.layers.Add,
)
"""Layers that treat all channels alike, each by itself, so that their order may be any."""

READERS: tuple[type[keras.layers.Layer], ...] = (
    keras.layers.Conv2D,
    keras.layers.Dense,
    keras.layers.BatchNormalization,
)
"""Layers whose weights can follow another order of the channels that they read."""

Order = list[int] | None
"""Which channel of the original is at each place; None: each is at its own."""


class _Place(NamedTuple):
    """How a layer of the original stands in a split model.

    ``reads`` and ``gives`` are the orders of the channels. What trains of a convolution, or of
    its normalisation, is ``chosen``: such a layer is in two parts.
    """

    reads: Order = None
    gives: Order = None
    chosen: tuple[int, ...] | None = None


def parallel(model: keras.Model, choice: FilterChoice) -> keras.Model:
    """Split each convolution of a model into a trainable and a frozen one, side by side.

    Their maps are stacked, the trainable ones first, and stay in that order: the weights of the
    next convolution, or of the dense layer behind a Flatten, follow. So nothing is copied
    but to stack the maps. Where maps of different orders are added, one of them is put in the
    order of the other; before a layer that may mix channels, or that is not known here, all are put
    in their old order, with a warning.

    The normalisation right behind a convolution is split with it. That of the frozen filters is not
    trainable, which in Keras means that it goes on with the mean and variance that it has. If it
    took those of each batch, the filters would be frozen and their output would not: what the
    network computes, in training and after, would follow the images.

    Parameters
    ----------
    model
        A trained network in which no layer is used twice, as of :func:`lib.stages.models.build`.
        It is not changed.
    choice
        The trainable filters of each convolution; a layer may have none, or all.

    Returns
    -------
    keras.Model
        Computes the same logits. All that is neither a convolution nor its normalisation stays
        trainable: Table 12 of the paper counts only frozen filters as saved.
    """
    return _split(model, choice, absorb=True)


def gathered(model: keras.Model, choice: FilterChoice) -> keras.Model:
    """Split a model as :func:`parallel` does, but put the maps in order behind each convolution.

    This is Fig. 7 of the paper drawn literally. It copies every map once more, and its gradient.
    """
    return _split(model, choice, absorb=False)


def _is_known(layer: keras.layers.Layer) -> bool:
    return type(layer) in CHANNELWISE + READERS


def _places(model: keras.Model, choice: FilterChoice, *, absorb: bool) -> dict[str, _Place]:
    """Return where the layers of a model stand in a split one, by name."""
    chosen_of = _chosen_by_name(model, choice)
    places = {models.IMAGES: _Place()}
    for name, sources in models.sources(model).items():
        layer, first = model.get_layer(name), places[sources[0]]
        chosen, reads = chosen_of.get(name), None
        if type(layer) is keras.layers.BatchNormalization:
            chosen = first.chosen
        if _is_known(layer) and (chosen is None or name in chosen_of):
            reads = first.gives
        gives = _order_behind(layer, chosen, reads) if absorb else None
        places[name] = _Place(reads, gives, chosen)
    return places


def _split(model: keras.Model, choice: FilterChoice, *, absorb: bool) -> keras.Model:
    places = _places(model, choice, absorb=absorb)
    inputs = keras.Input(model.input_shape[1:])
    whole, parts = {models.IMAGES: inputs}, dict[str, list[Any]]()
    for name, sources in models.sources(model).items():
        layer, place = model.get_layer(name), places[name]
        if not _is_known(layer) and any(places[source].gives for source in sources):
            warnings.warn(
                f"{name} may mix channels: the maps are put in order before it", stacklevel=3
            )
        maps = [
            _rearranged(whole[source], places[source].gives, place.reads, f"{source}_for_{name}")
            for source in sources
        ]
        weights = _following(layer, layer.get_weights(), place.reads)
        if place.chosen is None:
            copy = layer.__class__.from_config(layer.get_config())
            whole[name] = copy(maps if len(maps) > 1 else maps[0])
            copy.set_weights(weights)
            continue
        normalises = type(layer) is keras.layers.BatchNormalization
        read = parts[sources[0]] if normalises else 2 * maps
        parts[name] = _side_by_side(layer, weights, place.chosen, read)
        whole[name] = parts[name][0]
        if len(parts[name]) > 1:
            whole[name] = keras.layers.Concatenate(name=f"{name}_joined")(parts[name])
        if not absorb:
            order = _order_behind(layer, place.chosen, None)
            whole[name] = _rearranged(whole[name], order, None, f"{name}_reordered")
    last = model.layers[-1].name
    maps = _rearranged(whole[last], places[last].gives, None, f"{last}_reordered")
    return keras.Model(inputs, maps, name=f"{model.name}_{'parallel' if absorb else 'gathered'}")


def _rearranged(maps: Any, order: Order, wanted: Order, name: str) -> Any:
    """Return maps that are in one order in another."""
    if order == wanted:
        return maps
    count = range(maps.shape[-1])
    places = np.argsort(order or count)[wanted or count]
    return ChannelOrder(places.tolist(), name=name)(maps)


def _following(layer: keras.layers.Layer, weights: Weights, order: Order) -> Weights:
    """Return the weights of a layer that reads channels in an order (None: as they were)."""
    if order is None or not weights:
        return weights
    if isinstance(layer, keras.layers.BatchNormalization):
        return [array[order] for array in weights]
    return [weights[0][..., order, :], *weights[1:]]


def _order_behind(layer: keras.layers.Layer, chosen: tuple[int, ...] | None, order: Order) -> Order:
    """Return where the channels, or units, behind a layer come from."""
    count = layer.output.shape[-1]
    if chosen is not None:
        order = [*chosen, *_rest(chosen, count)]
        return None if order == sorted(order) else order
    if isinstance(layer, keras.layers.Dense):
        return None
    if isinstance(layer, keras.layers.Flatten) and order:
        shape = layer.input.shape[1:]
        return list(np.arange(np.prod(shape)).reshape(shape)[..., order].ravel().tolist())
    return order


def _side_by_side(
    layer: keras.layers.Layer, weights: Weights, chosen: tuple[int, ...], maps: list[Any]
) -> list[Any]:
    """Return what the layers that stand for one give of the maps that each of them reads."""
    branches = []
    for (part, indices), read in zip(_parts(layer, chosen), maps, strict=False):
        config = {**layer.get_config(), "name": f"{layer.name}_{part}"}
        if "filters" in config:
            config["filters"] = len(indices)
        branch = layer.__class__.from_config(config)
        branches.append(branch(read))
        branch.set_weights([array[..., indices] for array in weights])
        branch.trainable = part == "dominant"
    return branches


def _parts(layer: keras.layers.Layer, chosen: tuple[int, ...]) -> list[tuple[str, list[int]]]:
    """Return the names and channels of the layers that stand for one: two, or one."""
    rest = list(_rest(chosen, layer.output.shape[-1]))
    both = ("dominant", list(chosen)), ("frozen", rest)
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
    own = {layer.name: layer for layer in split.layers}
    absorb = not split.name.endswith("_gathered")
    places = _places(model, choice, absorb=absorb)
    merged: Weights = []
    for layer in model.layers:
        place = places.get(layer.name, _Place())
        weights = [array.copy() for array in layer.get_weights()]
        if place.chosen is not None:
            for part, indices in _parts(layer, place.chosen):
                tuned = own[f"{layer.name}_{part}"].get_weights()
                for target, source in zip(weights, tuned, strict=True):
                    target[..., indices] = source
        elif weights:
            weights = own[layer.name].get_weights()
        merged += _following(layer, weights, place.reads and np.argsort(place.reads).tolist())
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
