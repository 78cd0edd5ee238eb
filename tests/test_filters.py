"""Which filters are dominant: the measure, the counts, the choice and the order of the pairs."""

import tracemalloc
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from pydantic import ValidationError
from scipy.signal import correlate2d

from lib.evidence import paper
from lib.stages import attacks, data, filters, models
from lib.stages.attacks import Attack
from lib.stages.filters import Selection, Study

VICTIM = models.Training("mnist-tiny", "shallow", seed=3)
FGSM = Attack("fgsm", epsilon=0.2)
RANDOM = np.random.default_rng(0)

PARAMETERS = {"shallow": 55_594, "base": 120_042, "dense": 130_410}


@pytest.fixture(autouse=True)
def isolated(monkeypatch, tmp_path):
    monkeypatch.setattr(attacks, "BATCH", 16)
    monkeypatch.setenv("LIB_CACHE", str(tmp_path))


@pytest.fixture(scope="module")
def network():
    """Return an untrained network whose biases are not zero."""
    keras.utils.set_random_seed(0)
    model = models.build("shallow")
    for layer in models.conv_layers(model):
        kernel, bias = layer.get_weights()
        layer.set_weights([kernel, RANDOM.uniform(-0.1, 0.1, bias.shape)])
    return model


@pytest.fixture
def untrained(network, monkeypatch):
    """Let every study find the untrained network."""
    monkeypatch.setattr(models, "trained", lambda training: network)
    return network


def convolutions():
    return models.conv_layers(models.build("shallow"))


def random_pairs(count):
    return tuple(RANDOM.random((count, 28, 28, 1), np.float32) for _ in range(2))


class TestHowMany:
    @pytest.mark.parametrize(
        "cell", list(paper.table(12).itertuples()), ids=lambda c: f"{c[2]}-{c[1]}"
    )
    def test_gives_the_parameters_that_table_12_saves(self, cell):
        frozen, channels = 0, 1
        for kernel, count in zip((5, 3, 3), models.conv_filters(cell.model), strict=False):
            of_one_filter = kernel * kernel * channels + 1
            frozen += (count - filters.how_many(cell.fraction, count)) * of_one_filter
            channels = count
        assert frozen / PARAMETERS[cell.model] == pytest.approx(cell.value, abs=1e-4)

    @pytest.mark.parametrize(
        ("fraction", "count", "expected"),
        [(0, 32, 0), (1, 32, 32), (0.001, 32, 1), (0.5, 7, 4), (0.1, 30, 3), (0.28, 25, 7)],
    )
    def test_rounds_up_but_not_for_rounding_errors(self, fraction, count, expected):
        assert filters.how_many(fraction, count) == expected


class TestTimesInTop:
    @pytest.mark.parametrize(
        ("changes", "fraction", "expected"),
        [
            ([[3, 1, 2, 0], [0, 5, 1, 4]], 0.25, [1, 1, 0, 0]),
            ([[3, 1, 2, 0], [0, 5, 1, 4]], 0.5, [1, 1, 1, 1]),
            ([[3, 1, 2, 0], [9, 1, 2, 0], [3, 2, 1, 0]], 0.5, [3, 1, 2, 0]),
            ([[3, 1, 2, 0]], 0, [0, 0, 0, 0]),
            ([[3, 1, 2, 4]], 1, [1, 1, 1, 1]),
        ],
    )
    def test_counts_the_most_changed_filters_of_each_pair(self, changes, fraction, expected):
        counts = filters.times_in_top(np.array(changes, np.float32), fraction)
        np.testing.assert_array_equal(counts, expected)

    def test_of_equal_changes_the_first_ones_count(self):
        ties = np.ones((3, 64), np.float32)
        counts = filters.times_in_top(ties, 0.1)
        np.testing.assert_array_equal(counts, [3] * 7 + [0] * 57)

    def test_a_filter_without_change_never_counts(self):
        changes = np.array([[0, 0, 2, 0], [0, 0, 0, 0]], np.float32)
        np.testing.assert_array_equal(filters.times_in_top(changes, 0.5), [0, 0, 1, 0])

    def test_every_pair_has_as_many_places(self):
        changes = RANDOM.random((50, 64), np.float32) + 0.1
        assert filters.times_in_top(changes, 0.1).sum() == 50 * 7


