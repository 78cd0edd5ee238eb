"""Adversarial training that crafts its images afresh at every step (Madry et al. 2018).

Fast training (Wong et al. 2020) is the same with a single large step, and TRADES (Zhang et al.
2019) the same with another loss.
"""

import os
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any, Literal

import joblib
import keras
import numpy as np
import tensorflow as tf
from cleverhans.tf2.attacks.fast_gradient_method import fast_gradient_method
from pydantic import Field
from pydantic.dataclasses import dataclass
from tqdm import tqdm

from lib.compute import cache
from lib.compute.cache import cached
from lib.compute.parameters import Count, Fraction, Seed
from lib.stages import attacks, data, filters, models, splitting
from lib.stages.attacks import Attack
from lib.stages.filters import Selection
from lib.stages.training import Tuned

VALIDATION_IMAGES = 2 * attacks.BATCH
"""Number of validation images that a learning curve is measured on, at most."""

VALIDATION_STEPS = 20
"""Steps of the attack that measures a learning curve, each an eighth of epsilon."""


@dataclass(frozen=True)
class Hardening:
    """How a network is trained on images crafted against itself, as it is at each step.

    Attributes
    ----------
    victim
        Gives the images, the network's shape and the seed and, if training starts from it or
        filters are selected, the trained network.
    attack
        Crafts the images of every step; PGD with a random start. With one step of epsilon or
        more it is the fast training of Wong et al. (2020).
    selection
        Which convolution filters train; ``None`` for all of them.
    dense_layers
        Whether the dense layers train.
    start
        From new weights (``scratch``) or from the victim's.
    epochs, batch_size
        Of the training.
    learning_rate
        Of Adam at the first step; it falls to 0 along half a cosine.
    growth
        Share of the steps over which the radius grows from 0 to epsilon. A network that meets
        the full radius before it knows any class may settle on giving all the same logits.
    dropout
        Rate in this training, whatever the victim's was.
    loss
        ``cross-entropy`` of the crafted images, or that of the clean images plus ``weight`` times
        how far the network's answer to a crafted image is from that to the clean one
        (``trades``). What the loss measures on a crafted image, the attack makes large.
    weight
        Of robustness in the loss of TRADES, ``beta`` in its authors' code, which has 1 for MNIST.
    seed
        Of this training; that of the victim if None.
    """

    victim: models.Training
    attack: Attack
    selection: Selection | None = None
    dense_layers: bool = True
    start: Literal["scratch", "victim"] = "scratch"
    epochs: Count = 10
    batch_size: Count = 128
    learning_rate: float = 0.001
    growth: Fraction = 0.2
    dropout: Fraction = 0.0
    loss: Literal["cross-entropy", "trades"] = "cross-entropy"
    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    seed: Seed | None = None

    def __post_init__(self) -> None:
        """Refuse attacks that training does not craft with; drop a weight that weighs nothing."""
        if self.attack.method != "pgd" or not self.attack.random_start:
            raise ValueError("training crafts with PGD and a random start, in one step or more")
        if self.loss == "cross-entropy":
            object.__setattr__(self, "weight", type(self).weight)


