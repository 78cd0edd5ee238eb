"""The radius at which networks are attacked, by a rule that is stated before any result.

Of a grid, it is the largest radius at which a hardened base network keeps half of the validation
images under PGD. At a larger one nothing could be told: even training that keeps up would lose.
The test images have no part in it.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pandas as pd
from pydantic.dataclasses import dataclass

from lib.compute.cache import cached
from lib.compute.parameters import Count, Epsilon
from lib.stages import data, hardening, models, robustness
from lib.stages.attacks import Attack
from lib.stages.hardening import Hardening
from lib.stages.threats import crossing_step

GRID: tuple[Epsilon, ...] = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4)
"""Radii that are tried, where no others are said."""

HALF = 0.5

JUDGING_STEPS = 40


@dataclass(frozen=True)
class Trial:
    """A radius to be tried.

    Attributes
    ----------
    victim
        Gives the images, the network's shape, for the rule the base network's, and the seed.
    epsilon
        The radius, above 0, of the training and of the attack on what it has trained.
    count
        The first so many validation images; all if ``None``.
    epochs, crafting_steps, batch_size
        Of the training. Each step is a third of the radius.
    """

    victim: models.Training
    epsilon: Epsilon
    count: Count | None = None
    epochs: Count = 10
    crafting_steps: Count = 5
    batch_size: Count = 128

    @property
    def hardening(self) -> Hardening:
        """How the network is hardened."""
        crafting = Attack("pgd", self.epsilon, round(self.epsilon / 3, 6), self.crafting_steps)
        return Hardening(self.victim, crafting, epochs=self.epochs, batch_size=self.batch_size)


@cached
def kept(trial: Trial) -> float:
    """Return the share of the validation images that the hardened network reads under PGD.

    An image counts if it is read correctly as it is and after every step.
    """
    validation = data.load(trial.victim.dataset).validation
    clean = validation if trial.count is None else validation.first(trial.count)
    judge = Attack("pgd", trial.epsilon, crossing_step(trial.epsilon, JUDGING_STEPS), JUDGING_STEPS)
    network = hardening.hardened(trial.hardening)
    verdict = models.predict(network, clean.images) == clean.labels
    if verdict.any():
        right = clean.at(verdict)
        verdict[verdict] = robustness.robust(
            network, judge, right.images, right.labels, seed=trial.victim.seed
        )
    return float(verdict.mean())


def curve(trials: Sequence[Trial], *, run: Callable[..., Iterable[Any]] = map) -> pd.DataFrame:
    """Return what is kept in each trial: ``dataset``, ``epsilon``, ``seed`` and ``value``, a share.

    Parameters
    ----------
    trials
        The radii that are tried.
    run
        What computes them: one after another, or :func:`lib.compute.sweeps.run`.
    """
    rows = [
        (trial.victim.dataset, trial.epsilon, trial.victim.seed, share)
        for trial, share in zip(trials, run(kept, trials), strict=True)
    ]
    return pd.DataFrame(rows, columns=["dataset", "epsilon", "seed", "value"])


def by_the_rule(found: pd.DataFrame) -> Epsilon:
    """Return the largest radius at which half of the images are kept, on average over seeds.

    Parameters
    ----------
    found
        Of one data set, as :func:`curve` returns it.

    Raises
    ------
    ValueError
        At no radius of the grid are they.
    """
    means = found.groupby("epsilon")["value"].mean()
    enough = means[means >= HALF]
    if enough.empty:
        raise ValueError(
            f"half of the validation images are kept at none of the radii {[*means.index]}: "
            "try smaller ones"
        )
    return float(enough.index.max())
