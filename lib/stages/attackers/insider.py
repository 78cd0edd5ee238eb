"""Images from a copy of the defended network, made by the same recipe."""

from typing import Any

from lib.stages import attacks
from lib.stages.data import Examples
from lib.stages.defences import copy_of, model_of
from lib.stages.threats import Attacker, Budget, Evaluation, Verdict, read_correctly

ORDER = 3.5


def withstood(model: Any, evaluation: Evaluation, examples: Examples) -> Verdict:
    """Show images that PGD crafted on the copy.

    The attacker has the leaked undefended network and knows how it is defended, but neither the
    weights that came of it nor the seed. So the attacker carries the defence out anew.
    """
    copy = model_of(copy_of(evaluation.defence))
    images = attacks.perturb(
        copy, evaluation.pgd, examples.images, examples.labels, seed=evaluation.seed
    )
    return read_correctly(model, images, examples, evaluation.epsilon)


ATTACKER = Attacker(
    "images crafted on a copy defended by the same recipe",
    "the recipe",
    withstood,
    Budget(steps=100),
    in_words=lambda budget: "none of its own",
)
