"""What an attacker knows and may spend, and which images withstand the attack.

Each attacker is a file of :mod:`lib.stages.attackers`: a rung of a ladder, the weakest first.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from lib.compute.cache import cached
from lib.compute.parameters import Count, Epsilon, Rung, Seed
from lib.stages import attacks, data, models, registry
from lib.stages.attacks import Attack
from lib.stages.data import Examples, Images
from lib.stages.defences import Defence, model_of, part_of, victim_of

T = TypeVar("T")

Verdict = NDArray[np.bool_]
"""One truth value an image: whether it is read correctly."""

Need = Literal["nothing", "answers", "a network elsewhere", "the recipe", "gradients"]
"""What of a model an attacker must have."""

SMALLEST_STEP = 0.01
CROSSING = 2.5
"""Steps together go so many times the radius: they can cross the ball and come to rest."""


@dataclass(frozen=True)
class Budget:
    """What an attacker may spend on an image; each one uses what concerns it.

    Attributes
    ----------
    steps
        Of one run of an attack with gradients. A run of APGD or FMN with a fifth of them goes
        ahead, see :func:`run_lengths`.
    step_size
        Of PGD; by default, steps that suffice to cross the ball, see :func:`crossing_step`. (APGD
        chooses its own, from ``2 * epsilon`` down.)
    restarts
        Runs from new random starts (for targeted PGD, towards each class). FMN has no random
        start, and so only one.
    queries
        Draws of noise, of which one suffices if the network misreads it, or steps of Square.
    """

    steps: Count = 40
    step_size: Epsilon | None = None
    restarts: Count = 1
    queries: Count = 1


def crossing_step(epsilon: Epsilon, steps: Count) -> float:
    """Return the size of steps that suffice to go from one side of the ball to the other."""
    return max(SMALLEST_STEP, min(1.0, CROSSING * epsilon / steps))


def run_lengths(budget: Budget, restarts: Count) -> list[int]:
    """Return the steps of each run of APGD or FMN.

    Their libraries attack to the last step whoever is fooled, so a short run goes ahead: the
    full ones are for the images that are left.
    """
    return [max(1, budget.steps // 5), *[budget.steps] * restarts]


def runs_in_words(budget: Budget) -> str:
    """Return the steps and restarts of a budget, for a table."""
    steps = f"{budget.steps:,} steps"
    return f"{budget.restarts} x {steps}" if budget.restarts > 1 else steps


@dataclass(frozen=True)
class Evaluation:
    """One attacker against one defence.

    Attributes
    ----------
    defence
        The model under attack.
    rung
        The attacker, by the name of its file.
    epsilon
        L-infinity radius.
    count
        The first so many test images; all if ``None``. MNIST's own are no random sample of its
        test set, see :meth:`lib.stages.data.Examples.first`.
    budget
        That of the attacker if not given.
    """

    defence: Defence
    rung: Rung
    epsilon: Epsilon = 0.3
    count: Count | None = None
    budget: Budget | None = None

    def __post_init__(self) -> None:
        """Fill in budget and step size: equal evaluations are equal values."""
        object.__setattr__(self, "budget", self.spent)

    @property
    def spent(self) -> Budget:
        """The budget, with a step size."""
        budget = self.budget or attacker(self.rung).budget
        if budget.step_size is None:
            budget = replace(budget, step_size=crossing_step(self.epsilon, budget.steps))
        return budget

    @property
    def pgd(self) -> Attack:
        """PGD with this budget."""
        return Attack("pgd", self.epsilon, self.spent.step_size or 1.0, self.spent.steps)

    @property
    def seed(self) -> Seed:
        """Of everything that the attacker draws."""
        return victim_of(self.defence).seed


Withstood = Callable[[Any, Evaluation, Examples], Verdict]
"""From a model, an evaluation and images that the model reads correctly to which withstand it."""


@dataclass(frozen=True)
class Attacker:
    """What a file of :mod:`lib.stages.attackers` says.

    Attributes
    ----------
    meaning
        For tables.
    needs
        What the attacker must have of the model under attack.
    withstood
        Runs the attack.
    budget
        What it spends if nothing else is said.
    doubles
        The part of the budget that has to be doubled to see whether it was enough; empty where
        none counts.
    in_words
        What a budget is, for tables.
    """

    meaning: str
    needs: Need
    withstood: Withstood
    budget: Budget = Budget()
    doubles: Literal["", "steps", "restarts", "queries"] = ""
    in_words: Callable[[Budget], str] = runs_in_words


def attacker(rung: Rung) -> Attacker:
    """Return the attacker of a name."""
    found: Attacker = registry.entry("attackers", rung).ATTACKER
    return found


def budget_in_words(evaluation: Evaluation) -> str:
    """Return what an attacker spends on an image, for a table."""
    return attacker(evaluation.rung).in_words(evaluation.spent)


def clean_examples(evaluation: Evaluation) -> Examples:
    """Return the clean images that an evaluation is about: of the test, if nothing else is said."""
    images = data.load(victim_of(evaluation.defence).dataset)
    part: Examples = getattr(images, part_of(evaluation.defence))
    return part if evaluation.count is None else part.first(evaluation.count)


def read_correctly(model: Any, images: Images, clean: Examples, epsilon: Epsilon) -> Verdict:
    """Tell which attacked images a model still reads correctly.

    Parameters
    ----------
    model
        Maps images to logits.
    images
        One for each of ``clean``, within the radius ``epsilon``.
    clean, epsilon
        What was attacked.

    Raises
    ------
    AttackError
        If an image is out of range or out of the ball.
    """
    if not len(clean):
        return np.ones(0, np.bool_)
    attacks.check(clean.images, images, epsilon)
    verdict: Verdict = models.predict(model, images) == clean.labels
    return verdict


def in_rounds(
    model: Any,
    evaluation: Evaluation,
    examples: Examples,
    rounds: Iterable[T],
    attack: Callable[[T, Examples], Images],
) -> Verdict:
    """Tell which images withstand several runs of an attack, each on those that are left.

    Parameters
    ----------
    model, evaluation, examples
        As of :data:`Withstood`.
    rounds
        What each run is given, as its number of steps.
    attack
        From that and from clean images to attacked ones, which are clipped to [0, 1].
    """
    left = np.arange(len(examples))
    for one in rounds:
        clean = examples.at(left)
        images = np.clip(attack(one, clean), 0, 1)
        left = left[read_correctly(model, images, clean, evaluation.epsilon)]
    return np.isin(np.arange(len(examples)), left)


@cached
def withstood(evaluation: Evaluation) -> Verdict:
    """Tell which test images a model reads correctly under an attack.

    Returns
    -------
    ndarray
        One truth value an image of :func:`clean_examples`. An image that is misread without any
        attack is not attacked, and counts as not withstood.
    """
    model, clean = model_of(evaluation.defence), clean_examples(evaluation)
    verdict: Verdict = models.predict(model, clean.images) == clean.labels
    if evaluation.epsilon > 0 and verdict.any():
        right = clean.at(verdict)
        verdict[verdict] = attacker(evaluation.rung).withstood(model, evaluation, right)
    return verdict


def accuracy(evaluation: Evaluation) -> float:
    """Return the share of test images that a model reads correctly under an attack."""
    return float(withstood(evaluation).mean())
