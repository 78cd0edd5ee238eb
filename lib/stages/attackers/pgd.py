"""PGD from a random start, with steps that suffice to cross the ball."""

from typing import Any

from lib.stages import robustness
from lib.stages.data import Examples
from lib.stages.threats import Attacker, Evaluation, Verdict

ORDER = 6


def withstood(
    model: Any, evaluation: Evaluation, examples: Examples, *, targeted: bool = False
) -> Verdict:
    """Follow the gradient of the cross-entropy; an image is lost at the first misread step."""
    return robustness.robust(
        model,
        evaluation.pgd,
        examples.images,
        examples.labels,
        restarts=evaluation.spent.restarts,
        seed=evaluation.seed,
        targeted=targeted,
    )


ATTACKER = Attacker("PGD", "gradients", withstood)
