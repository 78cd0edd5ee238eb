"""Random noise, the least that an attack must beat."""

from typing import Any

import numpy as np

from lib.stages.data import Examples, Images
from lib.stages.threats import Attacker, Budget, Evaluation, Verdict, in_rounds

ORDER = 1


def withstood(model: Any, evaluation: Evaluation, examples: Examples) -> Verdict:
    """Try uniform noise, and noise of full strength and random sign, in turn.

    An image is lost at the first draw that is misread, so the attacker must see the answers.
    """
    random, epsilon = np.random.default_rng(evaluation.seed), evaluation.epsilon

    def noisy(query: int, clean: Examples) -> Images:
        if query % 2:
            noise = random.choice(np.array([-epsilon, epsilon], np.float32), clean.images.shape)
        else:
            noise = random.uniform(-epsilon, epsilon, clean.images.shape).astype(np.float32)
        moved: Images = clean.images + noise
        return moved

    return in_rounds(model, evaluation, examples, range(evaluation.spent.queries), noisy)


ATTACKER = Attacker(
    "random noise, uniform and of full strength",
    "answers",
    withstood,
    Budget(queries=20),
    in_words=lambda budget: f"{budget.queries:,} draws",
)
