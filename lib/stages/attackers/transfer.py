"""Images from an undefended network of the attacker's own."""

from dataclasses import replace
from typing import Any

from lib.stages.attackers import static
from lib.stages.attacks import StaticSet
from lib.stages.data import Examples
from lib.stages.defences import part_of, victim_of
from lib.stages.threats import Attacker, Evaluation, Verdict

ORDER = 3

EPOCHS = 4
"""An attacker's own network needs no last tenth of a per cent."""


def surrogate_set(evaluation: Evaluation) -> StaticSet:
    """Return the adversarial images of an attacker who cannot reach the defended model.

    The surrogate is undefended whatever it stands for: the attacker knows that there is a defence,
    but does not carry it out.
    """
    victim = victim_of(evaluation.defence)
    surrogate = replace(victim, seed=victim.seed + 1, max_epochs=EPOCHS)
    part = part_of(evaluation.defence)
    return StaticSet(surrogate, evaluation.pgd, part, evaluation.count)


def withstood(model: Any, evaluation: Evaluation, examples: Examples) -> Verdict:
    """Show images that PGD crafted on the surrogate."""
    return static.judged(model, evaluation, examples, surrogate_set(evaluation))


ATTACKER = Attacker(
    "images crafted on another undefended network",
    "a network elsewhere",
    withstood,
    in_words=lambda budget: "none of its own",
)
