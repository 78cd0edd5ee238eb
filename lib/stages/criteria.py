"""Criteria that compete: which filters should train, where training keeps up with the attacker.

The paper chooses by how much an attack changes a filter's output, once, before the defence. Other
measures are as near at hand. Whoever competes here trains equally many filters with equally many
gradients: what a criterion takes to look at the network comes off its training.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass
from tqdm import tqdm

from lib.compute.cache import cached
from lib.compute.parameters import Count, Criterion, Fraction, Rung, Seed
from lib.stages import attacks, data, filters, hardening, models, threats
from lib.stages.data import Examples
from lib.stages.filters import Changes, FilterChoice
from lib.stages.hardening import Hardening
from lib.stages.models import Weights
from lib.stages.threats import Budget, Evaluation, Verdict

AGAIN = ", again"

BY_CHANGE = ("change", "least change", "relative change")
"""Criteria that look at pairs of a clean image and its targeted copies, as the paper's does."""

SILENT = 1e-6
"""Response to clean images below which a filter counts as silent."""


@dataclass(frozen=True)
class Contender:
    """A training of some filters, and how it chooses them.

    Attributes
    ----------
    hardening
        How it trains, and with how many gradients: from the victim's weights, the dense layers
        too, on the cross-entropy. It has no selection of its own.
    criterion
        By which filters are chosen: ``change`` of the output on targeted images (the paper's),
        ``relative change``, as a multiple of the response to clean images, ``gradient``: weight
        times derivative of the loss on crafted images, as Lee et al. (2019) choose weights. As
        controls those of the ``least change``, ``random`` ones, ``all`` and ``none``. With
        ``, again`` they are chosen for every epoch, by the network as it is then. Images are
        crafted as the training crafts them; the paper does not say how many steps its PGD has.
    fraction
        Share of each layer's filters that trains.
    images_per_class
        Of the validation images, which a criterion looks at.
    draw
        Seed of random choices.
    """

    hardening: Hardening
    criterion: Criterion
    fraction: Fraction = 0.1
    images_per_class: Count = 14
    draw: Seed = 0

    def __post_init__(self) -> None:
        """Refuse two choices at once, and trainings that are not for choosing in."""
        how = self.hardening
        if how.selection is not None or not how.dense_layers:
            raise ValueError("a contender chooses its filters itself, and its dense layers train")
        if how.start != "victim" or how.loss != "cross-entropy":
            raise ValueError("a contender starts from trained weights and has the usual loss")

    @property
    def measure(self) -> str:
        """What is measured, however often."""
        return self.criterion.removesuffix(AGAIN)

    @property
    def chooses_again(self) -> bool:
        """Whether it chooses for every epoch."""
        return self.criterion.endswith(AGAIN)


class Outcome(NamedTuple):
    """What a contender has become; ``choices`` has the filters that trained in each epoch."""

    weights: Weights
    choices: list[FilterChoice]

    def filters_trained(self) -> int:
        """Return how many filters trained in any epoch."""
        return len({(n, i) for layers in self.choices for n, one in enumerate(layers) for i in one})


def looked_at(contender: Contender) -> Examples:
    """Return the validation images that a criterion looks at."""
    validation = data.load(contender.hardening.victim.dataset).validation
    return validation.per_class(contender.images_per_class)


def price(contender: Contender) -> int:
    """Return how many gradients, of single images, it takes to choose once."""
    images = contender.images_per_class * data.CLASSES
    steps = contender.hardening.attack.steps
    if contender.measure in BY_CHANGE:
        return images * (data.CLASSES - 1) * steps
    if contender.measure == "gradient":
        return images * (steps + 1)
    return 0


def share_spent_on_choosing(contender: Contender) -> float:
    """Return what share of its gradients a contender takes to choose."""
    times = len(steps_by_epoch(contender)) if contender.chooses_again else 1
    return times * price(contender) / hardening.gradients(contender.hardening)


