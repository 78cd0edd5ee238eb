"""Networks and images as scripts that a page loads from its own folder, without a server.

A page that is opened as a file may load a script beside it and nothing else, so weights and pixels
stand in scripts. Keras is not needed: a kept network is read from its archive.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ASSETS = ("engine.js", "lab.js", "lab.css")
"""What runs in the browser, in the order in which it is loaded."""

KINDS = {"Conv2D": "conv", "MaxPooling2D": "pool", "Dense": "dense"}
"""The layers that the engine computes, by Keras's names. Others must compute nothing in use."""

NO_WORK = ("InputLayer", "Dropout", "Flatten")


def rounded(weights: Sequence[NDArray[np.floating[Any]]]) -> list[NDArray[np.float32]]:
    """Return weights as the page has them: rounded to float16."""
    return [weight.astype(np.float16).astype(np.float32) for weight in weights]


def description(network: Any) -> dict[str, Any]:
    """Return a network as the engine reads it.

    Parameters
    ----------
    network
        A Keras model of convolutions (``same``, ReLU), pooling by two, and dense layers.

    Returns
    -------
    dict
        ``layers``: kind, shape of the kernel, whether a ReLU follows; ``weights``: all of them in
        float16, base64.

    Raises
    ------
    ValueError
        If it has a layer that the engine does not compute, which is named.
    """
    layers: list[dict[str, Any]] = []
    for layer in network.layers:
        name, config = type(layer).__name__, layer.get_config()
        if name in NO_WORK:
            continue
        activation = config.get("activation", "linear")
        fits = {
            "Conv2D": config.get("padding") == "same" and config.get("strides") == (1, 1),
            "MaxPooling2D": config.get("pool_size") == (2, 2) == config.get("strides"),
            "Dense": True,
        }.get(name, False)
        if not fits or activation not in ("relu", "linear"):
            raise ValueError(f"the page cannot compute the layer {layer.name} ({name})")
        described: dict[str, Any] = {"kind": KINDS[name], "relu": activation == "relu"}
        if layer.weights:
            described["shape"] = [int(size) for size in layer.weights[0].shape]
        layers.append(described)
    flat = np.concatenate([weight.ravel() for weight in network.get_weights()])
    return {
        "layers": layers,
        "weights": base64.b64encode(flat.astype("<f2").tobytes()).decode("ascii"),
    }


def changed_filters(network: Any, original: Any) -> list[list[int]]:
    """Return, for each convolution, the filters that differ from those of another network.

    Of a network that was defended by split fine-tuning they are the dominant ones: all others were
    frozen.
    """
    pairs = zip(network.layers, original.layers, strict=True)
    kernels = [
        (np.asarray(layer.kernel), np.asarray(before.kernel))
        for layer, before in pairs
        if type(layer).__name__ == "Conv2D"
    ]
    return [
        [int(index) for index in np.flatnonzero((kernel != before).any(axis=(0, 1, 2)))]
        for kernel, before in kernels
    ]


def write(
    folder: Path,
    networks: Mapping[str, Any],
    images: NDArray[np.floating[Any]],
    labels: Sequence[int],
    *,
    dominant: Sequence[Sequence[int]] = (),
    words: Mapping[str, str] | None = None,
    classes: Sequence[str] = (),
    name: str = "scene",
) -> list[Path]:
    """Write what the lab loads.

    Parameters
    ----------
    folder
        Where to.
    networks
        Keras models by name; each becomes a script of its own, loaded when it is chosen.
    images, labels
        Pixels in [0, 1], shape ``(n, 28, 28, 1)``, and their classes.
    dominant
        Filters to mark, for each convolution.
    words
        What a network is called on the page, by name; the name itself if not given.
    classes
        What the classes are called; by their numbers if not given.
    name
        Of the images, by which a scene asks for others than the usual ones.

    Returns
    -------
    list of Path
        The scripts: ``NAME.js``, which every scene of these images loads, and one for each network.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.round(images * 255).astype(np.uint8)
    scene = {
        "images": [base64.b64encode(image.tobytes()).decode("ascii") for image in pixels],
        "labels": [int(label) for label in labels],
        "networks": {network: (words or {}).get(network, network) for network in networks},
        "dominant": [list(map(int, layer)) for layer in dominant],
        **({"classes": list(classes)} if classes else {}),
    }
    written = [folder / f"{name}.js"]
    written[0].write_text(f"labData.{name} = {json.dumps(scene)};\n", encoding="utf-8")
    for called, network in networks.items():
        path = folder / f"network-{called}.js"
        content = json.dumps(description(network))
        path.write_text(f"labData.networks[{json.dumps(called)}] = {content};\n", encoding="utf-8")
        written.append(path)
    return written


def copy_assets(folder: Path) -> None:
    """Copy what runs in the browser into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ASSETS:
        text = resources.files("lib.lab").joinpath(name).read_text(encoding="utf-8")
        (folder / name).write_text(text, encoding="utf-8")