def trades_loss(weight: float) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Return the loss of TRADES, one value for each pair of a clean and a crafted image.

    The function that is returned takes the labels and logits of all clean images, and then of all
    crafted ones.
    """

    def loss(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        clean, crafted = tf.split(logits, 2)
        classes = tf.cast(tf.split(tf.reshape(labels, [-1]), 2)[0], tf.int32)
        error = tf.nn.sparse_softmax_cross_entropy_with_logits(classes, clean)
        change = tf.nn.log_softmax(clean) - tf.nn.log_softmax(crafted)
        return error + weight * tf.reduce_sum(tf.nn.softmax(clean) * change, axis=-1)

    return loss


class CraftedAfresh(keras.Model):
    """Trains a network on images that are crafted against its present weights.

    Parameters
    ----------
    network
        Maps images to logits; with ``training=False`` its gradients are complete.
    hardening
        The attack, the seed and how the radius grows.
    steps
        Number of training steps in all.
    """

    def __init__(self, network: keras.Model, hardening: Hardening, steps: int) -> None:
        super().__init__()
        self.network = network
        self.attack = hardening.attack
        self.trades = hardening.loss == "trades"
        self.random_seed = _seed(hardening)
        self.growing_steps = hardening.growth * steps

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Return the network's logits."""
        return self.network(images, training=training)

    def train_step(self, batch: tuple[tf.Tensor, tf.Tensor]) -> Any:
        """Craft images against the present weights and take a step of training on them."""
        images, labels = batch
        step = tf.convert_to_tensor(self.optimizer.iterations)
        crafted = self.craft(images, labels, step)
        if self.trades:
            crafted, labels = tf.concat([images, crafted], 0), tf.concat([labels, labels], 0)
        return super().train_step((crafted, labels))

    def radius(self, step: tf.Tensor) -> tf.Tensor:
        """Return the radius at a step, counted from 0."""
        grown = tf.cast(step + 1, tf.float32) / max(1.0, self.growing_steps)
        return self.attack.epsilon * tf.minimum(1.0, grown)

    def craft(self, images: tf.Tensor, labels: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """Return adversarial images for a training step, within its radius of the images.

        The loop around CleverHans's gradient step is ours for two reasons: its PGD takes a
        radius only as a constant, and draws starts that depend on how many it has drawn before.
        These depend on the seed and the step alone, so a resumed training draws them again.
        """
        function = attacks.model_function(self.network, self.attack.loss_input)
        loss, truth = tf.nn.sparse_softmax_cross_entropy_with_logits, labels
        if self.trades:
            # The divergence from the clean answer, up to a constant.
            loss, truth = tf.nn.softmax_cross_entropy_with_logits, tf.nn.softmax(function(images))
        radius = self.radius(step)
        seeds = [tf.constant(self.random_seed, step.dtype), step]
        start = tf.random.stateless_uniform(tf.shape(images), seeds, -radius, radius)
        adversarial = tf.clip_by_value(images + start, 0.0, 1.0)
        for _ in range(self.attack.steps):
            stepped = fast_gradient_method(
                function,
                adversarial,
                self.attack.step_size,
                np.inf,
                loss_fn=loss,
                y=truth,
                clip_min=0.0,
                clip_max=1.0,
            )
            adversarial = tf.clip_by_value(stepped, images - radius, images + radius)
        return adversarial


def _seed(hardening: Hardening) -> Seed:
    return hardening.victim.seed if hardening.seed is None else hardening.seed


def _new_network(hardening: Hardening) -> Any:
    victim = hardening.victim
    return models.build(victim.architecture, hardening.dropout, victim.hidden_units)


class _Checkpoint:
    """All that a training needs to go on after an epoch as if it had never stopped."""

    def __init__(self, hardening: Hardening, variables: list[Any]) -> None:
        name = cache.key(harden, hardening)
        self.path: Path = cache.folder() / "unfinished" / f"{name}.joblib"
        self.variables = variables

    def load(self) -> dict[str, list[float]]:
        """Set the variables to what was saved last, and return the history until then."""
        if not self.path.is_file():
            return {"clean": [], "pgd": [], "seconds": []}
        history, values = joblib.load(self.path)
        for variable, value in zip(self.variables, values, strict=True):
            variable.assign(value)
        return dict(history)

    def save(self, history: dict[str, list[float]]) -> None:
        """Replace what was saved before, whole or not at all."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(f".{os.getpid()}")
        values = [keras.ops.convert_to_numpy(variable) for variable in self.variables]
        joblib.dump((history, values), partial)
        partial.replace(self.path)


@cached
def harden(hardening: Hardening) -> Tuned:
    """Train a network on images crafted afresh and return its weights.

    After every epoch the state is kept beside the cache until the training is complete: one
    that was stopped goes on there, to the same weights.

    Returns
    -------
    Tuned
        The weights in the layout of :func:`lib.stages.models.build`. The history has a value before
        the first epoch and one after each: the accuracy on ``clean`` validation images and on
        the same under ``pgd`` against the network of that moment, and the ``seconds`` spent
        on training until then.
    """
    victim = hardening.victim
    images = data.load(victim.dataset)
    train = images.train
    validation = images.validation.first(min(VALIDATION_IMAGES, len(images.validation)))
    epsilon = hardening.attack.epsilon
    judge = Attack("pgd", epsilon, max(epsilon, 0.001) / 8, VALIDATION_STEPS)
    if hardening.selection is None:
        choice = tuple(tuple(range(n)) for n in models.conv_filters(victim.architecture))
    else:
        choice = filters.choose(hardening.selection)
    trained = models.fit(victim).weights if hardening.start == "victim" else None

    models.make_repeatable(_seed(hardening))  # before the layers: their first weights are drawn
    original = _new_network(hardening)
    if trained is not None:
        original.set_weights(trained)
    # The same layers whatever trains, so that arms differ in nothing else.
    network = splitting.selective(original, choice)
    for layer in network.layers:
        if isinstance(layer, keras.layers.Dense):
            layer.trainable = hardening.dense_layers

    steps = hardening.epochs * -(-len(train) // hardening.batch_size)
    model = CraftedAfresh(network, hardening, steps)
    schedule = keras.optimizers.schedules.CosineDecay(hardening.learning_rate, steps)
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        optimizer=keras.optimizers.Adam(schedule),
        loss=trades_loss(hardening.weight) if hardening.loss == "trades" else cross_entropy,
        jit_compile=False,
    )
    model.optimizer.build(model.trainable_variables)
    checkpoint = _Checkpoint(hardening, [*network.variables, *model.optimizer.variables])
    history = checkpoint.load()

    def note(seconds: float) -> None:
        adversarial = attacks.perturb(network, judge, validation.images, validation.labels)
        history["clean"].append(models.accuracy(network, validation.images, validation.labels))
        history["pgd"].append(models.accuracy(network, adversarial, validation.labels))
        history["seconds"].append(seconds)
        checkpoint.save(history)

    if not history["seconds"]:
        note(0.0)
    done = len(history["seconds"]) - 1
    epochs = range(done, hardening.epochs)
    progress = tqdm(
        epochs, desc="epochs", initial=done, total=hardening.epochs, delay=5, leave=False
    )
    for epoch in progress:
        order = np.random.default_rng([_seed(hardening), epoch]).permutation(len(train))
        started = perf_counter()
        model.fit(
            train.images[order],
            train.labels[order],
            batch_size=hardening.batch_size,
            shuffle=False,  # the order above depends on the seed and the epoch alone
            verbose=0,
        )
        note(history["seconds"][-1] + perf_counter() - started)
        progress.set_postfix(clean=f"{history['clean'][-1]:.3f}", pgd=f"{history['pgd'][-1]:.3f}")
    weights = splitting.merged_weights(network, original, choice)
    checkpoint.path.unlink(missing_ok=True)
    return Tuned(weights, history)


def hardened(hardening: Hardening) -> Any:
    """Return the hardened network, an ordinary one of :func:`lib.stages.models.build`."""
    model = _new_network(hardening)
    model.set_weights(harden(hardening).weights)
    return model


def gradients(hardening: Hardening) -> int:
    """Return how many gradients of the loss a training takes, counted in single images.

    One with respect to the image for every step of the attack, and one with respect to the
    weights for every image that the loss takes.
    """
    images = len(data.load(hardening.victim.dataset).train)
    in_loss = 2 if hardening.loss == "trades" else 1
    return hardening.epochs * images * (hardening.attack.steps + in_loss)
