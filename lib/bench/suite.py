"""What ``make bench`` measures of what the book says about speed, and where it writes it."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import pandas as pd

from lib.bench import costs, crafting, steps, trainings
from lib.bench.timing import compared, in_words, machine
from lib.compute.parameters import Architecture, Dataset
from lib.evidence import records
from lib.stages import data, models

Section = Literal["step", "survivors", "crafting", "sweeps"]
SECTIONS: tuple[Section, ...] = get_args(Section)

RECORD = records.BENCHMARK

STEP_GOALS: dict[Architecture, float] = {"base": 0.6, "dense": 0.5}
"""Largest share of the whole model's step that a selective step should take."""


@dataclass(frozen=True)
class Scale:
    """How much is measured; the defaults take some minutes on two cores."""

    rounds: int = 15
    architectures: tuple[Architecture, ...] = ("shallow", "base", "dense")
    training_steps: int = 20
    dataset: Dataset = "mnist-5k"
    victim: Architecture = "base"
    images: int = 512
    attack_steps: int = 40
    epochs: int = 10
    """Of each training in a sweep; sweeps take long, so they have rounds of their own."""
    sweep_rounds: int = 3


QUICK = Scale(3, ("shallow",), 1, "mnist-tiny", "shallow", 32, 2, epochs=1, sweep_rounds=1)
"""Enough to see that everything runs, and nothing to quote."""


def compare(section: Section, scale: Scale) -> Iterator[pd.DataFrame]:
    """Measure what a section compares, and give the rows of the record."""
    if section == "step":
        for architecture in scale.architectures:
            seconds = steps.training_steps(
                architecture, steps=scale.training_steps, rounds=scale.rounds
            )
            goal = STEP_GOALS.get(architecture)
            goals = {} if goal is None else {"selective": goal}
            by_keras, by_us = costs.WHOLE
            yield compared("step", architecture, seconds, by_keras, goals)
            yield compared("step, same kernel", architecture, seconds, by_us)
    elif section == "sweeps":
        yield trainings.compare_sweeps(scale.dataset, scale.epochs, scale.sweep_rounds)
    else:
        crafts = section == "crafting"
        compare_attacks = crafting.compare_crafting if crafts else crafting.compare_survivors
        model = models.trained(models.Training(scale.dataset, scale.victim))
        images = data.load(scale.dataset).test.first(scale.images)
        yield from compare_attacks(model, images, scale.attack_steps, scale.rounds)


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", double_precision=6))
    return rows


def measure(
    scale: Scale, sections: tuple[Section, ...] = SECTIONS, report: Callable[[str], None] = print
) -> dict[str, Any]:
    """Measure some sections, and report each comparison as soon as it is there.

    Returns
    -------
    dict
        What :func:`write` writes: ``machine``, ``scale``, ``rows`` as of
        :func:`lib.bench.timing.compared`, and ``counts`` as of :func:`lib.bench.costs.counted`.
    """
    described = machine()
    report(f"{described['processor']}, {described['cores']} cores, load {described['load']}")
    frames: list[pd.DataFrame] = []
    for section in sections:
        for rows in compare(section, scale):
            report(in_words(rows))
            frames.append(rows)
    counts = [
        costs.counted(models.build(name), steps.some_filters(name, steps.FRACTION)).assign(
            case=name
        )
        for name in scale.architectures
    ]
    timings, counted = (_records(pd.concat(some)) for some in (frames, counts))
    return {
        "machine": described,
        "scale": asdict(scale),
        "rows": timings,
        "counts": counted,
    }


def write(measured: dict[str, Any], path: Path = RECORD) -> None:
    """Write what was measured: the whole file, or the old one stays."""
    records.write(path, json.dumps(measured, indent=1) + "\n")
