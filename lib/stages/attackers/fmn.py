"""The fast minimum-norm attack (Pintor et al. 2021), in place of FAB, which ART lacks."""

from typing import Any

import numpy as np
import tensorflow as tf

from lib.stages import adapters, attacks, models
from lib.stages.data import Examples, Images
from lib.stages.threats import (
    Attacker,
    Budget,
    Evaluation,
    Verdict,
    in_rounds,
    run_lengths,
)

ORDER = 11

FIRST_STEP = 100.0
"""L2 norm of the first step, the last is a hundredth of it: the ball cuts large ones."""


def withstood(model: Any, evaluation: Evaluation, examples: Examples) -> Verdict:
    """Look for the nearest misread image, and judge those that lie within the radius.

    Like FAB it has no radius, and follows differences of logits. It keeps the best of all steps.
    """
    from foolbox.attacks.fast_minimum_norm import LInfFMNAttack

    wrapped = adapters.foolbox_model(adapters.callable_model(models.shared_model(model)))

    def nearest(steps: int, clean: Examples) -> Images:
        attack, images = LInfFMNAttack(steps=steps, max_stepsize=FIRST_STEP), clean.images.copy()
        for start in range(0, len(clean), attacks.BATCH):
            batch = clean.at(slice(start, start + attacks.BATCH))
            _, found, _ = attack(
                wrapped, tf.constant(batch.images), tf.constant(batch.labels), epsilons=None
            )
            distances = np.abs(found.numpy() - batch.images).max(axis=(1, 2, 3))
            near = distances <= evaluation.epsilon
            images[start : start + len(batch)][near] = found.numpy()[near]
        return images

    return in_rounds(model, evaluation, examples, run_lengths(evaluation.spent, 1), nearest)


ATTACKER = Attacker(
    "FMN, the smallest radius it can find",
    "gradients",
    withstood,
    Budget(steps=100),
    doubles="steps",
    in_words=lambda budget: f"{run_lengths(budget, 1)[0]:,}, then {budget.steps:,} steps",
)
