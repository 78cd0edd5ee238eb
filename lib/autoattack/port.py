"""A stack of Keras layers as one of PyTorch's, weight for weight."""

from typing import Any

import keras
import numpy as np
import torch

from lib.compute.parameters import RefusedError
from lib.stages import models
from lib.stages.data import Images


class _Flatten(torch.nn.Module):
    """Lines pixels up as Keras does, whose channels come last."""

    def forward(self, maps: Any) -> Any:
        return maps.permute(0, 2, 3, 1).flatten(1)


def _activation(layer: keras.layers.Layer) -> list[Any]:
    match layer.activation.__name__:
        case "relu":
            return [torch.nn.ReLU()]
        case "linear":
            return []
    raise RefusedError(f"{layer.name}: its activation is not ported")


def _convolution(layer: keras.layers.Conv2D) -> Any:
    size, plain = layer.kernel_size, layer.dilation_rate == (1, 1) and layer.groups == 1
    same = layer.padding == "same" and layer.strides == (1, 1) and all(side % 2 for side in size)
    if not plain or not (same or layer.padding == "valid"):
        raise RefusedError(f"{layer.name}: its padding, groups or dilation are not ported")
    kernel, *bias = map(torch.tensor, layer.get_weights())
    padding = tuple(side // 2 for side in size) if same else 0
    ported = torch.nn.Conv2d(
        kernel.shape[2], layer.filters, size, layer.strides, padding, bias=bool(bias)
    )
    ported.weight.data = kernel.permute(3, 2, 0, 1).contiguous()
    if bias:
        ported.bias.data = bias[0]
    return ported


def _dense(layer: keras.layers.Dense) -> Any:
    kernel, *bias = map(torch.tensor, layer.get_weights())
    ported = torch.nn.Linear(*kernel.shape, bias=bool(bias))
    ported.weight.data = kernel.T.contiguous()
    if bias:
        ported.bias.data = bias[0]
    return ported


def ported(model: keras.Model) -> Any:
    """Return a PyTorch network that computes the same logits.

    Parameters
    ----------
    model
        A stack of convolutions, max-poolings and dense layers, with ReLU or no activation.

    Returns
    -------
    torch.nn.Module
        From images ``(n, 1, 28, 28)`` to logits ``(n, 10)``, without dropout.

    Raises
    ------
    RefusedError
        It has a layer of another kind, or branches.
    """
    if not isinstance(model, keras.Sequential):
        raise RefusedError(f"{model.name}: only a stack of layers is ported")
    layers: list[Any] = []
    for layer in model.layers:
        match layer:
            case keras.layers.Conv2D():
                layers += [_convolution(layer), *_activation(layer)]
            case keras.layers.Dense():
                layers += [_dense(layer), *_activation(layer)]
            case keras.layers.MaxPooling2D(padding="valid"):
                layers.append(torch.nn.MaxPool2d(layer.pool_size, layer.strides))
            case keras.layers.Flatten():
                layers.append(_Flatten())
            case keras.layers.Dropout():
                pass  # it is off when a network is attacked
            case _:
                raise RefusedError(f"{layer.name}: a {type(layer).__name__} is not ported")
    return torch.nn.Sequential(*layers).eval().requires_grad_(False)


def to_torch(images: Images) -> Any:
    """Return images ``(n, 28, 28, 1)`` as PyTorch has them, ``(n, 1, 28, 28)``."""
    return torch.tensor(images.transpose(0, 3, 1, 2))


def largest_difference(model: keras.Model, network: Any, images: Images) -> float:
    """Return by how much a logit of a network differs from that of the one it was made from."""
    with torch.no_grad():
        logits = network(to_torch(images)).numpy()
    return float(np.abs(logits - models.predict_logits(model, images)).max())
