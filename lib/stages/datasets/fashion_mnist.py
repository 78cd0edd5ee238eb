"""Fashion-MNIST, whole: 42,000 / 18,000 / 10,000 images, split as MNIST is."""

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lib.stages import data
from lib.stages.data import Examples

ORDER = 5
CLASS_NAMES = (
    "T-shirt",
    "Trousers",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Boot",
)
SOURCE = "Fashion-MNIST of H. Xiao, K. Rasul and R. Vollgraf (2017), Zalando SE, MIT licence"
MD5 = {
    "x_train": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "y_train": "9018921c3c673c538a1fc5bad174d6f9",
    "x_test": "8181f5470baa50b63fa0f6fddb340f0a",
    "y_test": "15d484375f8d13e6eb1aabb0c3f46965",
}
"""Of each array, written as the original stream."""

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package ``dataset-fashion-mnist`` puts the four original files."""


def _stream(path: Path) -> NDArray[np.uint8]:
    """Read one of the original files: a header of sizes, then bytes."""
    content = gzip.decompress(path.read_bytes())
    dimensions = content[3]
    shape = struct.unpack(f">{dimensions}I", content[4 : 4 + 4 * dimensions])
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def load() -> tuple[Examples, Examples]:
    """Read the file that ``FASHION_MNIST_NPZ`` names, else Debian's, else Keras's copy."""

    def elsewhere() -> Any:
        names = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
        files = [DEBIAN / f"{name}-ubyte.gz" for name in names]
        if all(path.is_file() for path in files):
            x_train, y_train, x_test, y_test = map(_stream, files)
            return (x_train, y_train), (x_test, y_test)
        from keras.datasets import fashion_mnist  # only this way needs Keras

        return fashion_mnist.load_data()

    return data.published("FASHION_MNIST_NPZ", MD5, elsewhere)
