"""What no attack can take: bounds that hold, that are tight where they can be, and their record."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from scipy.sparse import csr_array  # type: ignore[import-untyped]

from lib.cards import certificate
from lib.compute.parameters import RefusedError
from lib.evidence import records
from lib.site.cli import main
from lib.stages import certified, data, models, submitted
from lib.stages.submitted import Submitted

from .conftest import REAL_BOOK

KEPT = records.FULL_SCALE / "models"


def of_random_weights(name: str) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = models.build(name)
    rng = np.random.default_rng(0)
    weights = [w + 0.05 * rng.normal(size=w.shape) for w in model.get_weights()]
    model.set_weights(weights)
    return model


def differences(model: keras.Model, images: Any, label: int) -> Any:
    logits = np.asarray(model(images, training=False), np.float64)
    return np.delete(logits - logits[:, [label]], label, axis=1)


IMAGES = np.random.default_rng(1).uniform(0.1, 0.9, (3, 28, 28, 1)).astype(np.float32)


@pytest.mark.parametrize("name", models.ARCHITECTURES)
def test_without_a_radius_the_bounds_are_the_logits_of_the_network(name: str) -> None:
    model = of_random_weights(name)
    network = certified.blocks_of(model)
    for label, image in enumerate(IMAGES):
        bounds = certified.margins(network, image, label, 0.0)
        assert bounds == pytest.approx(differences(model, image[None], label)[0], abs=1e-4)


def test_where_no_neuron_changes_sides_the_bounds_are_exact() -> None:
    model, epsilon = of_random_weights("shallow"), 1e-6
    pixels = tf.constant(IMAGES[:1])
    with tf.GradientTape() as tape:
        tape.watch(pixels)
        logits = model(pixels, training=False)
        ahead = logits[:, 1:] - logits[:, :1]
    slopes = np.abs(tape.jacobian(ahead, pixels).numpy().reshape(9, -1)).sum(axis=1)
    exact = ahead.numpy()[0].astype(np.float64) + epsilon * slopes
    network = certified.blocks_of(model)
    at_rest = certified.margins(network, IMAGES[0], 0, 0.0)
    moved = certified.margins(network, IMAGES[0], 0, epsilon)
    assert moved - at_rest == pytest.approx(exact - ahead.numpy()[0], rel=0.02)


@pytest.mark.parametrize(
    ("name", "epsilon"), [("shallow", 0.003), ("shallow", 0.2), ("dense", 0.02)]
)
def test_no_image_in_the_ball_exceeds_the_bounds(name: str, epsilon: float) -> None:
    model = of_random_weights(name)
    network, rng = certified.blocks_of(model), np.random.default_rng(2)
    image, label = data.load("mnist-tiny").test.images[0], 3
    bounds = certified.margins(network, image, label, epsilon)
    corners = image + epsilon * rng.choice([-1, 1], (200, 28, 28, 1))
    inside = image + epsilon * rng.uniform(-1, 1, (100, 28, 28, 1))
    steps = [image[None]]
    for other in range(9):  # towards each class, from where the network is attacked best
        pixels = tf.constant(image[None])
        with tf.GradientTape() as tape:
            tape.watch(pixels)
            logits = model(pixels, training=False)
            ahead = tf.gather(logits[0], other + (other >= label)) - logits[0, label]
        steps.append(image[None] + epsilon * np.sign(tape.gradient(ahead, pixels)))
    tried = np.clip(np.concatenate([corners, inside, *steps]), 0, 1).astype(np.float32)
    assert (differences(model, tried, label) <= bounds + 1e-4).all()


def tiny(seed: int) -> tuple[certified.Network, Any]:
    """Return a network of a few neurons, and six pixels, so that a ball can be searched."""
    rng = np.random.default_rng(seed)
    first, second, third = (rng.normal(size=size) for size in ((12, 6), (8, 4), (5, 4)))
    blocks = [
        certified.Block(csr_array(first), rng.normal(size=12), rng.permutation(12).reshape(4, 3)),
        certified.Block(csr_array(second), rng.normal(size=8), np.arange(8).reshape(4, 2)),
        certified.Block(csr_array(third), rng.normal(size=5), np.arange(5)[:, None]),
    ]
    last = certified.Network(blocks, rng.normal(size=(5, 3)), rng.normal(size=3))
    return last, rng.uniform(0.3, 0.7, 6)


def ahead(network: certified.Network, pixels: Any) -> Any:
    """Return by how much classes 1 and 2 are ahead of class 0, for each row of pixels."""
    values = pixels.T
    for matrix, bias, groups in network.blocks:
        values = np.maximum((matrix @ values + bias[:, None])[groups].max(axis=1), 0)
    logits = values.T @ network.kernel + network.bias
    return logits[:, 1:] - logits[:, :1]


@pytest.mark.parametrize("seed", range(12))
def test_a_search_of_the_whole_ball_finds_nothing_beyond_the_bounds(seed: int) -> None:
    network, pixels = tiny(seed)
    rng = np.random.default_rng(seed)
    for epsilon in (0.02, 0.1, 0.3):
        bounds = certified.margins(network, pixels, 0, epsilon)
        moves = rng.uniform(-1, 1, (20_000, 6))
        moves[::2] = np.sign(moves[::2])
        found = ahead(network, pixels + epsilon * moves).max(axis=0)
        assert (found <= bounds + 1e-9).all()


def test_looking_further_back_makes_the_bounds_tighter(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [tiny(seed) for seed in range(12)]
    bounds = [certified.margins(*case, 0, 0.1) for case in cases]
    monkeypatch.setattr(certified, "_undecided", lambda block, low, high: np.arange(0))
    by_intervals = [certified.margins(*case, 0, 0.1) for case in cases]
    assert np.mean(bounds) < np.mean(by_intervals) - 0.1


def test_a_maximum_lies_between_its_lines() -> None:
    rng = np.random.default_rng(0)
    groups = rng.permutation(300).reshape(100, 3)
    low = rng.normal(size=300)
    high = low + rng.exponential(size=300)
    bounds = certified._relaxed(certified.Block(csr_array((300, 1)), low, groups), low, high)
    inside = rng.uniform(low, high, (400, 300))
    inside[::2] = np.where(inside[::2] > (low + high) / 2, high, low)
    for values in inside:
        largest = np.maximum(values[groups].max(axis=1), 0)
        assert (bounds.lower @ values <= largest + 1e-9).all()
        assert (largest <= bounds.upper @ values + bounds.shift + 1e-9).all()
        assert ((bounds.low <= largest) & (largest <= bounds.high)).all()


def test_a_larger_radius_never_gives_smaller_bounds_on_the_book_s_network() -> None:
    network = certified.blocks_of(
        submitted.network(submitted.keep(KEPT / "undefended.keras")).model
    )
    test = data.load("mnist-tiny").test
    image, label = test.images[0], int(test.labels[0])
    worst = [certified.margins(network, image, label, e).max() for e in (0, 0.005, 0.01, 0.05)]
    assert worst == sorted(worst)
    assert worst[0] < worst[1] < 0 < worst[-1]


def test_what_cannot_be_certified_is_refused_by_name() -> None:
    with pytest.raises(RefusedError, match="residual: only a stack"):
        certified.blocks_of(models.build("residual"))
    for layer in (
        keras.layers.Conv2D(4, 3, padding="same", activation="tanh", name="bent"),
        keras.layers.Conv2D(4, 3, activation="relu", name="bent"),
        keras.layers.Conv2D(4, 3, strides=2, padding="same", activation="relu", name="bent"),
        keras.layers.AveragePooling2D(2, name="bent"),
        keras.layers.MaxPooling2D(3, 2, name="bent"),
    ):
        plain = keras.layers.Conv2D(4, 3, padding="same", activation="relu")
        ends = keras.layers.Flatten(), keras.layers.Dense(10)
        model = keras.Sequential([keras.Input((28, 28, 1)), plain, layer, *ends])
        with pytest.raises(RefusedError, match=r"bent: .* not certified"):
            certified.blocks_of(model)
    ends = keras.layers.Flatten(), keras.layers.Dense(10, activation="softmax", name="shares")
    with pytest.raises(RefusedError, match="shares: the last layer"):
        certified.blocks_of(keras.Sequential([keras.Input((28, 28, 1)), *ends]))


class TestEnclosure:
    @pytest.fixture(autouse=True)
    def alone(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("LIB_CACHE", str(tmp_path))

    def network(self) -> dict[str, Submitted]:
        sha256 = submitted.keep(KEPT / "split_pgd.keras")
        return {"split_pgd": Submitted(sha256, "mnist-tiny", "test")}

    def test_what_is_robust_lies_between_a_proof_and_attacks(self) -> None:
        rows = certificate.enclosed(self.network(), 6, [0.005, 0.2], run=map)
        assert list(rows["network"]) == ["split_pgd"] * 2
        assert (rows["certified"] <= rows["withstood"]).all()
        assert (rows["withstood"] <= rows["clean"]).all()
        small, large = rows.to_dict("records")
        assert small["certified"] > 0.5
        assert large["certified"] == 0
        assert large["withstood"] < small["withstood"]

    def test_units_and_images_stay_in_their_order(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(certificate, "AT_ONCE", 2)
        monkeypatch.setattr(certificate, "RUNGS", ("fgsm",))

        def run(function: Any, cases: Sequence[Any]) -> list[Any]:
            if function is certified.certified:  # at 0.01 the first two images alone
                return [[case.epsilon == 0.01 and case.first == 0] * case.count for case in cases]
            return [np.arange(5) != (4 if case.epsilon == 0.01 else 0) for case in cases]

        rows = certificate.enclosed(self.network(), 5, [0.01, 0.1], run=run)
        assert list(rows["certified"]) == [0.4, 0]
        assert list(rows["withstood"]) == [0.8, 0.8]

    def test_a_certified_image_that_an_attack_takes_stops_everything(self) -> None:
        def run(function: Any, cases: Sequence[Any]) -> list[Any]:
            if function is certified.certified:
                return [[True] * case.count for case in cases]
            return [np.arange(3) != 1 for _ in cases]

        with pytest.raises(RuntimeError, match=r"split_pgd: test image 1 is certified at 0\.1,"):
            certificate.enclosed(self.network(), 3, [0.1], run=run)

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["branched.keras"], "branched.keras: residual: only a stack"),
            (["undefended.keras", "--images", "9999"], "mnist-tiny has"),
            (["undefended.keras", "--epsilon", "2"], "epsilon: 2"),
            (
                ["undefended.keras", "other/undefended.keras"],
                "another network is called undefended",
            ),
            (["missing.keras"], "'missing.keras' does not exist"),
        ],
    )
    def test_the_command_refuses_in_one_line(
        self, arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        models.build("residual").save("branched.keras")
        Path("other").mkdir()
        for copy in ("undefended.keras", "other/undefended.keras"):
            Path(copy).write_bytes((KEPT / "undefended.keras").read_bytes())
        command = ["certify", *arguments, "--dataset", "mnist-tiny"]
        found = CliRunner().invoke(main, command, obj=REAL_BOOK)
        assert found.exit_code == 2
        assert said in found.stderr.splitlines()[-1]


class TestRecord:
    def test_it_is_of_the_networks_that_the_book_keeps_and_encloses_them(self) -> None:
        rows = records.full_scale("certified")
        assert rows is not None
        # The two of chapter 11 have no part in it.
        of_chapters_7_and_9 = {p.stem for p in KEPT.glob("*.keras")} - {
            "hardened_mnist",
            "hardened_fashion",
        }
        assert set(rows["network"]) == of_chapters_7_and_9
        assert (rows["images"] >= 100).all()
        assert (rows["certified"] <= rows["withstood"]).all()
        assert (rows["withstood"] <= rows["clean"]).all()
        for _, of_network in rows.groupby("network"):
            assert of_network["epsilon"].is_monotonic_increasing
            assert of_network["certified"].is_monotonic_decreasing

    def test_some_of_it_is_proven_again(self) -> None:
        if not os.environ.get("MNIST_NPZ"):
            pytest.skip("all of MNIST is not here")
        rows = records.full_scale("certified")
        assert rows is not None
        lost = rows.query("network == 'undefended' and epsilon == 0.01")
        network = certified.blocks_of(keras.saving.load_model(KEPT / "undefended.keras"))
        test = data.load("mnist").test.first(int(lost["images"].item()))
        proven = [
            (certified.margins(network, image, int(label), 0.01) < -certified.SLACK).all()
            for image, label in zip(test.images, test.labels, strict=True)
        ]
        assert np.mean(proven) == lost["certified"].item()
