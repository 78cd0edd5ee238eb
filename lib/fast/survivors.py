"""Robust accuracy by survivors: PGD for evaluation that leaves an image once it is fooled.

An attack that only has to tell which images withstand it is over, for an image, at the first
step that changes the prediction. A batch therefore has slots: whenever the image of one is
fooled, or has withstood its last restart, the next image takes its place. The size of the batch
never changes, so nothing is traced twice.
"""

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tqdm import tqdm

from lib.compute.parameters import Count, Seed
from lib.stages import attacks, models, robustness
from lib.stages.attacks import Attack
from lib.stages.data import Images, Labels

EMPTY = -1


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


def withstood(
    model: Any,
    attack: Attack,
    images: Images,
    labels: Labels,
    *,
    attempts: Count,
    seed: Seed,
    targeted: bool,
) -> NDArray[np.bool_]:
    """Tell which images withstand all attempts: the verdicts of the plain way, sooner.

    Parameters
    ----------
    model, attack, images, labels, attempts, seed, targeted
        As of :func:`lib.stages.robustness.every_attempt`.
    """
    steps, step_size = robustness.steps_of(attack)
    budget = tf.constant(attack.epsilon, tf.float32), tf.constant(step_size, tf.float32)
    step = robustness.stepper(model, attack.loss_input)

    verdict = np.ones(len(images), np.bool_)
    waiting = _hardest_first(model, images, labels)[::-1].tolist()
    size = attacks.batch_size(len(images))
    example = np.full(size, EMPTY)
    attempt, judged, label, target = np.zeros((4, size), np.int64)
    clean = np.zeros((size, *images.shape[1:]), np.float32)
    current = clean.copy()

    def begin(slot: int) -> None:
        judged[slot] = 0
        index, number = int(example[slot]), int(attempt[slot])
        target[slot] = robustness.target(int(label[slot]), number, targeted=targeted)
        current[slot] = robustness.start(
            images[index], attack, index=index, restart=number, seed=seed
        )

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
        verdict[example[fooled]] = False
        attempt[through] += 1
        for slot in np.flatnonzero(through & (attempt < attempts)).tolist():
            begin(slot)
        left = fooled | (through & (attempt >= attempts))
        progress.update(int(left.sum()))
        example[left] = EMPTY
    progress.close()
    return verdict
