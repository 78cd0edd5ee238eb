"""Random noise, the least that an attack must beat."""

from typing import Any

import numpy as np

from lib.stages.data import Examples
from lib.stages.threats import Attacker, Budget, Evaluation, Verdict, read_correctly

ORDER = 1


def withstood(model: Any, evaluation: Evaluation, examples: Examples) -> Verdict:
    """Try uniform noise, and noise of full strength and random sign, in turn.

    An image is lost at the first draw that is misread, so the attacker must see the answers.
    """
    random = np.random.default_rng(evaluation.seed)
    epsilon, left = evaluation.epsilon, np.arange(len(examples))
    for query in range(evaluation.spent.queries):
        clean = examples.at(left)
        if query % 2:
            noise = random.choice(np.array([-epsilon, epsilon], np.float32), clean.images.shape)
        else:
            noise = random.uniform(-epsilon, epsilon, clean.images.shape).astype(np.float32)
        images = np.clip(clean.images + noise, 0, 1)
        left = left[read_correctly(model, images, clean, epsilon)]
    return np.isin(np.arange(len(examples)), left)


ATTACKER = Attacker(
    "random noise, uniform and of full strength",
    "answers",
    withstood,
    Budget(queries=20),
    in_words=lambda budget: f"{budget.queries:,} draws",
)
