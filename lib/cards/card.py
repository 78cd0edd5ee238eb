"""A card: what the ladder leaves of a network, and whether its attacks can be trusted."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import BaseModel, computed_field

from lib.compute import cache, provenance
from lib.compute.parameters import Count, Dataset, Epsilon, Part, RefusedError, Rung
from lib.evidence import records
from lib.stages import adaptive, data, submitted
from lib.stages.adaptive import Budget, Evaluation
from lib.stages.submitted import Submitted

RUNGS: tuple[Rung, ...] = tuple(
    rung for rung in adaptive.RUNGS if rung not in ("static", "insider")
)
"""The attackers of chapter 7, but those who need to know how the network came about."""

QUICK: dict[Rung, Budget] = {
    "noise": Budget(queries=4),
    "transfer": Budget(steps=10),
    "pgd": Budget(steps=10),
    "targeted": Budget(steps=5),
}
"""Smaller budgets of the attackers that :func:`lib.stages.adaptive.patient_budgets` leaves out."""

TEMPLATES = Environment(
    loader=PackageLoader("lib.cards", "."),
    autoescape=lambda name: bool(name) and ".html" in str(name),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)

Say = Callable[[str], object]
"""Called with a line when something has finished."""


class Terms(BaseModel, frozen=True):
    """Under which terms a network is attacked: cards of equal terms can be compared."""

    dataset: Dataset = "mnist-5k"
    part: Part = "validation"
    images: Count = 100
    epsilon: Epsilon = 0.3
    quick: bool = False

    @property
    def budgets(self) -> dict[Rung, Budget]:
        """What the attackers may spend."""
        if self.quick:
            return QUICK | adaptive.patient_budgets(self.epsilon, 10, 1, 50)
        return adaptive.patient_budgets(self.epsilon, 50, 2, 500)


class Step(BaseModel):
    """One rung of the ladder: shares of the images, 0 to 1."""

    rung: Rung
    meaning: str
    budget: str
    accuracy: float
    worst_case: float


class Check(BaseModel):
    """One sanity check: a share of the images, and what it may be."""

    check: str
    value: float
    limit: float
    passed: bool

    @property
    def about_budgets(self) -> bool:
        """Whether it asks for more of what the attackers may spend."""
        return "twice" in self.check or "doublings" in self.check

    @property
    def in_words(self) -> str:
        """What was found."""
        return f"{self.check}: {self.value:.1%} of the images, {self.limit:.1%} allowed"


class Card(BaseModel):
    """What is known of one network."""

    name: str
    sha256: str
    terms: Terms
    notes: list[str]
    ladder: list[Step]
    checks: list[Check]
    versions: dict[str, str]
    code: str

    @computed_field  # type: ignore[prop-decorator]
    @property
    def clean(self) -> float:
        """Share of the images that are read correctly without an attack."""
        return self.ladder[0].accuracy

    @computed_field  # type: ignore[prop-decorator]
    @property
    def worst_case(self) -> float:
        """Share of the images that withstand all attacks, each by itself."""
        return self.ladder[-1].worst_case

    @computed_field  # type: ignore[prop-decorator]
    @property
    def flags(self) -> list[str]:
        """Which checks failed, in words."""
        return [check.in_words for check in self.checks if not check.passed]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def masked(self) -> list[str]:
        """Those of them that no larger budget mends: gradients or answers mislead the attacks."""
        failed = (check for check in self.checks if not check.passed)
        return [check.in_words for check in failed if not check.about_budgets]

    def markdown(self) -> str:
        """Return the card for people."""
        return TEMPLATES.get_template("card.md.jinja").render(card=self)

    def write(self, stem: Path) -> list[Path]:
        """Write ``STEM.card.md`` and ``STEM.card.json``; return both."""
        texts = {".card.md": self.markdown(), ".card.json": self.model_dump_json(indent=2) + "\n"}
        for suffix, text in texts.items():
            records.write(stem.with_name(stem.name + suffix), text)
        return [stem.with_name(stem.name + suffix) for suffix in texts]


def _counting(say: Say) -> Say:
    """Return what counts the attacks among the lines that the cache reports."""
    count = 0

    def listen(line: str) -> None:
        nonlocal count
        if line.startswith("NOT KEPT"):
            say(line)
        count += "rung=" in line
        if "rung=" in line and count % 10 == 0:
            say(f"  {count} attacks done")

    return listen


def evaluate(path: Path, terms: Terms, say: Say = lambda line: None) -> Card:
    """Attack a network from a file with the ladder of chapter 7, and check the attacks.

    Parameters
    ----------
    path
        A ``.keras`` file.
    terms
        Which images, which radius, which budgets.
    say
        Gets a line when a rung has finished. What has finished is kept in the cache.

    Raises
    ------
    RefusedError
        The file holds no network that can be attacked, or there are too few images.
    """
    try:
        if not path.is_file():
            raise RefusedError("there is no such file")
        defence = Submitted(submitted.keep(path), terms.dataset, terms.part)
        network = submitted.network(defence.sha256)
    except RefusedError as error:
        raise RefusedError(f"{path}: {error}") from None

    def one_by_one(function: Callable[[Evaluation], Any], these: Iterable[Evaluation]) -> list[Any]:
        verdicts = []
        for evaluation in these:
            with cache.heard_by(lambda line: None):
                verdicts.append(function(evaluation))
            say(f"{evaluation.rung}: {np.mean(verdicts[-1]):.1%} read correctly")
        return verdicts

    attacked = partial(
        lambda call, **more: call(
            defence, count=terms.images, epsilon=terms.epsilon, budgets=terms.budgets, **more
        )
    )
    try:
        adaptive.clean_examples(Evaluation(defence, "clean", count=terms.images))
        ladder = attacked(adaptive.ladder, rungs=RUNGS, run=one_by_one)
        say("sanity checks: are the attacks strong enough?")
        with cache.heard_by(_counting(say)):
            checks = attacked(adaptive.sanity_checks, rungs=RUNGS)
    except data.DataError as error:
        raise RefusedError(str(error)) from None
    ladder["meaning"] = ladder["rung"].map(adaptive.MEANINGS)
    ladder = ladder.rename(columns={"worst case": "worst_case"})
    return Card(
        name=path.stem,
        sha256=defence.sha256,
        terms=terms,
        notes=list(network.notes),
        ladder=ladder.to_dict("records"),
        checks=checks.to_dict("records"),
        versions=provenance.versions(),
        code=provenance.running_digest("stages.adaptive"),
    )
