"""Attackers who adapt: every attack is aimed at the defended model itself.

What chapters use: ladders (:mod:`lib.stages.adaptive.ladder`), the checks that the attacks can be
trusted (:mod:`lib.stages.adaptive.sanity`), and distances (:mod:`lib.stages.adaptive.distances`).
"""

from lib.stages.adaptive.distances import CarliniWagner, l2_distances
from lib.stages.adaptive.ladder import (
    BUDGETS,
    MEANINGS,
    RUNGS,
    epsilon_curve,
    ladder,
    patient_budgets,
    worst_case,
)
from lib.stages.adaptive.sanity import sanity_checks, without_gradient
from lib.stages.defences import Defence, Masked, model_of, victim_of
from lib.stages.threats import (
    Budget,
    Evaluation,
    accuracy,
    budget_in_words,
    clean_examples,
    crossing_step,
    withstood,
)

__all__ = [
    "BUDGETS",
    "MEANINGS",
    "RUNGS",
    "Budget",
    "CarliniWagner",
    "Defence",
    "Evaluation",
    "Masked",
    "accuracy",
    "budget_in_words",
    "clean_examples",
    "crossing_step",
    "epsilon_curve",
    "l2_distances",
    "ladder",
    "model_of",
    "patient_budgets",
    "sanity_checks",
    "victim_of",
    "without_gradient",
    "withstood",
    "worst_case",
]
