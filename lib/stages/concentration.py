"""How concentrated the reaction of a network's filters is: all that chapter 11 needs of a study."""

from typing import TypedDict

import numpy as np

from lib.compute.cache import cached
from lib.stages import data, filters
from lib.stages.filters import Selection


class Layer(TypedDict):
    """One convolution of a network under a study."""

    top: list[int]
    """How often each filter is among the most changed ones of a pair."""
    by_class: list[list[int]]
    """The filters that the pairs of each class alone would choose."""


@cached
def layers(selection: Selection) -> list[Layer]:
    """Return which filters react most, in each convolution of a network, the first one first.

    Parameters
    ----------
    selection
        Its study, and the fraction that is the top of a pair and the share that is chosen.
    """
    fraction = selection.fraction
    found: list[Layer] = []
    for changes in filters.measure(selection.study):
        count = filters.how_many(fraction, changes.shape[1])
        parts = np.split(changes, data.CLASSES)  # ordered by class
        own = [filters.ranking(part, fraction)[:count].tolist() for part in parts]
        found.append({"top": filters.times_in_top(changes, fraction).tolist(), "by_class": own})
    return found
