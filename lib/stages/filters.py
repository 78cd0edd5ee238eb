"""Which convolution filters an attack disturbs: the measure of the paper's section 3.4."""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass
from tqdm import tqdm

from lib.compute.cache import cached
from lib.compute.parameters import Count, Fraction, Part, Seed
from lib.stages import attacks, data, models
from lib.stages.attacks import Attack
from lib.stages.data import Images

Changes = list[NDArray[np.float32]]
"""One array a layer, shape ``(pairs, filters)``: the mean absolute change of each output map."""

FilterChoice = tuple[tuple[int, ...], ...]
"""Indices of the chosen filters, ascending, one tuple a convolution layer."""


@dataclass(frozen=True)
class Study:
    """Which pairs of a clean and an adversarial image are compared.

    Attributes
    ----------
    victim
        The undefended model.
    attack
        Targeted, at all nine classes that an image does not show.
    images_per_class
        The paper takes 100, so 900 pairs a class.
    part
        The paper takes test images; validation images leave the test untouched.
    attack_seed
        Of PGD's random starts; that of the victim if None.
    """

    victim: models.Training
    attack: Attack
    images_per_class: Count = 100
    part: Part = "test"
    attack_seed: Seed | None = None


@dataclass(frozen=True)
class Selection:
    """Which filters of every layer are chosen.

    Attributes
    ----------
    study
        Whose dominant filters they are, or whose victim they belong to.
    fraction
        Share of each layer's filters.
    order
        Filters are taken from the front: the ``dominant`` ones first, as in the paper, or,
        as controls, the ``least`` dominant, those with the largest weights (``norm``), or in
        ``random`` order.
    draw
        Seed of the random order.
    """

    study: Study
    fraction: Fraction
    order: Literal["dominant", "least", "norm", "random"] = "dominant"
    draw: Seed = 0


def clean_examples(study: Study) -> data.Examples:
    """Return the clean images of a study, class by class."""
    part: data.Examples = getattr(data.load(study.victim.dataset), study.part)
    return part.per_class(study.images_per_class)


OF_ITS_OWN = (
    keras.layers.BatchNormalization,
    keras.layers.ReLU,
    keras.layers.Activation,
)
"""Layers that go on with the maps of a convolution, each by itself."""


def _maps(model: keras.Model) -> list[Any]:
    """Return what each filter gives to others: behind its normalisation and activation, if any.

    What two filters give before that cannot be compared: a normalisation undoes any scale.
    """
    readers: dict[str, list[str]] = {}
    for name, sources in models.sources(model).items():
        for source in sources:
            readers.setdefault(source, []).append(name)

    def last(name: str) -> str:
        behind = readers.get(name, [])
        alone = len(behind) == 1 and isinstance(model.get_layer(behind[0]), OF_ITS_OWN)
        return last(behind[0]) if alone else name

    return [model.get_layer(last(layer.name)).output for layer in models.conv_layers(model)]


@lru_cache(maxsize=64)
def _compiled(model: keras.Model) -> Callable[[tf.Tensor, tf.Tensor], list[tf.Tensor]]:
    """Return the function from paired images to the changes, traced once for any number."""
    outputs = keras.Model(model.inputs, _maps(model))
    images = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)

    @tf.function(input_signature=[images, images])
    def change(clean: tf.Tensor, adversarial: tf.Tensor) -> list[tf.Tensor]:
        maps = zip(
            keras.tree.flatten(outputs(clean, training=False)),
            keras.tree.flatten(outputs(adversarial, training=False)),
            strict=True,
        )
        return [tf.reduce_mean(tf.abs(a - b), axis=(1, 2)) for a, b in maps]

    function: Callable[[tf.Tensor, tf.Tensor], list[tf.Tensor]] = change
    return function


