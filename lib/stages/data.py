"""Images and their labels: reading, checking and splitting them into three parts.

Each data set is a file of :mod:`lib.stages.datasets`; what they share is here.
"""

import hashlib
import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lib.compute.parameters import Dataset
from lib.stages import registry

Images = NDArray[np.float32]
"""Pixels in [0, 1], shape ``(images, 28, 28, 1)``."""

Labels = NDArray[np.int64]
"""Classes 0 to 9, shape ``(images,)``."""

Arrays = Mapping[str, NDArray[np.generic]]
"""What a data set is published as: ``x_train``, ``y_train`` and so on."""

Download = Callable[[], tuple[tuple[Any, Any], tuple[Any, Any]]]
"""What Keras has for a data set: training images and labels, test images and labels."""

CLASSES = 10
VALIDATION_SHARE = 0.3  # the paper trains on 42,000 of 60,000 images (its section 4)
SPLIT_SEED = 0


class DataError(Exception):
    """The images asked for are not to be had; the message says what was tried and what to do."""


@dataclass(frozen=True)
class Examples:
    """Some images and their labels."""

    images: Images
    labels: Labels

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def at(self, rows: NDArray[np.intp] | NDArray[np.bool_] | slice) -> "Examples":
        """Return the examples at some rows."""
        return Examples(self.images[rows], self.labels[rows])

    def rows_in(self, whole: "Examples") -> NDArray[np.intp]:
        """Return at which rows of a larger set these examples are; the order is the same."""
        rows, row = [], 0
        for image, label in zip(self.images, self.labels, strict=True):
            while label != whole.labels[row] or not np.array_equal(image, whole.images[row]):
                row += 1
            rows.append(row)
            row += 1
        return np.array(rows, np.intp)

    def first(self, count: int) -> "Examples":
        """Return the first ``count`` images.

        All parts are shuffled but one: the test images of full MNIST keep their published order,
        which is not random, so that their first thousand are no random sample of them.

        Raises
        ------
        DataError
            If ``count`` is below 0 or there are fewer.
        """
        if not 0 <= count <= len(self):
            raise DataError(f"{count} images asked for, but there are only {len(self)}")
        return self.at(slice(count))

    def per_class(self, count: int) -> "Examples":
        """Return ``count`` images of every class, class by class.

        Raises
        ------
        DataError
            If ``count`` is below 1 or a class has fewer images.
        """
        if count < 1:
            raise DataError(f"{count} images a class asked for: it takes at least 1")
        rows = []
        for label in range(CLASSES):
            members = np.flatnonzero(self.labels == label)
            if len(members) < count:
                raise DataError(
                    f"{count} images a class asked for, but class {label} has only {len(members)}"
                    " here: ask for fewer or take a larger data set"
                )
            rows.append(members[:count])
        return self.at(np.concatenate(rows))


@dataclass(frozen=True)
class Data:
    """A data set in the three parts that every experiment keeps apart.

    ``class_names`` says what the labels 0 to 9 stand for, ``source`` where the images come from
    and under which licence.
    """

    train: Examples
    validation: Examples
    test: Examples
    class_names: tuple[str, ...]
    source: str


def idx_md5(array: NDArray[np.uint8]) -> str:
    """Return the MD5 of an array written as the original IDX stream, as published for MNIST.

    Parameters
    ----------
    array
        Images ``(n, 28, 28)`` or labels ``(n,)``.
    """
    header = struct.pack(f">{1 + array.ndim}I", 2048 + array.ndim, *array.shape)
    return hashlib.md5(header + array.tobytes(), usedforsecurity=False).hexdigest()