def steps_by_epoch(contender: Contender) -> list[int]:
    """Return how many steps of training each epoch has, within the gradients of the hardening.

    Raises
    ------
    ValueError
        Choosing takes them all.
    """
    how = contender.hardening
    left = hardening.gradients(how)
    of_a_step = how.batch_size * (how.attack.steps + 1)
    whole = len(data.load(how.victim.dataset).train) // how.batch_size
    epochs: list[int] = []
    while True:
        left -= price(contender) if contender.chooses_again or not epochs else 0
        steps = min(whole, left // of_a_step)
        if steps < 1:
            break
        epochs.append(steps)
        left -= steps * of_a_step
    if not epochs:
        raise ValueError(
            f"to choose by {contender.criterion} takes {price(contender):,} gradients, and the "
            f"training has {hardening.gradients(how):,}: more epochs, or fewer images_per_class"
        )
    return epochs


def relative(changes: Changes, clean: Changes) -> Changes:
    """Return changes as multiples of each filter's response to clean images.

    A filter that is silent there has no such multiple, and counts as unchanged.
    """
    means = [layer.mean(axis=0) for layer in clean]
    return [
        np.where(mean > SILENT, change / np.maximum(mean, SILENT), 0)
        for change, mean in zip(changes, means, strict=True)
    ]


def sensitivities(model: Any, images: data.Images, labels: data.Labels) -> list[NDArray[Any]]:
    """Return, for each filter, the sum of the sizes of weight times derivative of the mean loss."""
    kernels = [layer.kernel.value for layer in models.conv_layers(model)]
    with tf.GradientTape() as tape:
        tape.watch(kernels)
        logits = model(tf.constant(images), training=False)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
    derivatives = tape.gradient(loss, kernels)
    return [
        tf.reduce_sum(tf.abs(kernel * derivative), axis=(0, 1, 2)).numpy()
        for kernel, derivative in zip(kernels, derivatives, strict=True)
    ]


def _orders(contender: Contender, model: Any, epoch: int) -> list[NDArray[np.int64]]:
    """Return the filters of each layer, the first to be chosen first."""
    measure, how = contender.measure, contender.hardening
    if measure not in (*BY_CHANGE, "gradient"):
        random = np.random.default_rng([contender.draw, epoch])
        return [random.permutation(layer.filters) for layer in models.conv_layers(model)]
    clean, seed = looked_at(contender), how.victim.seed
    if measure == "gradient":
        crafted = attacks.perturb(model, how.attack, clean.images, clean.labels, seed=seed)
        return [
            np.argsort(-layer, kind="stable")
            for layer in sensitivities(model, crafted, clean.labels)
        ]
    images, _, targets = attacks.with_all_targets(clean)
    crafted = attacks.perturb(model, how.attack, images, targets, targeted=True, seed=seed)
    changes = filters.output_changes(model, images, crafted)
    if measure == "relative change":
        black = np.zeros_like(clean.images)  # as chapter 4 measures a response
        changes = relative(changes, filters.output_changes(model, black, clean.images))
    orders = [filters.ranking(layer, contender.fraction) for layer in changes]
    return [order[::-1] for order in orders] if measure == "least change" else orders


def choose(contender: Contender, model: Any, epoch: int = 0) -> FilterChoice:
    """Return the filters that train in an epoch, chosen by the network as it is.

    Parameters
    ----------
    contender
        Who chooses.
    model
        The network at the beginning of that epoch.
    epoch
        Only the draw of random filters depends on it.
    """
    share = {"all": 1.0, "none": 0.0}.get(contender.measure, contender.fraction)
    return tuple(
        tuple(sorted(order[: filters.how_many(share, len(order))].tolist()))
        for order in _orders(contender, model, epoch)
    )


class OnlyChosen(hardening.CraftedAfresh):
    """Trains some filters of a network: after each step all others are what they were.

    Unlike in :func:`lib.stages.splitting.selective`, which filters these are may change. The
    optimizer knows of the others what it would have done with them, and goes on from there when
    they are chosen.
    """

    def __init__(self, network: keras.Model, how: Hardening, steps: int) -> None:
        super().__init__(network, how, steps)
        self.held = [
            [
                (weight, tf.Variable(weight.value), tf.Variable(tf.zeros(layer.filters, tf.bool)))
                for weight in layer.weights
            ]
            for layer in models.conv_layers(network)
        ]

    def let_train(self, choice: FilterChoice) -> None:
        """Hold all filters as they are but those that are chosen."""
        for weights, chosen in zip(self.held, choice, strict=True):
            for weight, before, trains in weights:
                before.assign(weight.value)
                trains.assign(np.isin(np.arange(trains.shape[0]), chosen))

    def train_step(self, batch: tuple[tf.Tensor, tf.Tensor]) -> Any:
        """Take a step of training, and take back what it did to the filters that are held."""
        logs = super().train_step(batch)
        for weights in self.held:
            for weight, before, trains in weights:
                weight.assign(tf.where(trains, weight.value, before))
        return logs


@cached
def train(contender: Contender) -> Outcome:
    """Train a contender.

    Raises
    ------
    ValueError
        As of :func:`steps_by_epoch`.
    RefusedError
        The network has branches: its filters are compared behind their normalisation, which is
        not theirs alone to train.
    """
    how = contender.hardening
    victim, seed = how.victim, how.victim.seed if how.seed is None else how.seed
    models.require_stacks(victim.architecture)
    epochs, train_images = steps_by_epoch(contender), data.load(victim.dataset).train
    weights = models.fit(victim).weights

    models.make_repeatable(seed)  # of what training draws
    network = models.build(victim.architecture, how.dropout, victim.hidden_units)
    network.set_weights(weights)
    model = OnlyChosen(network, how, sum(epochs))
    model.compile(
        optimizer=keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(how.learning_rate, sum(epochs))
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    choices: list[FilterChoice] = []
    for epoch, steps in enumerate(tqdm(epochs, desc="epochs", delay=5, leave=False)):
        new = contender.chooses_again or not choices
        choices.append(choose(contender, network, epoch) if new else choices[-1])
        model.let_train(choices[-1])
        order = np.random.default_rng([seed, epoch]).permutation(len(train_images))
        order = order[: steps * how.batch_size]
        model.fit(
            train_images.images[order],
            train_images.labels[order],
            batch_size=how.batch_size,
            shuffle=False,  # the order above depends on the seed and the epoch alone
            verbose=0,
        )
    return Outcome(network.get_weights(), choices)


@lru_cache(maxsize=8)
def network_of(contender: Contender) -> keras.Model:
    """Return the network that a contender has become."""
    victim = contender.hardening.victim
    network = models.build(victim.architecture, 0.0, victim.hidden_units)
    network.set_weights(train(contender).weights)
    return network


@dataclass(frozen=True)
class Assault:
    """One attacker, of those with gradients or none at all, against one contender.

    Attributes
    ----------
    contender
        Whose network is attacked, at the radius that it trained at.
    rung, count, budget
        As in :class:`lib.stages.threats.Evaluation`.
    """

    contender: Contender
    rung: Rung
    count: Count | None = None
    budget: Budget | None = None


@cached
def withstood(assault: Assault) -> Verdict:
    """Tell which test images a contender reads correctly under an attack.

    See :func:`lib.stages.threats.withstood`.
    """
    how = assault.contender.hardening
    evaluation = Evaluation(
        how.victim, assault.rung, how.attack.epsilon, assault.count, assault.budget
    )
    network, clean = network_of(assault.contender), threats.clean_examples(evaluation)
    verdict: Verdict = models.predict(network, clean.images) == clean.labels
    if verdict.any():
        attacker = threats.attacker(assault.rung)
        verdict[verdict] = attacker.withstood(network, evaluation, clean.at(verdict))
    return verdict
