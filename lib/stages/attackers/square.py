"""The Square attack (Andriushchenko et al. 2020), which sees the logits only."""

from typing import Any

import keras
import numpy as np

from lib.stages import adapters, attacks, models
from lib.stages.data import Examples
from lib.stages.threats import Attacker, Budget, Evaluation, Verdict, read_correctly

ORDER = 4


def withstood(model: Any, evaluation: Evaluation, examples: Examples) -> Verdict:
    """Run ART's Square, which accepts every query that is misread and then leaves the image."""
    from art.attacks.evasion import SquareAttack

    keras.utils.set_random_seed(evaluation.seed)  # ART draws from NumPy's global generator
    attack = SquareAttack(
        adapters.art_classifier(models.shared_model(model)),
        norm=np.inf,
        eps=float(evaluation.epsilon),
        max_iter=evaluation.spent.queries,
        p_init=0.8,
        batch_size=attacks.BATCH,
        verbose=False,
    )
    images = np.clip(attack.generate(examples.images, examples.labels), 0, 1)
    return read_correctly(model, images, examples, evaluation.epsilon)


ATTACKER = Attacker(
    "Square attack, no gradients",
    "answers",
    withstood,
    Budget(queries=1_000),
    doubles="queries",
    in_words=lambda budget: f"{budget.queries:,} queries",
)