def checked(arrays: Arrays, md5: Mapping[str, str], source: str) -> dict[str, NDArray[np.uint8]]:
    """Return arrays as bytes, those and no others whose sums are as they should be.

    Parameters
    ----------
    arrays
        Whole numbers from 0 to 255, of any type.
    md5
        The sum of each array, see :func:`idx_md5`.
    source
        Where they come from, for the message.

    Raises
    ------
    DataError
        If an array holds other values or other than whole numbers.
    """
    values = {}
    for name, expected in md5.items():
        with np.errstate(invalid="ignore"):  # not a number is refused below
            values[name] = arrays[name].astype(np.uint8)
        if not np.array_equal(values[name], arrays[name]):
            raise DataError(
                f"{source}: array {name} holds other values than whole numbers from 0 to 255: "
                "delete the file and get it again"
            )
        found = idx_md5(values[name])
        if found != expected:
            raise DataError(
                f"{source}: array {name} is not the published one (MD5 {found} instead of "
                f"{expected}): delete the file and get it again"
            )
    return values


def _read_npz(path: Path, variable: str, names: Mapping[str, str]) -> Arrays:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in names}
    except FileNotFoundError:
        raise DataError(f"{variable} names {path}, which does not exist") from None
    except Exception as error:  # a damaged archive can make zipfile raise nearly anything
        raise DataError(
            f"{path} is not a complete {variable.removesuffix('_NPZ').lower()}.npz ({error}): "
            "delete the file and get it again"
        ) from None


def published(
    variable: str, md5: Mapping[str, str], download: Download
) -> tuple[Examples, Examples]:
    """Return the training and the test images of a full data set, checked.

    Parameters
    ----------
    variable
        Of the environment, as ``MNIST_NPZ``: it may name an ``.npz`` file.
    md5
        The sums of ``x_train``, ``y_train``, ``x_test`` and ``y_test``.
    download
        Keras's ``load_data`` for it, called where no file is named.
    """
    named = os.environ.get(variable)
    if named:
        arrays, source = _read_npz(Path(named), variable, md5), named
    else:
        arrays, source = _kept_by_keras(variable, download), "the copy that Keras keeps"
    values = checked(arrays, md5, source)
    return (
        examples(values["x_train"], values["y_train"]),
        examples(values["x_test"], values["y_test"]),
    )


def _kept_by_keras(variable: str, download: Download) -> Arrays:
    try:
        (x_train, y_train), (x_test, y_test) = download()
    except Exception as error:  # whatever urllib, zipfile or Keras raise: the way out is the same
        raise DataError(
            f"the full data set is not to be had: {variable} is not set, and Keras found no copy "
            f"in its cache and could not download one ({error}). Set {variable} to an .npz file, "
            "or use dataset mnist-5k, which needs no network"
        ) from None
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def examples(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Examples:
    """Return bytes, shapes ``(n, 28, 28)`` and ``(n,)``, as networks take them."""
    pixels = images[..., np.newaxis].astype(np.float32) / np.float32(255)
    return Examples(pixels, labels.astype(np.int64))


def stratified(whole: Examples, held_out: int) -> tuple[Examples, Examples]:
    """Part examples in two, shuffled, with the same share of every class in both.

    Parameters
    ----------
    whole
        What is parted, the same way each time.
    held_out
        How many go to the second part.
    """
    from sklearn.model_selection import train_test_split

    kept, out = train_test_split(
        np.arange(len(whole)),
        test_size=held_out,
        stratify=whole.labels,
        random_state=SPLIT_SEED,
    )
    return whole.at(kept), whole.at(out)


@lru_cache(maxsize=2)
def load(dataset: Dataset) -> Data:
    """Return a data set in three parts: for training, validation and test.

    Parameters
    ----------
    dataset
        A file of :mod:`lib.stages.datasets`.

    Returns
    -------
    Data
        Read-only arrays, which do not depend on any seed of an experiment. The parts are
        stratified by class and shuffled, but for published test images, which stay as they are.

    Raises
    ------
    DataError
        If the data set is unknown, cannot be had, or differs from its sums.
    """
    try:
        source = registry.entry("datasets", dataset)
    except ValueError as error:
        raise DataError(str(error)) from None
    training, test = source.load()
    train, validation = stratified(training, round(len(training) * VALIDATION_SHARE))
    for part in (train, validation, test):
        part.images.flags.writeable = False
        part.labels.flags.writeable = False
    return Data(train, validation, test, tuple(source.CLASS_NAMES), source.SOURCE)
