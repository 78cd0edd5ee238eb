"""The split model of the paper's section 3.5: dominant filters train, the others stay frozen.

Two ways to build it. :func:`parallel` is the paper's own (its Fig. 7): two convolutions side
by side, their channels put back in order. :func:`selective` is the same mathematics as one
convolution, whose backward pass computes only what the trainable filters need.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lib import filters, models
from lib.filters import FilterChoice
from lib.models import Weights
from lib.parameters import Architecture, Fraction


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
        A trained model of :func:`lib.models.build`. It is not changed.
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


class SelectiveConv2D(keras.layers.Layer):
    """Convolution, ReLU and 2 x 2 max-pooling, of which only some filters are trained.

    Forward, one full convolution. Backward, the gradients that trainable filters need and no
    others: those of the trainable filters' weights, and those of the input channels that
    lead to a trainable filter below. **The gradient of the input is therefore zero in the
    other channels**: train with this layer, then put the weights back with
    :func:`merged_weights`, and attack the model that results.

    Parameters
    ----------
    layer
        The trained convolution whose weights are taken.
    chosen
        Its trainable filters.
    needed
        The input channels whose gradient some trainable filter below needs.
    """

    def __init__(
        self, layer: keras.layers.Conv2D, chosen: tuple[int, ...], needed: tuple[int, ...]
    ) -> None:
        super().__init__(name=layer.name)
        self.chosen, self.rest = chosen, _rest(chosen, layer.filters)
        self.needed = needed
        kernel, bias = layer.get_weights()
        for part, indices in (("dominant", self.chosen), ("frozen", self.rest)):
            for kind, array in (("kernel", kernel), ("bias", bias)):
                values = array[..., list(indices)]
                weight = self.add_weight(
                    shape=values.shape,
                    name=f"{part}_{kind}",
                    trainable=part == "dominant" and bool(indices),
                )
                weight.assign(values)
                setattr(self, f"{part}_{kind}", weight)
        self.order = np.argsort(self.chosen + self.rest).tolist()

    def call(self, maps: tf.Tensor) -> tf.Tensor:
        """Return the pooled output maps, shape ``(batch, height / 2, width / 2, filters)``."""
        kernel = self._in_order(self.dominant_kernel, self.frozen_kernel)
        bias = self._in_order(self.dominant_bias, self.frozen_bias)
        return self._operation()(maps, kernel, bias, self.dominant_kernel, self.dominant_bias)

    def _in_order(self, dominant: Any, frozen: Any) -> tf.Tensor:
        parts = tf.concat([tf.convert_to_tensor(dominant), tf.convert_to_tensor(frozen)], axis=-1)
        return tf.stop_gradient(tf.gather(parts, self.order, axis=-1))

    def _operation(self) -> Callable[..., tf.Tensor]:
        pooling = {"ksize": [1, 2, 2, 1], "strides": [1, 2, 2, 1], "padding": "VALID"}

        @tf.custom_gradient
        def convolve_and_pool(
            maps: tf.Tensor,
            kernel: tf.Tensor,
            bias: tf.Tensor,
            dominant_kernel: tf.Tensor,
            dominant_bias: tf.Tensor,
        ) -> tuple[tf.Tensor, Callable[..., list[tf.Tensor | None]]]:
            active = tf.nn.relu(tf.nn.conv2d(maps, kernel, 1, "SAME") + bias)
            pooled = tf.nn.max_pool2d(active, 2, 2, "VALID")

            def before_relu(gradient: tf.Tensor, channels: list[int] | None) -> tf.Tensor:
                on, out = active, pooled
                if channels is not None:
                    on, out, gradient = (
                        tf.gather(part, channels, axis=-1) for part in (on, out, gradient)
                    )
                unpooled = tf.raw_ops.MaxPoolGrad(
                    orig_input=on, orig_output=out, grad=gradient, **pooling
                )
                return tf.raw_ops.ReluGrad(gradients=unpooled, features=on)

            def backward(gradient: tf.Tensor) -> list[tf.Tensor | None]:
                of_maps = tf.zeros_like(maps)
                everything = before_relu(gradient, None) if self.needed else None
                if everything is not None:
                    of_needed = tf.raw_ops.Conv2DBackpropInput(
                        input_sizes=[*tf.unstack(tf.shape(maps))[:3], len(self.needed)],
                        filter=tf.gather(kernel, self.needed, axis=2),
                        out_backprop=everything,
                        strides=[1, 1, 1, 1],
                        padding="SAME",
                    )
                    of_maps = self._spread(of_needed, maps.shape[-1])
                if not self.chosen:
                    return [
                        of_maps,
                        None,
                        None,
                        tf.zeros_like(dominant_kernel),
                        tf.zeros_like(dominant_bias),
                    ]
                of_chosen = (
                    before_relu(gradient, list(self.chosen))
                    if everything is None
                    else tf.gather(everything, self.chosen, axis=-1)
                )
                of_kernel = tf.raw_ops.Conv2DBackpropFilter(
                    input=maps,
                    filter_sizes=tf.shape(dominant_kernel),
                    out_backprop=of_chosen,
                    strides=[1, 1, 1, 1],
                    padding="SAME",
                )
                return [of_maps, None, None, of_kernel, tf.reduce_sum(of_chosen, (0, 1, 2))]

            return pooled, backward

        operation: Callable[..., tf.Tensor] = convolve_and_pool
        return operation

    def _spread(self, of_needed: tf.Tensor, channels: int) -> tf.Tensor:
        """Put the gradients of the needed channels in their places, zeros in the others."""
        if len(self.needed) == channels:
            return of_needed
        place = np.full(channels, len(self.needed))
        place[list(self.needed)] = np.arange(len(self.needed))
        padded = tf.pad(of_needed, [[0, 0], [0, 0], [0, 0], [0, 1]])
        return tf.gather(padded, place, axis=-1)


def selective(model: keras.Model, choice: FilterChoice) -> keras.Model:
    """Split a model as :func:`parallel` does, with :class:`SelectiveConv2D` for training.

    Same parameters and same mathematics. The result is for training only: its gradients
    with respect to the images are zero.
    """
    convolutions = _checked(model, choice)
    blocks: dict[str, keras.layers.Layer] = {}
    needed: tuple[int, ...] = ()  # input channels whose gradient trainable filters below need
    for layer, chosen in zip(convolutions, choice, strict=True):
        blocks[layer.name] = SelectiveConv2D(layer, chosen, needed)
        # Below a trainable filter everything counts: it changes all channels above it.
        needed = tuple(range(layer.filters)) if needed else chosen
    inputs = keras.Input(model.input_shape[1:])
    maps = inputs
    for layer in model.layers:
        if layer.name in blocks:
            maps = blocks[layer.name](maps)
        elif not isinstance(layer, keras.layers.MaxPooling2D):  # part of the block before it
            copy = layer.__class__.from_config(layer.get_config())
            maps = copy(maps)
            copy.set_weights(layer.get_weights())
    return keras.Model(inputs, maps, name=f"{model.name}_selective")


def _parts_of(split: keras.Model, name: str, chosen: tuple[int, ...], rest: tuple[int, ...]) -> Any:
    own = {layer.name: layer for layer in split.layers}
    if isinstance(own.get(name), SelectiveConv2D):
        block = own[name]
        yield (
            chosen,
            [
                keras.ops.convert_to_numpy(block.dominant_kernel),
                keras.ops.convert_to_numpy(block.dominant_bias),
            ],
        )
        yield (
            rest,
            [
                keras.ops.convert_to_numpy(block.frozen_kernel),
                keras.ops.convert_to_numpy(block.frozen_bias),
            ],
        )
    else:
        for part, indices in (("dominant", chosen), ("frozen", rest)):
            if indices:
                branch = own[f"{name}_{part}"]
                yield indices, branch.get_weights()


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
    chosen_of = dict(zip([layer.name for layer in _checked(model, choice)], choice, strict=True))
    weights: Weights = []
    for layer in model.layers:
        whole = [array.copy() for array in layer.get_weights()]
        if layer.name in chosen_of:
            chosen = chosen_of[layer.name]
            rest = _rest(chosen, layer.filters)
            for indices, tuned in _parts_of(split, layer.name, chosen, rest):
                for target, source in zip(whole, tuned, strict=True):
                    target[..., list(indices)] = source
        elif whole:
            whole = split.get_layer(layer.name).get_weights()
        weights += whole
    return weights


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
