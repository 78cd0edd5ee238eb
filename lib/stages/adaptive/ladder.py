"""Ladders: one attacker after another, and what is left."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lib.compute import registered
from lib.compute.parameters import Count, Epsilon, Rung
from lib.stages.defences import Defence
from lib.stages.threats import (
    Budget,
    Evaluation,
    Verdict,
    accuracy,
    attacker,
    budget_in_words,
    withstood,
)

RUNGS: tuple[Rung, ...] = registered.names("attackers")
"""All attackers, the weakest first."""

MEANINGS: dict[Rung, str] = {rung: attacker(rung).meaning for rung in RUNGS}
"""What each of them does, for tables."""

BUDGETS: dict[Rung, Budget] = {rung: attacker(rung).budget for rung in RUNGS}
"""What each of them spends if nothing else is said."""


def patient_budgets(
    epsilon: Epsilon, steps: Count, restarts: Count, queries: Count
) -> dict[Rung, Budget]:
    """Return the budgets of the attackers that are not plain PGD, by rung."""
    return {
        "square": Budget(queries=queries),
        "restarts": Budget(steps=steps, restarts=restarts),
        "apgd-ce": Budget(steps=steps, restarts=restarts),
        "apgd-dlr": Budget(steps=steps, restarts=restarts),
        "fmn": Budget(steps=steps),
    }


def ladder(
    defence: Defence,
    rungs: Sequence[Rung] = RUNGS,
    *,
    count: Count | None = None,
    epsilon: Epsilon = 0.3,
    budgets: Mapping[Rung, Budget] | None = None,
    run: Callable[..., Iterable[Any]] = map,
) -> pd.DataFrame:
    """Attack a defence with one rung after another.

    Parameters
    ----------
    defence
        The model under attack.
    rungs
        The attacks, in the order of the rows.
    count, epsilon
        As in :class:`lib.stages.threats.Evaluation`.
    budgets
        Those that differ from :data:`BUDGETS`.
    run
        What computes the rungs: one after another, or :func:`lib.compute.sweeps.run`.

    Returns
    -------
    pandas.DataFrame
        One row a rung: ``rung``, ``budget``, ``accuracy``, and ``worst case``, the share of the
        images that withstood this rung and all rows above it.
    """
    evaluations = [
        Evaluation(defence, rung, epsilon, count, (budgets or {}).get(rung)) for rung in rungs
    ]
    verdicts = list(run(withstood, evaluations))
    standing = np.logical_and.accumulate(verdicts)
    return pd.DataFrame(
        {
            "rung": rungs,
            "budget": map(budget_in_words, evaluations),
            "accuracy": np.mean(verdicts, axis=1),
            "worst case": np.mean(standing, axis=1),
        }
    )


def epsilon_curve(
    defence: Defence, epsilons: Sequence[Epsilon], *, count: Count | None = None
) -> pd.DataFrame:
    """Return the accuracy under PGD for several radii, columns ``epsilon`` and ``accuracy``."""
    found = [accuracy(Evaluation(defence, "pgd", epsilon, count)) for epsilon in epsilons]
    return pd.DataFrame({"epsilon": list(epsilons), "accuracy": found})


def worst_case(
    defence: Defence,
    rungs: Sequence[Rung] = RUNGS,
    *,
    count: Count | None = None,
    epsilon: Epsilon = 0.3,
    budgets: Mapping[Rung, Budget] | None = None,
) -> Verdict:
    """Tell which test images a model reads correctly under each of some attackers.

    Parameters
    ----------
    defence, rungs, count, epsilon, budgets
        As in :func:`ladder`. Once no image is left, the other rungs are not run.

    Returns
    -------
    ndarray
        One truth value an image of :func:`lib.stages.threats.clean_examples`.
    """
    standing = withstood(Evaluation(defence, "clean", epsilon, count))
    for rung in rungs:
        if standing.any():
            budget = (budgets or {}).get(rung)
            standing = standing & withstood(Evaluation(defence, rung, epsilon, count, budget))
    return standing
