"""FGSM, one step of size epsilon."""

from typing import Any

from lib.stages import robustness
from lib.stages.attacks import Attack
from lib.stages.data import Examples
from lib.stages.threats import Attacker, Evaluation, Verdict

ORDER = 5


def withstood(model: Any, evaluation: Evaluation, examples: Examples) -> Verdict:
    """Take the step from the image itself."""
    attack = Attack("fgsm", evaluation.epsilon)
    return robustness.robust(model, attack, examples.images, examples.labels)


ATTACKER = Attacker("FGSM", "gradients", withstood, in_words=lambda budget: "1 step")
