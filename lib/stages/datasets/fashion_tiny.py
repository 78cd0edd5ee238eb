"""800 of the images of ``fashion-5k``: 420 / 180 / 200, as those of ``mnist-tiny``."""

from lib.stages import data
from lib.stages.data import Examples
from lib.stages.datasets import fashion_5k
from lib.stages.datasets.mnist_tiny import IMAGES, TEST_IMAGES

ORDER = 3.5
CLASS_NAMES = fashion_5k.CLASS_NAMES
SOURCE = fashion_5k.SOURCE


def load() -> tuple[Examples, Examples]:
    """Part some of the images in those for training and validation, and those for the test."""
    whole, _ = fashion_5k.load()
    some, _ = data.stratified(whole, len(whole) - IMAGES)
    return data.stratified(some, TEST_IMAGES)