def output_changes(model: keras.Model, clean: Images, adversarial: Images) -> Changes:
    """Return how much each filter's output changes between paired images.

    Parameters
    ----------
    model
        A model with convolutions.
    clean, adversarial
        Paired images, shape ``(pairs, 28, 28, 1)``.

    Returns
    -------
    list of ndarray
        One array a layer, shape ``(pairs, filters)``: the absolute difference of the
        output after normalisation and ReLU, averaged over positions. Only one batch of output
        maps is in memory at a time.
    """
    change = _compiled(models.shared_model(model))
    layers = models.conv_layers(model)
    changes: Changes = [np.empty((len(clean), layer.filters), np.float32) for layer in layers]
    for start in range(0, len(clean), attacks.BATCH):
        rows = slice(start, start + attacks.BATCH)
        batch = change(tf.constant(clean[rows]), tf.constant(adversarial[rows]))
        for whole, part in zip(changes, batch, strict=True):
            whole[rows] = part
    return changes


@cached
def measure(study: Study) -> Changes:
    """Return the changes of a study's pairs, ordered by class, image and target.

    The adversarial images of one class are in memory at a time.
    """
    clean = clean_examples(study)  # too few images are noticed before a network has trained
    model = models.trained(study.victim)
    seed = study.victim.seed if study.attack_seed is None else study.attack_seed
    by_class = []
    for label in tqdm(range(data.CLASSES), desc="classes", delay=5, leave=False):
        members = clean.labels == label
        images, _, targets = attacks.with_all_targets(clean.at(members))
        adversarial = attacks.perturb(
            model, study.attack, images, targets, targeted=True, seed=seed
        )
        by_class.append(output_changes(model, images, adversarial))
    return [np.concatenate(layer) for layer in zip(*by_class, strict=True)]


def how_many(fraction: Fraction, filters: int) -> int:
    """Return how many of a layer's filters a fraction is, rounded up as Table 12 requires."""
    return math.ceil(round(fraction * filters, 9))  # 0.28 * 25 is 7.000000000000001


def times_in_top(changes: NDArray[np.float32], fraction: Fraction) -> NDArray[np.int64]:
    """Count how often each filter is among the most changed ones of a pair.

    Parameters
    ----------
    changes
        Of one layer, shape ``(pairs, filters)``.
    fraction
        Share of the filters that counts as the top of a pair.

    Returns
    -------
    ndarray
        Shape ``(filters,)``; sums to pairs times :func:`how_many`. A filter that does not
        change at all is never counted.
    """
    filters = changes.shape[1]
    top = np.argsort(-changes, axis=1, kind="stable")[:, : how_many(fraction, filters)]
    changed = np.take_along_axis(changes, top, axis=1) > 0
    return np.bincount(top[changed], minlength=filters)


def ranking(changes: NDArray[np.float32], fraction: Fraction) -> NDArray[np.int64]:
    """Return a layer's filters from the most to the least dominant.

    Filters are ordered by :func:`times_in_top`, and equal counts by their mean change.
    """
    return np.lexsort((-changes.mean(axis=0), -times_in_top(changes, fraction)))


def _orders(selection: Selection) -> list[NDArray[np.int64]]:
    """Return the filters of each layer, the first to be chosen first."""
    study = selection.study
    if selection.order == "random":
        random = np.random.default_rng(selection.draw)
        return [
            random.permutation(count) for count in models.conv_filters(study.victim.architecture)
        ]
    if selection.order == "norm":
        layers = models.conv_layers(models.trained(study.victim))
        kernels = [layer.get_weights()[0] for layer in layers]
        return [np.argsort(-(kernel**2).sum(axis=(0, 1, 2)), kind="stable") for kernel in kernels]
    by_change = [ranking(changes, selection.fraction) for changes in measure(study)]
    return by_change if selection.order == "dominant" else [order[::-1] for order in by_change]


def choose(selection: Selection) -> FilterChoice:
    """Return the chosen filters of every layer.

    Dominant are those most often in the top of a pair. The same fraction is the top of a pair
    and the share of filters that is chosen.
    """
    return tuple(
        tuple(sorted(order[: how_many(selection.fraction, len(order))].tolist()))
        for order in _orders(selection)
    )