class TestRanking:
    def test_counts_come_before_the_mean_change(self):
        changes = np.array([[5, 4, 0], [5, 4, 0], [0, 100, 1]], np.float32)
        np.testing.assert_array_equal(filters.ranking(changes, 1 / 3), [0, 1, 2])

    def test_equal_counts_are_ordered_by_the_mean_change(self):
        changes = np.array([[1, 9, 2, 3], [3, 9, 2, 3]], np.float32)
        np.testing.assert_array_equal(filters.ranking(changes, 0.25), [1, 3, 0, 2])

    @pytest.mark.parametrize("fraction", [0, 0.1, 1])
    def test_is_an_order_of_all_filters(self, fraction):
        order = filters.ranking(RANDOM.random((5, 32), np.float32), fraction)
        np.testing.assert_array_equal(np.sort(order), np.arange(32))


class TestDominant:
    @pytest.fixture
    def study(self, monkeypatch):
        first = np.array([[0.1, 5, 0.2, 4], [0.1, 4, 0.2, 5]], np.float32)
        second = np.array([[6, 0, 7], [6, 0, 7]], np.float32)
        monkeypatch.setattr(filters, "measure", lambda study: [first, second])
        return Study(VICTIM, FGSM)

    @pytest.mark.parametrize(
        ("fraction", "expected"),
        [
            (0, ((), ())),
            (0.1, ((1,), (2,))),
            (0.5, ((1, 3), (0, 2))),
            (1, ((0, 1, 2, 3), (0, 1, 2))),
        ],
    )
    def test_chooses_a_fraction_of_each_layer(self, study, fraction, expected):
        assert filters.choose(Selection(study, fraction)) == expected

    def test_the_least_dominant_are_the_last_of_the_same_order(self, study):
        assert filters.choose(Selection(study, 0.5, "least")) == ((0, 2), (0, 1))

    def test_random_filters_differ_by_draw_and_by_nothing_else(self, study):
        chosen = [filters.choose(Selection(study, 0.25, "random", draw)) for draw in range(8)]
        assert {tuple(map(len, choice)) for choice in chosen} == {(4, 8)}
        assert len(set(chosen)) > 4
        assert chosen[3] == filters.choose(Selection(study, 0.25, "random", 3))

    def test_by_norm_the_filters_with_the_largest_weights_come_first(self, study, monkeypatch):
        model = models.build("shallow")
        for layer, largest in zip(models.conv_layers(model), (7, 30), strict=True):
            kernel, bias = layer.get_weights()
            kernel[..., largest] *= 10
            layer.set_weights([kernel, bias])
        monkeypatch.setattr(models, "trained", lambda training: model)
        assert filters.choose(Selection(study, 0.01, "norm")) == ((7,), (30,))

    @pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
    def test_other_fractions_are_refused(self, study, fraction):
        with pytest.raises(ValidationError, match="fraction"):
            Selection(study, fraction=fraction)


class TestOutputChanges:
    def test_first_layer_is_a_correlation_after_relu(self, network):
        clean, adversarial = random_pairs(2)
        kernel, bias = models.conv_layers(network)[0].get_weights()

        def map_of(image, index):
            summed = correlate2d(image[..., 0], kernel[:, :, 0, index], mode="same")
            return np.maximum(summed + bias[index], 0)

        expected = [
            [abs(map_of(a, index) - map_of(b, index)).mean() for index in range(16)]
            for a, b in zip(clean, adversarial, strict=True)
        ]
        found = filters.output_changes(network, clean, adversarial)[0]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)

    @pytest.mark.parametrize("pairs", [1, 16, 37])
    def test_batches_give_what_all_maps_at_once_give(self, network, pairs):
        clean, adversarial = random_pairs(pairs)
        convolutions = models.conv_layers(network)
        outputs = keras.Model(network.inputs[0], [layer.output for layer in convolutions])
        found = filters.output_changes(network, clean, adversarial)
        assert [of_layer.shape for of_layer in found] == [(pairs, 16), (pairs, 32)]
        for of_layer, one, other in zip(found, outputs(clean), outputs(adversarial), strict=True):
            naive = np.abs(one.numpy() - other.numpy()).mean(axis=(1, 2))
            np.testing.assert_allclose(of_layer, naive, rtol=1e-4, atol=1e-6)

    def test_another_network_of_the_shape_is_not_taken_for_the_first(self, network):
        clean, adversarial = random_pairs(3)
        other = keras.models.clone_model(network)  # with new weights
        before = filters.output_changes(network, clean, adversarial)
        assert not np.allclose(filters.output_changes(other, clean, adversarial)[0], before[0])
        again = filters.output_changes(network, clean, adversarial)
        np.testing.assert_array_equal(again[0], before[0])

    def test_equal_images_change_nothing(self, network):
        clean, _ = random_pairs(3)
        assert not any(of_layer.any() for of_layer in filters.output_changes(network, clean, clean))


