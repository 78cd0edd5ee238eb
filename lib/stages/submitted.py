"""A network of somebody else's, from a file: loaded without running its code, and made to fit.

It ends up mapping pixels ``(n, 28, 28, 1)`` in [0, 1] to ten logits, with a gradient that may be
zero but is there, so that every attack can be aimed at it.
"""

import hashlib
import zipfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from uuid import uuid4

import keras
import numpy as np
import tensorflow as tf
from pydantic import Field
from pydantic.dataclasses import dataclass

from lib.compute import cache
from lib.compute.parameters import Architecture, Dataset, Part, RefusedError
from lib.stages import data, models
from lib.stages.data import Images

MOST_BYTES = 2**30
"""That an unpacked file may have: one made to fill the memory is not opened."""

SOFTMAX = "It ends with a softmax, which is left out: attacks see the logits."

SURROGATE: Architecture = "base"
"""The network that an attacker has who has not the submitted one."""

PROBED = 64
"""Images that are shown to a network before anything attacks it."""


@dataclass(frozen=True)
class Submitted:
    """A network from a file, as something to be attacked.

    Attributes
    ----------
    sha256
        Sum of the file, under which :func:`keep` keeps it.
    dataset, part
        Whose images it is attacked on.
    """

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    dataset: Dataset
    part: Part

    @property
    def victim(self) -> models.Training:
        """The network that the attacker has, who has not this one: ours, undefended."""
        return models.Training(self.dataset, SURROGATE)


class Network(NamedTuple):
    """A loaded network, and what had to be done to it, in sentences."""

    model: keras.Model
    notes: Sequence[str]


def keep(path: Path) -> str:
    """Copy a file into the cache, so that what is finished outlives its name; return its sum."""
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    kept = cache.place("networks", f"{sha256}.keras")
    if not kept.is_file() or kept.read_bytes() != content:
        part = cache.place("networks", f"{uuid4().hex}.part")
        part.write_bytes(content)
        part.replace(kept)
    return sha256


@lru_cache(maxsize=32)
def network(sha256: str) -> Network:
    """Return a network that :func:`keep` keeps, the same object each time: do not change it.

    Raises
    ------
    RefusedError
        The file holds no network from 28 x 28 pixels to ten finite numbers, or one that only its
        own code could load; the message is one line.
    """
    loaded = _loaded(cache.place("networks", f"{sha256}.keras"))
    shapes = loaded.input_shape, loaded.output_shape
    if shapes[0] not in ((None, 28, 28), (None, 28, 28, 1)) or shapes[1] != (None, data.CLASSES):
        raise RefusedError(
            f"it maps {shapes[0]} to {shapes[1]}: it must map images (None, 28, 28) or "
            f"(None, 28, 28, 1) to (None, {data.CLASSES})"
        )
    notes: list[str] = []
    images = np.random.default_rng(0).random((PROBED, *shapes[0][1:]), np.float32)
    probed, model = _outputs(loaded, images), loaded
    if (probed >= 0).all() and np.allclose(probed.sum(axis=1), 1, atol=1e-3):
        model, note = _without_softmax(loaded)
        if not np.allclose(tf.nn.softmax(_outputs(model, images)), probed, atol=1e-4):
            raise RefusedError("it gives probabilities, and no logits can be had from it")
        notes.append(note)
    if not (differentiable := _has_gradient(model, images)):
        notes.append("It has no derivative at all: attacks with gradients stand still.")
    if not differentiable or shapes[0] == (None, 28, 28) or model.compute_dtype != "float32":
        model = _wrapped(model)
    return Network(model, tuple(notes))


def _loaded(path: Path) -> keras.Model:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
            whole = {"config.json", "model.weights.h5"} <= set(archive.namelist())
    except (zipfile.BadZipFile, OSError):
        whole, size = False, 0
    if not whole:
        raise RefusedError("not a whole Keras file, as `model.save('mine.keras')` writes it")
    if size > MOST_BYTES:
        raise RefusedError(f"unpacked it has {size:,} bytes, of which {MOST_BYTES:,} are allowed")
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # whatever Keras, h5py and the file's own layers raise
        reason = " ".join(str(error).split())
        if "lambda" in reason.lower():
            reason = "it has code of its own (a Lambda layer), which is not run"
        raise RefusedError(f"Keras cannot load it in safe mode: {reason[:200]}") from None
    try:
        _ = model.input_shape, model.output_shape
    except (AttributeError, ValueError):
        raise RefusedError(
            "its input has no shape: begin with keras.Input((28, 28, 1)), and save it again"
        ) from None
    return model


def _outputs(model: keras.Model, images: Images) -> Any:
    try:
        outputs = tf.cast(model(tf.constant(images), training=False), tf.float32).numpy()
    except Exception as error:
        raise RefusedError(f"it cannot be run: {' '.join(str(error).split())[:200]}") from None
    if not np.isfinite(outputs).all():
        raise RefusedError("its outputs are not all finite numbers")
    return outputs


def _without_softmax(model: keras.Model) -> tuple[keras.Model, str]:
    """Return a network that gives the logits of one that gives probabilities."""
    last = model.layers[-1]
    if isinstance(last, keras.layers.Softmax):
        return keras.Model(model.inputs, last.input), SOFTMAX
    while isinstance(last, keras.Model):
        last = last.layers[-1]
    if getattr(last, "activation", None) is keras.activations.softmax:
        last.activation = keras.activations.linear
        return model, SOFTMAX
    floor = float(np.finfo(np.float32).tiny)
    scores = keras.ops.log(keras.ops.maximum(model.outputs[0], floor))
    return keras.Model(model.inputs, scores), (
        "It gives probabilities, whose logarithms take the place of logits: where they are 0, "
        "there is no gradient."
    )


def _has_gradient(model: keras.Model, images: Images) -> bool:
    watched = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(watched)
        outputs = model(watched, training=False)
    return tape.gradient(outputs, watched) is not None


def _wrapped(model: keras.Model) -> keras.Model:
    """Return a network that takes and gives what ours do, with a gradient, if only of zeros."""
    images = keras.Input((28, 28, 1), name="image")
    scores = model(keras.layers.Reshape(model.input_shape[1:])(images))
    nothing = 0.0 * keras.ops.mean(keras.ops.reshape(images, (-1, 784)), axis=1, keepdims=True)
    return keras.Model(images, keras.ops.cast(scores, "float32") + nothing)
