"""The paper's own test: images that were crafted before the defence."""

from typing import Any

from lib.stages import attacks
from lib.stages.attacks import Attack, StaticSet
from lib.stages.data import Examples
from lib.stages.defences import part_of, victim_of
from lib.stages.threats import Attacker, Evaluation, Verdict, clean_examples, read_correctly
from lib.stages.training import FineTuning

ORDER = 2


def static_set(evaluation: Evaluation) -> StaticSet:
    """Return the images of the paper's tables, with the paper's own budget.

    Of all test images, as those tables need them: so they are in the cache already.
    """
    defence = evaluation.defence
    method = defence.attack.method if isinstance(defence, FineTuning) else "pgd"
    return StaticSet(victim_of(defence), Attack(method, evaluation.epsilon), part_of(defence))


def judged(model: Any, evaluation: Evaluation, examples: Examples, static: StaticSet) -> Verdict:
    """Tell which examples a model reads correctly as a static set has them."""
    images = attacks.craft(static)[examples.rows_in(clean_examples(evaluation))]
    return read_correctly(model, images, examples, evaluation.epsilon)


def withstood(model: Any, evaluation: Evaluation, examples: Examples) -> Verdict:
    """Show the images of the paper's tables."""
    return judged(model, evaluation, examples, static_set(evaluation))


ATTACKER = Attacker(
    "images crafted before the defence",
    "nothing",
    withstood,
    in_words=lambda budget: "none of its own",
)