class TestMeasure:
    def test_pairs_are_ordered_by_class_image_and_target(self, untrained, monkeypatch):
        calls = []

        def mark_with_target(model, attack, images, labels, *, targeted, seed):
            calls.append(SimpleNamespace(attack=attack, targeted=targeted, seed=seed))
            marked = images.copy()
            marked[:, 0, 0, 0] = labels
            return marked

        def image_and_target(model, clean, adversarial):
            return [np.stack([clean.sum(axis=(1, 2, 3)), adversarial[:, 0, 0, 0]], axis=1)]

        monkeypatch.setattr(attacks, "perturb", mark_with_target)
        monkeypatch.setattr(filters, "output_changes", image_and_target)
        study = Study(VICTIM, FGSM, images_per_class=2, part="validation")
        (found,) = filters.measure(study)

        clean = data.load("mnist-tiny").validation.per_class(2)
        others = [[target for target in range(10) if target != label] for label in clean.labels]
        sums = [clean.images[i : i + 1].sum(axis=(1, 2, 3)) for i in range(20)]
        np.testing.assert_array_equal(found[:, 0], np.repeat(np.concatenate(sums), 9))
        np.testing.assert_array_equal(found[:, 1], np.concatenate(others))
        assert all(call == SimpleNamespace(attack=FGSM, targeted=True, seed=3) for call in calls)

    def test_is_the_change_of_all_targeted_pairs(self, untrained):
        study = Study(VICTIM, FGSM, images_per_class=1)
        images, _, targets = attacks.with_all_targets(filters.clean_examples(study))
        adversarial = attacks.perturb(untrained, FGSM, images, targets, targeted=True)
        expected = filters.output_changes(untrained, images, adversarial)
        for found, at_once in zip(filters.measure(study), expected, strict=True):
            np.testing.assert_allclose(found, at_once, rtol=1e-4, atol=1e-6)

    def test_another_attack_seed_starts_elsewhere_and_the_default_is_the_victims(
        self, untrained, monkeypatch
    ):
        seeds = []

        def note_seed(model, attack, images, labels, *, targeted, seed):
            seeds.append(seed)
            return images

        monkeypatch.setattr(attacks, "perturb", note_seed)
        for attack_seed in (None, 0, 5):
            filters.measure(Study(VICTIM, FGSM, 1, attack_seed=attack_seed))
        assert seeds == [3] * 10 + [0] * 10 + [5] * 10

    def test_memory_does_not_grow_with_the_output_maps_of_the_pairs(self, untrained, monkeypatch):
        given = []
        constant = filters.tf.constant
        monkeypatch.setattr(
            filters.tf, "constant", lambda value: given.append(len(value)) or constant(value)
        )

        def peak(images_per_class):
            study = Study(VICTIM, FGSM, images_per_class)
            tracemalloc.start()  # numpy reports its arrays to it
            try:
                filters.measure.__wrapped__(study)
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

        peak(1)  # compiles
        per_pair = (peak(20) - peak(4)) / (9 * (20 - 4))
        image = 28 * 28 * 4
        maps = sum(layer.output.shape[1] ** 2 * layer.filters * 4 for layer in convolutions())
        # The images of one class and their copies, and one number a filter and pair of all.
        assert per_pair < 8 * image < maps
        assert max(given) == attacks.BATCH

    def test_part_says_which_images(self):
        loaded = data.load("mnist-tiny")
        for part in ("validation", "test"):
            split = filters.clean_examples(Study(VICTIM, FGSM, 2, part))
            expected = getattr(loaded, part).per_class(2)
            np.testing.assert_array_equal(split.images, expected.images)
            np.testing.assert_array_equal(split.labels, np.repeat(np.arange(10), 2))

    def test_too_many_images_are_refused_by_name_before_anything_trains(self, monkeypatch):
        monkeypatch.setattr(models, "trained", lambda training: pytest.fail("it trains"))
        with pytest.raises(data.DataError, match="21 images a class asked for, but class 0 has"):
            filters.measure(Study(VICTIM, FGSM, images_per_class=21))

    @pytest.mark.parametrize("wrong", [{"images_per_class": 0}, {"part": "train"}])
    def test_other_studies_are_refused(self, wrong):
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            Study(VICTIM, FGSM, **wrong)
