"""MNIST, whole: 42,000 / 18,000 / 10,000 images, the sizes of the paper's section 4."""

from typing import Any

from lib.stages import data
from lib.stages.data import Examples

ORDER = 3
CLASS_NAMES = tuple("0123456789")
SOURCE = "MNIST of Y. LeCun, C. Cortes and C. J. C. Burges (1998), CC BY-SA 3.0"
MD5 = {
    "x_train": "6bbc9ace898e44ae57da46a324031adb",
    "y_train": "a25bea736e30d166cdddb491f175f624",
    "x_test": "2646ac647ad5339dbf082846283269ea",
    "y_test": "27ae3e4e09519cfbb04c329615203637",
}
"""Of each array, as published with the data set."""


def load() -> tuple[Examples, Examples]:
    """Read the file that ``MNIST_NPZ`` names, else Keras's cache or download."""

    def download() -> Any:
        from keras.datasets import mnist  # only this way needs Keras

        return mnist.load_data()

    return data.published("MNIST_NPZ", MD5, download)
