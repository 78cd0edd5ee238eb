"""Accuracy of models, defended or not, on clean images and under attack."""

from lib import attacks, models
from lib.attacks import StaticSet
from lib.cache import cached


@cached
def static_accuracy(static: StaticSet) -> float:
    """Return the victim's own accuracy on a static set, 0 to 1."""
    labels = attacks.clean_split(static).labels
    return models.accuracy(models.trained(static.victim), attacks.craft(static), labels)
