"""5,000 images of Fashion-MNIST that come with this package: 2,800 / 1,200 / 1,000."""

from pathlib import Path

import numpy as np

from lib.stages import data
from lib.stages.data import Examples
from lib.stages.datasets import fashion_mnist

ORDER = 4
CLASS_NAMES = fashion_mnist.CLASS_NAMES
SOURCE = f"{fashion_mnist.SOURCE}; 500 of the training images of each class, drawn with seed 0"
MD5 = {"x": "0054c0a62df009af819c3d2671d1bf62", "y": "e1e8f5a206cec0871972c98fe1f27953"}
FILE = Path(__file__).with_name("fashion_5k.npz")
TEST_IMAGES = 1_000


def load() -> tuple[Examples, Examples]:
    """Part the images in those for training and validation, and those for the test."""
    try:
        with np.load(FILE, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in MD5}
    except Exception as error:  # a damaged archive can make zipfile raise nearly anything
        raise data.DataError(
            f"{FILE.name}, which comes with this package, cannot be read ({error}): install it anew"
        ) from None
    values = data.checked(arrays, MD5, FILE.name)
    return data.stratified(data.examples(values["x"], values["y"]), TEST_IMAGES)
