"""Accuracy of models, defended or not, on clean images and under attack."""

import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass
from tqdm import tqdm

from lib.compute.cache import cached
from lib.compute.parameters import Count
from lib.stages import attacks, data, models, training
from lib.stages.attacks import Attack, StaticSet
from lib.stages.training import FineTuning


@cached
def static_accuracy(static: StaticSet) -> float:
    """Return the victim's own accuracy on a static set, 0 to 1."""
    labels = attacks.clean_examples(static).labels
    return models.accuracy(models.trained(static.victim), attacks.craft(static), labels)


@cached
def defence_accuracy(tuning: FineTuning) -> dict[str, float]:
    """Return the accuracy of a fine-tuned model as the paper measures it.

    Returns
    -------
    dict
        ``clean``: share of the test images that are read correctly; ``static``: share of them
        that are read correctly as the attack changed them for the undefended model, whether or
        not the clean image is. An attacker of the defended model does better.
    """
    model = training.defended(tuning)
    static = StaticSet(tuning.victim, tuning.attack, "test")
    clean = attacks.clean_examples(static)
    return {
        "clean": models.accuracy(model, clean.images, clean.labels),
        "static": models.accuracy(model, attacks.craft(static), clean.labels),
    }


@dataclass(frozen=True)
class TargetedAttack:
    """Test images, so many of each class, each pushed to all nine classes it does not show."""

    victim: models.Training
    attack: Attack
    images_per_class: Count = 100


@cached
def targeted_predictions(targeted: TargetedAttack) -> NDArray[np.int64]:
    """Return what the victim sees in the targeted adversarial images.

    Returns
    -------
    ndarray
        Shape ``(10, images_per_class, 10)``: source class, image, target class. Where the
        target is the source, the prediction for the clean image.
    """
    victim, count = targeted.victim, targeted.images_per_class
    clean = data.load(victim.dataset).test.per_class(count)  # too few: before anything trains
    model = models.trained(victim)
    found = np.empty((data.CLASSES, count, data.CLASSES), np.int64)
    for label in tqdm(range(data.CLASSES), desc="classes", delay=5, leave=False):
        rows = slice(label * count, (label + 1) * count)
        members = clean.at(rows)
        images, _, targets = attacks.with_all_targets(members)
        adversarial = attacks.perturb(
            model, targeted.attack, images, targets, targeted=True, seed=victim.seed
        )
        found[label][:, np.arange(data.CLASSES) != label] = models.predict(
            model, adversarial
        ).reshape(count, -1)
        found[label][:, label] = models.predict(model, members.images)
    return found
