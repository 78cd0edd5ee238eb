"""Attacks: ours beside those of three libraries, and with or without images that are fooled."""

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from cleverhans.tf2.attacks.fast_gradient_method import fast_gradient_method
from cleverhans.tf2.attacks.projected_gradient_descent import projected_gradient_descent

from lib.bench.timing import compared, in_turn
from lib.compute.parameters import Method
from lib.stages import adapters, attacks, data, models, robustness
from lib.stages.attacks import Attack
from lib.stages.data import Examples, Images

EPSILON = 0.3
HARDLY_ANY = 0.01
"""An epsilon at which nearly every image withstands: the undefended model as a robust one."""

AttackBatch = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def compare_survivors(
    model: keras.Model, images: Examples, steps: int, rounds: int
) -> Iterator[pd.DataFrame]:
    """Compare attacking survivors with CleverHans, which attacks every image to the last step.

    On a robust model hardly any image falls; a small epsilon makes the undefended model one.
    """
    as_it_is = keras.Model(model.inputs, model.outputs)  # with TensorFlow's own gradient

    def plain(attack: Attack) -> None:
        found = attacks.perturb(as_it_is, attack, images.images, images.labels)
        models.predict(model, found)

    def drop_fooled(attack: Attack, some: Examples) -> None:
        robustness.robust(model, attack, some.images, some.labels)

    for case, epsilon, goal in (
        ("undefended model", EPSILON, 0.2),
        ("hardly any image falls", HARDLY_ANY, 1.0),
    ):
        attack = Attack("pgd", epsilon, steps=steps)
        ways = {"plain": partial(plain, attack), "survivors": partial(drop_fooled, attack, images)}
        # Where the plain attack seeds its random starts, TensorFlow forgets how functions
        # were set up: that is its own cost, and not that of the way that comes next.
        seconds = in_turn(ways, rounds, before=partial(drop_fooled, attack, images.first(1)))
        yield compared("survivors", case, seconds, "plain", {"survivors": goal}, len(images))


def _in_batches(attack_batch: AttackBatch, images: Examples) -> Images:
    found = []
    for start in range(0, len(images), attacks.BATCH):
        rows = slice(start, start + attacks.BATCH)
        batch = tf.constant(images.images[rows]), tf.constant(images.labels[rows])
        found.append(attack_batch(*batch).numpy())
    return np.concatenate(found)


def _cleverhans(model: keras.Model, attack: Attack) -> AttackBatch:
    """Return CleverHans's attack as its tutorial calls it: no labels, no bounds."""
    if attack.method == "fgsm":
        return lambda images, _: fast_gradient_method(model, images, attack.epsilon, np.inf)
    return lambda images, _: projected_gradient_descent(
        model, images, attack.epsilon, attack.step_size, attack.steps, np.inf, rand_init=False
    )


def _foolbox(model: keras.Model, attack: Attack) -> AttackBatch:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that PyTorch is not there
        from foolbox.attacks.fast_gradient_method import LinfFastGradientAttack
        from foolbox.attacks.projected_gradient_descent import LinfProjectedGradientDescentAttack

    wrapped = adapters.foolbox_model(model)
    if attack.method == "fgsm":
        method: Any = LinfFastGradientAttack(random_start=False)
    else:
        method = LinfProjectedGradientDescentAttack(
            abs_stepsize=attack.step_size, steps=attack.steps, random_start=False
        )
    return lambda images, labels: method(wrapped, images, labels, epsilons=attack.epsilon)[1]


def _art(model: keras.Model, attack: Attack) -> Callable[[Images, data.Labels], Images]:
    classifier = adapters.art_model(model, (28, 28, 1))
    from art.attacks import evasion

    common = {"eps": attack.epsilon, "batch_size": attacks.BATCH}
    if attack.method == "fgsm":
        method = evasion.FastGradientMethod(classifier, **common)
    else:
        steps = {"eps_step": attack.step_size, "max_iter": attack.steps}
        method = evasion.ProjectedGradientDescentTensorFlowV2(
            classifier, verbose=False, **steps, **common
        )
    generate: Callable[[Images, data.Labels], Images] = method.generate
    return generate


def crafters(
    model: keras.Model, attack: Attack, images: Examples
) -> dict[str, Callable[[], Images]]:
    """Return the implementations of an attack, on the same images.

    Parameters
    ----------
    model
        Maps images to logits.
    attack
        Without a random start.
    images
        What they perturb.

    Returns
    -------
    dict
        Functions that return adversarial images: ``ours``, which is CleverHans with the true
        labels, bounds and a fused gradient; ``CleverHans`` as in its tutorial, so without all
        three; ``Foolbox`` and ``ART``.
    """
    cleverhans, foolbox = _cleverhans(model, attack), _foolbox(model, attack)
    art = _art(model, attack)
    return {
        "ours": lambda: attacks.perturb(model, attack, images.images, images.labels),
        "CleverHans": lambda: _in_batches(cleverhans, images),
        "Foolbox": lambda: _in_batches(foolbox, images),
        "ART": lambda: art(images.images, images.labels),
    }


def compare_crafting(
    model: keras.Model, images: Examples, steps: int, rounds: int
) -> Iterator[pd.DataFrame]:
    """Compare the implementations of the attacks."""
    methods: tuple[Method, ...] = ("fgsm", "pgd")
    for method in methods:
        attack = Attack(method, EPSILON, steps=steps, random_start=False)
        # Enough of them for a measurement, few enough for forty steps.
        some = images if method == "fgsm" else images.first(min(attacks.BATCH, len(images)))
        seconds = in_turn(crafters(model, attack, some), rounds)
        fastest = str(seconds.cpu.drop(columns="ours").median().idxmin())
        yield compared("crafting", method.upper(), seconds, fastest, {"ours": 1.0}, len(some))
