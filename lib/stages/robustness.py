"""Which images withstand PGD: every step is judged, from starts that depend on no batch."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from lib.compute.parameters import Count, Seed
from lib.stages import accelerated, attacks, data, models
from lib.stages.attacks import Attack
from lib.stages.data import Images, Labels

Step = Callable[..., tuple[tf.Tensor, tf.Tensor]]


@lru_cache(maxsize=64)
def stepper(model: Any, loss_input: str) -> Step:
    """Return the compiled function that judges images and moves them by one step of PGD.

    Same steps, in the same order, as CleverHans's: move by the sign of the gradient, clip to
    [0, 1], project onto the ball, clip again.

    Returns
    -------
    callable
        From clean images, current ones, labels, targets (the labels again, to leave them),
        epsilon and step size to whether the current images are misclassified, shape ``(n,)``,
        and where the step leads.
    """

    @tf.function
    def step(
        clean: tf.Tensor,
        images: tf.Tensor,
        labels: tf.Tensor,
        targets: tf.Tensor,
        epsilon: tf.Tensor,
        step_size: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            outputs = attacks.logits(model, images)
            scores = outputs if loss_input == "logits" else tf.nn.softmax(outputs)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, scores)
        gradient = tape.gradient(losses, images)
        # Away from the true class, or towards any other.
        direction = tf.where(targets == labels, step_size, -step_size)
        change = tf.reshape(direction, (-1, 1, 1, 1)) * tf.sign(gradient)
        moved = tf.clip_by_value(images + change, 0.0, 1.0)
        moved = clean + tf.clip_by_value(moved - clean, -epsilon, epsilon)
        return tf.argmax(outputs, axis=1) != labels, tf.clip_by_value(moved, 0.0, 1.0)

    function: Step = step
    return function


def start(image: Images, attack: Attack, *, index: int, restart: int, seed: Seed) -> Images:
    """Return where PGD starts from an image.

    Parameters
    ----------
    image
        One clean image, shape ``(28, 28, 1)``.
    attack
        Whether the start is random, and in which ball.
    index, restart, seed
        Determine the draw: which image of the set it is, which restart, and of which run. No
        other image counts, so the start depends on no batch.
    """
    if attack.method == "fgsm" or not attack.random_start:
        return image
    random = np.random.default_rng([seed, restart, index])
    noise = random.uniform(-attack.epsilon, attack.epsilon, image.shape).astype(np.float32)
    moved: Images = np.clip(image + noise, 0, 1)
    return moved


def target(label: int, attempt: int, *, targeted: bool) -> int:
    """Return the class that an attempt approaches, each other one in turn, or ``label`` itself."""
    away = attempt % (data.CLASSES - 1) + 1 if targeted else 0
    return (label + away) % data.CLASSES


def steps_of(attack: Attack) -> tuple[int, float]:
    """Return number and size of an attack's steps; FGSM is one step of size epsilon."""
    if attack.method == "fgsm":
        return 1, attack.epsilon
    return attack.steps, min(attack.step_size, attack.epsilon)


def robust(
    model: Any,
    attack: Attack,
    images: Images,
    labels: Labels,
    *,
    restarts: Count = 1,
    seed: Seed = 0,
    targeted: bool = False,
) -> NDArray[np.bool_]:
    """Tell which images withstand an attack.

    Parameters
    ----------
    model
        Maps images to logits.
    attack
        The attack and its budget; FGSM counts as one step of size epsilon from the image itself.
    images
        Pixels in [0, 1], shape ``(n, 28, 28, 1)``.
    labels
        The true classes, shape ``(n,)``.
    restarts
        How often the attack is run on an image that has withstood it so far.
    seed
        Of the random starts, see :func:`start`.
    targeted
        Whether every restart is nine attacks, one towards each class that the image does not
        show; any misclassification counts.

    Returns
    -------
    ndarray
        Shape ``(n,)``: True where the model is right at every start, after every step and
        after the last one, in all restarts.

    Raises
    ------
    AttackError
        If an image that was judged is out of range or out of the ball.
    ValueError
        If ``images`` and ``labels`` differ in length, or restarts would repeat the same attack.
    """
    if len(images) != len(labels):
        raise ValueError(f"{len(images)} images but {len(labels)} labels")
    if restarts > 1 and (attack.method == "fgsm" or not attack.random_start):
        raise ValueError(
            f"{restarts} restarts of an attack without a random start are all the same"
        )
    withstood = accelerated.find("lib.fast.survivors:withstood") or every_attempt
    verdict: NDArray[np.bool_] = withstood(
        models.shared_model(model),
        attack,
        images,
        labels,
        attempts=restarts * (data.CLASSES - 1 if targeted else 1),
        seed=seed,
        targeted=targeted,
    )
    return verdict


def every_attempt(
    model: Any,
    attack: Attack,
    images: Images,
    labels: Labels,
    *,
    attempts: Count,
    seed: Seed,
    targeted: bool,
) -> NDArray[np.bool_]:
    """Run every attempt at every image to its end, the plain way of :func:`robust`.

    Parameters
    ----------
    model, attack, images, labels, seed, targeted
        As of :func:`robust`.
    attempts
        Restarts, or nine times as many if ``targeted``.
    """
    steps, step_size = steps_of(attack)
    budget = tf.constant(attack.epsilon, tf.float32), tf.constant(step_size, tf.float32)
    step = stepper(model, attack.loss_input)
    withstood, size = np.ones(len(images), np.bool_), attacks.batch_size(len(images))
    for attempt in range(attempts):
        targets = np.array([target(int(label), attempt, targeted=targeted) for label in labels])
        for first in range(0, len(images), size):
            rows = np.arange(first, first + size) % len(images)  # filled up
            clean = images[rows]
            current = np.stack(
                [
                    start(images[row], attack, index=int(row), restart=attempt, seed=seed)
                    for row in rows
                ]
            )
            for _ in range(steps + 1):
                attacks.check(clean, current, attack.epsilon)
                wrong, moved = step(
                    *map(tf.constant, (clean, current, labels[rows], targets[rows])), *budget
                )
                withstood[rows[wrong.numpy()]] = False
                current = moved.numpy()
    return withstood
