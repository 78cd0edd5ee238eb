"""The rule for epsilon: which images it looks at, and which radius it gives."""

from collections.abc import Iterator
from dataclasses import replace

import pandas as pd
import pytest

from lib.stages import data, hardening, models, radius, robustness
from lib.stages.attacks import Attack
from lib.stages.radius import Trial

VICTIM = models.Training("mnist-tiny", "shallow", batch_size=32)
TRIAL = Trial(VICTIM, 0.05, count=60, epochs=15, crafting_steps=1)


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def test_what_is_kept_is_counted_on_validation_images_under_the_radius_of_the_training() -> None:
    network = hardening.hardened(TRIAL.hardening)
    clean = data.load("mnist-tiny").validation.first(60)
    attack = Attack("pgd", 0.05, 0.01, 40)
    right = models.predict(network, clean.images) == clean.labels
    read = clean.at(right)
    standing = robustness.robust(network, attack, read.images, read.labels, seed=VICTIM.seed)
    assert radius.kept(TRIAL) == standing.sum() / 60
    assert 0 < standing.sum() < right.sum() < 60


def test_a_larger_radius_keeps_less_and_the_rule_gives_the_largest_that_keeps_half() -> None:
    trials = [replace(TRIAL, epsilon=epsilon) for epsilon in (0.01, 0.05, 0.9)]
    found = radius.curve(trials)
    assert list(found["epsilon"]) == [0.01, 0.05, 0.9]
    assert set(found["dataset"]) == {"mnist-tiny"}
    assert found["value"].iloc[0] >= radius.HALF > found["value"].iloc[-1]
    at_half = found["value"] >= radius.HALF
    assert radius.by_the_rule(found) == found.loc[at_half, "epsilon"].max()


def frame(*rows: tuple[float, int, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["epsilon", "seed", "value"])


def test_exactly_half_is_enough_and_seeds_are_averaged() -> None:
    assert radius.by_the_rule(frame((0.1, 0, 0.5), (0.2, 0, 0.49))) == 0.1
    assert radius.by_the_rule(frame((0.2, 0, 0.4), (0.2, 1, 0.7), (0.1, 0, 0.9))) == 0.2


def test_a_grid_that_is_too_coarse_is_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match=r"at none of the radii \[0.1\]: try smaller ones"):
        radius.by_the_rule(frame((0.1, 0, 0.2)))
