"""Robust accuracy by survivors: PGD for evaluation that leaves an image once it is fooled.

An attack that only has to tell which images withstand it is over, for an image, at the first
step that changes the prediction. A batch therefore has slots: whenever the image of one is
fooled, or has withstood its last restart, the next image takes its place. The size of the batch
never changes, so nothing is traced twice.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tqdm import tqdm

from lib.compute.parameters import Count, Seed
from lib.fast import fused
from lib.stages import attacks, data, models
from lib.stages.attacks import Attack
from lib.stages.data import Images, Labels

Step = Callable[..., tuple[tf.Tensor, tf.Tensor]]

EMPTY = -1


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
            outputs = fused.logits(model, images)
            scores = outputs if loss_input == "logits" else tf.nn.softmax(outputs)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, scores)
        gradient = tape.gradient(losses, images)
        # Away from the true digit, or towards any other.
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


def _hardest_first(model: Any, images: Images, labels: Labels) -> NDArray[np.int64]:
    """Order images by how far their own logit is above the others.

    The last slots in use then hold images that are soon fooled, so few steps are spent on a
    batch that is nearly empty.
    """
    found = models.predict_logits(model, images)
    rows = np.arange(len(found))
    own = found[rows, labels]
    found[rows, labels] = -np.inf
    return np.argsort(found.max(axis=1) - own, kind="stable")


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
        The true digits, shape ``(n,)``.
    restarts
        How often the attack is run on an image that has withstood it so far.
    seed
        Of the random starts, see :func:`start`.
    targeted
        Whether every restart is nine attacks, one towards each digit that the image does not
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
    single = attack.method == "fgsm"
    if restarts > 1 and (single or not attack.random_start):
        raise ValueError(
            f"{restarts} restarts of an attack without a random start are all the same"
        )
    steps = 1 if single else attack.steps
    step_size = attack.epsilon if single else min(attack.step_size, attack.epsilon)
    budget = tf.constant(attack.epsilon, tf.float32), tf.constant(step_size, tf.float32)
    step = stepper(models.stand_in(model), attack.loss_input)
    attempts = restarts * (data.CLASSES - 1 if targeted else 1)

    withstood = np.ones(len(images), np.bool_)
    waiting = _hardest_first(model, images, labels)[::-1].tolist()
    example = np.full(attacks.BATCH, EMPTY)
    attempt, judged, label, target = np.zeros((4, attacks.BATCH), np.int64)
    clean = np.zeros((attacks.BATCH, *images.shape[1:]), np.float32)
    current = clean.copy()

    def begin(slot: int) -> None:
        judged[slot] = 0
        index, number = int(example[slot]), int(attempt[slot])
        away = number % (data.CLASSES - 1) + 1 if targeted else 0
        target[slot] = (label[slot] + away) % data.CLASSES
        current[slot] = start(images[index], attack, index=index, restart=number, seed=seed)

    progress = tqdm(total=len(images), desc="images", delay=5, leave=False)
    while waiting or (example != EMPTY).any():
        for slot in np.flatnonzero(example == EMPTY)[: len(waiting)].tolist():
            index = example[slot] = waiting.pop()
            attempt[slot], clean[slot], label[slot] = 0, images[index], labels[index]
            begin(slot)
        wrong, moved = step(*map(tf.constant, (clean, current, label, target)), *budget)
        judged += 1
        taken = example != EMPTY
        fooled = taken & wrong.numpy()
        through = taken & ~fooled & (judged > steps)
        ended = fooled | through
        attacks.check(clean[ended], current[ended], attack.epsilon)
        current = moved.numpy().copy()
        withstood[example[fooled]] = False
        attempt[through] += 1
        for slot in np.flatnonzero(through & (attempt < attempts)).tolist():
            begin(slot)
        left = fooled | (through & (attempt >= attempts))
        progress.update(int(left.sum()))
        example[left] = EMPTY
    progress.close()
    return withstood
