"""The attacks lower the accuracy, keep to their budget, and agree with other libraries."""

from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
from cleverhans.tf2.attacks.fast_gradient_method import fast_gradient_method
from cleverhans.tf2.utils import compute_gradient
from pydantic import ValidationError

from lib.fast import fused
from lib.stages import attacks, data, evaluation, models
from lib.stages.attacks import Attack
from tests.helpers import TINY, shared_tiny_model, tiny_model, tiny_split

FGSM = Attack("fgsm", epsilon=0.2)
PGD = Attack("pgd", epsilon=0.2, step_size=0.05, steps=5, random_start=False)
RANDOM_PGD = Attack("pgd", epsilon=0.2, step_size=0.05, steps=5)


class AttackTestTarget(NamedTuple):
    attack: Attack
    at_least: float
    """Fall of the accuracy or, if targeted, rise of the share that shows its target."""
    targeted: bool = False

    def __repr__(self):
        attack = self.attack
        start = "random" if attack.random_start else "clean"
        steps = f" {attack.steps} x {attack.step_size} {start} start"
        pgd = steps if attack.method == "pgd" else ""
        return f"{attack.method} {attack.epsilon}{pgd}{' targeted' * self.targeted}"


TARGETS = [
    AttackTestTarget(FGSM, 0.5),
    AttackTestTarget(Attack("fgsm", 1.0), 0.5),
    AttackTestTarget(Attack("fgsm", 0.05), 0.05),
    AttackTestTarget(FGSM, 0.15, targeted=True),
    AttackTestTarget(PGD, 0.6),
    AttackTestTarget(PGD, 0.3, targeted=True),
    AttackTestTarget(RANDOM_PGD, 0.6),
    AttackTestTarget(RANDOM_PGD, 0.3, targeted=True),
    AttackTestTarget(Attack("pgd", 0.05, 0.02, 4), 0.1),
    AttackTestTarget(Attack("pgd", 0.04, 0.1, 2), 0.03),  # a step beyond the radius
    AttackTestTarget(Attack("pgd", 1.0, 0.1, 4), 0.6),
]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch, tmp_path):
    monkeypatch.setattr(attacks, "BATCH", 32)
    monkeypatch.setenv("LIB_CACHE", str(tmp_path))


@pytest.fixture(scope="module")
def split():
    """Return two batches of images."""
    return tiny_split(64)


@pytest.fixture(scope="module")
def model():
    return shared_tiny_model()


def next_digits(split):
    return (split.labels + 1) % 10


def fgsm_by_hand(model, images, labels, epsilon):
    """Apply the definition of FGSM, with nothing compiled and nothing kept."""
    x = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(x)
        logits = model(x, training=False)
        loss = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    moved = images + np.float32(epsilon) * np.sign(tape.gradient(loss, x))
    return np.clip(moved, 0, 1)


def traces():
    return compute_gradient.experimental_get_tracing_count()


class TestEffect:
    @pytest.mark.parametrize("target", TARGETS, ids=repr)
    def test_lowers_the_accuracy_within_its_budget(self, model, split, target):
        attack, at_least, targeted = target
        labels = next_digits(split) if targeted else split.labels
        assert models.accuracy(model, split.images, split.labels) > 0.75
        before = models.accuracy(model, split.images, labels)

        adversarial = attacks.perturb(model, attack, split.images, labels, targeted=targeted)

        after = models.accuracy(model, adversarial, labels)
        assert (after - before if targeted else before - after) >= at_least
        assert adversarial.shape == split.images.shape
        assert adversarial.dtype == np.float32
        assert adversarial.min() >= 0
        assert adversarial.max() <= 1
        assert np.abs(adversarial - split.images).max() <= attack.epsilon + 1e-6

    @pytest.mark.parametrize("attack", [FGSM, PGD, RANDOM_PGD], ids=["fgsm", "pgd", "random pgd"])
    def test_epsilon_zero_returns_the_images(self, model, split, attack):
        still = Attack(**vars(attack) | {"epsilon": 0})
        adversarial = attacks.perturb(model, still, split.images, split.labels)
        np.testing.assert_array_equal(adversarial, split.images)

    @pytest.mark.parametrize("attack", [FGSM, PGD], ids=["fgsm", "pgd"])
    def test_a_larger_radius_is_a_stronger_attack(self, model, split, attack):
        accuracies = [
            models.accuracy(
                model,
                attacks.perturb(
                    model,
                    Attack(**vars(attack) | {"epsilon": epsilon}),
                    split.images,
                    split.labels,
                ),
                split.labels,
            )
            for epsilon in (0.0, 0.05, 0.1, 0.2)
        ]
        assert accuracies == sorted(accuracies, reverse=True)
        assert accuracies[0] > accuracies[-1] + 0.5

    def test_one_step_of_pgd_is_fgsm(self, model, split):
        one_step = Attack("pgd", 0.1, 0.1, 1, random_start=False)
        np.testing.assert_array_equal(
            attacks.perturb(model, one_step, split.images, split.labels),
            attacks.perturb(model, Attack("fgsm", 0.1), split.images, split.labels),
        )

    def test_the_images_given_are_not_changed(self, model, split):
        images = split.images.copy()
        attacks.perturb(model, RANDOM_PGD, images, split.labels)
        np.testing.assert_array_equal(images, split.images)

    def test_no_images(self, model, split):
        nothing = split.first(0)
        assert len(attacks.perturb(model, PGD, nothing.images, nothing.labels)) == 0

    def test_a_label_an_image(self, model, split):
        with pytest.raises(ValueError, match="64 images but 63 labels"):
            attacks.perturb(model, FGSM, split.images, split.labels[:-1])


class TestTraps:
    """What goes wrong silently with CleverHans on Keras 3."""

    def test_a_misclassified_image_is_not_pushed_back(self, model):
        tiny = data.load("mnist-tiny").test
        wrong = models.predict(model, tiny.images) != tiny.labels
        images, labels = tiny.images[wrong], tiny.labels[wrong]
        assert len(images) > 10
        guessed = fast_gradient_method(
            attacks.model_function(model), images, 0.05, np.inf, clip_min=0.0, clip_max=1.0
        )
        assert models.accuracy(model, guessed.numpy(), labels) > 0.1  # the trap is there
        given = attacks.perturb(model, Attack("fgsm", 0.05), images, labels)
        assert models.accuracy(model, given, labels) == 0

    @pytest.mark.parametrize("attack", [FGSM, PGD], ids=["fgsm", "pgd"])
    @pytest.mark.parametrize("bound", [0.0, 1.0])
    def test_pixels_at_either_bound_stay_within(self, model, split, attack, bound):
        images = np.full_like(split.images[:8], bound)
        adversarial = attacks.perturb(model, attack, images, split.labels[:8])
        moved = adversarial - images
        assert np.any(moved != 0)
        assert np.all(moved >= 0 if bound == 0 else moved <= 0)

    def test_dropout_is_off_whatever_is_traced_first(self, split):
        images, labels = split.images, split.labels
        expected = attacks.perturb(tiny_model(dropout=0), FGSM, images, labels)
        model = tiny_model(dropout=0.9)

        class Outer(keras.layers.Layer):
            def call(self, x, training=None):
                assert training
                self.adversarial = attacks.perturb(model, FGSM, images, labels)
                return x

        outer = Outer()
        outer(images, training=True)
        np.testing.assert_array_equal(outer.adversarial, expected)
        again = attacks.perturb(model, FGSM, images, labels)
        np.testing.assert_array_equal(again, expected)

    def test_a_model_is_traced_once(self, split):
        model = tiny_model(dropout=0.125)  # a shape that no other test has
        before = traces()
        for attack in (PGD, RANDOM_PGD, FGSM, Attack("fgsm", 0.1), Attack("pgd", 0.1, 0.02, 3)):
            for count in (64, 33, 7):
                some = split.first(count)
                attacks.perturb(model, attack, some.images, some.labels)
        assert traces() - before == 1

    def test_targeting_is_traced_once_more(self, split):
        model = tiny_model(dropout=0.375)
        before = traces()
        for targeted in (False, True, False, True):
            attacks.perturb(model, FGSM, split.images, split.labels, targeted=targeted)
        assert traces() - before == 2

    def test_networks_of_one_shape_share_what_is_traced_and_nothing_else(self, split):
        one, other = tiny_model(dropout=0.4375), models.build("shallow", dropout=0.4375)
        expected = [
            attacks.perturb(
                keras.Model(model.inputs, model.outputs), FGSM, split.images, split.labels
            )
            for model in (one, other)
        ]
        before = traces()
        found = [attacks.perturb(model, FGSM, split.images, split.labels) for model in (one, other)]
        assert traces() - before == 1
        np.testing.assert_array_equal(found, expected)
        assert np.abs(found[0] - found[1]).max() > 0

    def test_equal_models_have_functions_of_their_own(self):
        one, other = tiny_model(), tiny_model()
        assert attacks.model_function(one) is attacks.model_function(one)
        assert attacks.model_function(one) is not attacks.model_function(other)
        assert attacks.model_function(one, "probabilities") is not attacks.model_function(one)

    @pytest.mark.parametrize("attack", [FGSM, PGD], ids=["fgsm", "pgd"])
    @pytest.mark.parametrize("count", [1, 31, 33])
    def test_a_batch_that_is_not_full_gives_the_same_images(self, model, split, attack, count):
        whole = attacks.perturb(model, attack, split.images, split.labels)
        some = split.first(count)
        part = attacks.perturb(model, attack, some.images, some.labels)
        np.testing.assert_array_equal(part, whole[:count])

    def test_a_new_model_is_not_attacked_through_the_old_graph(self, model, split):
        old = attacks.perturb(model, FGSM, split.images, split.labels)
        logits = keras.layers.Dense(10)
        new = keras.Sequential([keras.Input((28, 28, 1)), *model.layers[:-1], logits])
        logits.set_weights([-value for value in model.layers[-1].get_weights()])
        attacked = attacks.perturb(new, FGSM, split.images, split.labels)
        assert not np.array_equal(attacked, old)
        by_hand = fgsm_by_hand(new, split.images, split.labels, FGSM.epsilon)
        np.testing.assert_array_equal(attacked, by_hand)

    def test_new_weights_are_attacked_afresh(self, split):
        model = tiny_model()
        old = attacks.perturb(model, FGSM, split.images, split.labels)
        keras.utils.set_random_seed(5)
        model.set_weights(models.build("shallow").get_weights())
        attacked = attacks.perturb(model, FGSM, split.images, split.labels)
        assert not np.array_equal(attacked, old)
        by_hand = fgsm_by_hand(model, split.images, split.labels, FGSM.epsilon)
        np.testing.assert_array_equal(attacked, by_hand)

    def test_probabilities_in_place_of_logits_weaken_the_attack(self, split):
        # A confident model: the second softmax leaves its gradients nothing to go by.
        model = tiny_model()
        model.layers[-1].set_weights([20 * value for value in model.layers[-1].get_weights()])
        targets = next_digits(split)
        wrongly = Attack(**vars(PGD) | {"loss_input": "probabilities"})
        reached, hardly = (
            models.accuracy(
                model,
                attacks.perturb(model, attack, split.images, targets, targeted=True),
                targets,
            )
            for attack in (PGD, wrongly)
        )
        assert reached > hardly + 0.2


class TestSeeds:
    def perturbed(self, split, seed, attack=RANDOM_PGD):
        model = shared_tiny_model()
        return attacks.perturb(model, attack, split.images, split.labels, seed=seed)

    def test_one_seed_gives_the_same_images(self, split):
        first = self.perturbed(split, 3)
        tf.random.uniform([5])  # what other code draws in between
        np.testing.assert_array_equal(self.perturbed(split, 3), first)

    def test_another_seed_starts_elsewhere(self, split):
        assert not np.array_equal(self.perturbed(split, 3), self.perturbed(split, 4))

    def test_a_seed_does_not_count_without_a_random_start(self, split):
        np.testing.assert_array_equal(
            self.perturbed(split, 3, PGD),
            self.perturbed(split, 4, PGD),
        )

    def test_starts_fill_the_ball(self, model, split):
        barely = Attack("pgd", epsilon=0.3, step_size=1e-6, steps=1)
        # At grey pixels nothing is clipped.
        grey = np.full_like(split.images, 0.5)
        starts = attacks.perturb(model, barely, grey, split.labels) - grey
        assert np.abs(starts).max() > 0.299
        assert np.abs(starts).mean() == pytest.approx(0.15, abs=0.01)  # uniform
        assert len(np.unique(starts[:, 0, 0, 0])) > 60  # every image has its own


class TestCheck:
    @pytest.fixture
    def images(self):
        return np.linspace(0, 1, 2 * 28 * 28, dtype=np.float32).reshape(2, 28, 28, 1)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_not_a_number(self, images, value):
        adversarial = images.copy()
        adversarial[1, 3, 3] = value
        with pytest.raises(attacks.AttackError, match="1 pixels are not finite"):
            attacks.check(images, adversarial, 0.3)

    @pytest.mark.parametrize(("pixel", "value"), [(0, -0.01), (-1, 1.01)])
    def test_out_of_range(self, images, pixel, value):
        adversarial = images.copy()
        adversarial.flat[pixel] = value
        with pytest.raises(
            attacks.AttackError, match=f"{value} .*instead of 0 to 1|{value} instead"
        ):
            attacks.check(images, adversarial, 0.3)

    @pytest.mark.parametrize("moved", [0.31, -0.31])
    def test_out_of_the_ball(self, images, moved):
        adversarial = images.copy()
        adversarial[0, -1, -1] += moved
        with pytest.raises(attacks.AttackError, match=r"moved by 0.31, more than epsilon 0.3"):
            attacks.check(images, adversarial, 0.3)

    def test_rounding_passes(self, images):
        attacks.check(images, np.clip(images + np.float32(0.3 + 1e-7), 0, 1), 0.3)

    def test_is_applied_after_every_attack(self, split, monkeypatch):
        monkeypatch.setattr(
            attacks, "fast_gradient_method", lambda function, images, *_, **__: images + 2
        )
        with pytest.raises(attacks.AttackError, match="range from"):
            attacks.perturb(tiny_model(), FGSM, split.images, split.labels)

    def test_a_model_without_gradients_is_noticed(self, split):
        model = tiny_model()
        model.layers[-1].set_weights([np.nan * v for v in model.layers[-1].get_weights()])
        with pytest.raises(attacks.AttackError, match="not finite"):
            attacks.perturb(model, FGSM, split.images, split.labels)


class TestExperiments:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("method", "cw"),
            ("epsilon", 1.1),
            ("epsilon", -0.1),
            ("epsilon", float("nan")),
            ("step_size", 0),
            ("steps", 0),
            ("loss_input", "softmax"),
        ],
    )
    def test_a_value_that_is_not_allowed_is_refused_by_name(self, field, value):
        with pytest.raises(ValidationError, match=field):
            Attack(**{"method": "pgd", field: value})

    @pytest.fixture
    def static(self, model, monkeypatch):
        monkeypatch.setattr(models, "trained", lambda training: model)
        return attacks.StaticSet(TINY, FGSM, "test", 40)

    def test_a_static_set_perturbs_its_clean_images_in_order(self, static, model):
        clean = attacks.clean_examples(static)
        np.testing.assert_array_equal(clean.images, data.load("mnist-tiny").test.images[:40])
        np.testing.assert_array_equal(
            attacks.craft(static), attacks.perturb(model, FGSM, clean.images, clean.labels)
        )

    @pytest.mark.parametrize("part", ["train", "validation", "test"])
    def test_a_static_set_can_be_a_whole_part(self, part):
        whole = attacks.clean_examples(attacks.StaticSet(TINY, FGSM, part))
        assert whole is getattr(data.load("mnist-tiny"), part)

    def test_the_seed_of_a_static_set_is_its_victim_s(self, static, model):
        clean = attacks.clean_examples(static)
        crafted = {}
        for seed in (0, 1):
            victim = models.Training(**vars(TINY) | {"seed": seed})
            crafted[seed] = attacks.craft(attacks.StaticSet(victim, RANDOM_PGD, "test", 40))
            expected = attacks.perturb(model, RANDOM_PGD, clean.images, clean.labels, seed=seed)
            np.testing.assert_array_equal(crafted[seed], expected)
        assert not np.array_equal(crafted[0], crafted[1])

    def test_static_accuracy_is_the_victim_s_on_the_static_set(self, static, model):
        adversarial, labels = attacks.craft(static), attacks.clean_examples(static).labels
        expected = models.accuracy(model, adversarial, labels)
        assert evaluation.static_accuracy(static) == expected < 0.3

    def test_every_image_meets_the_nine_other_digits(self, split):
        two = split.first(2)
        images, labels, targets = attacks.with_all_targets(two)
        for row in range(18):
            np.testing.assert_array_equal(images[row], two.images[row // 9])
        assert list(labels) == [two.labels[0]] * 9 + [two.labels[1]] * 9
        for label, nine in zip(two.labels, (targets[:9], targets[9:]), strict=True):
            assert list(nine) == [digit for digit in range(10) if digit != label]


class TestOracles:
    """Foolbox and ART, which share no code with CleverHans, return the same images.

    They get the logits that our attacks differentiate: the sign of a derivative that is nearly
    zero depends on the order of sums. That these are the model's is tested in test_fused.
    """

    @staticmethod
    def called(model):
        return lambda images, training=False: fused.logits(model, images)

    CASES = pytest.mark.parametrize(
        ("attack", "targeted"),
        [(FGSM, False), (PGD, False), (PGD, True)],
        ids=["fgsm", "pgd", "targeted pgd"],
    )

    @CASES
    def test_foolbox(self, model, split, attack, targeted):
        import foolbox

        labels = next_digits(split) if targeted else split.labels
        ours = attacks.perturb(model, attack, split.images, labels, targeted=targeted)
        oracle = (
            foolbox.attacks.LinfFastGradientAttack(random_start=False)
            if attack.method == "fgsm"
            else foolbox.attacks.LinfPGD(
                abs_stepsize=attack.step_size, steps=attack.steps, random_start=False
            )
        )
        digits = tf.constant(labels)
        theirs, _, _ = oracle(
            foolbox.TensorFlowModel(self.called(model), bounds=(0, 1)),
            tf.constant(split.images),
            foolbox.criteria.TargetedMisclassification(digits) if targeted else digits,
            epsilons=attack.epsilon,
        )
        np.testing.assert_array_equal(ours, theirs.numpy())

    @CASES
    def test_art(self, model, split, attack, targeted):
        from art.attacks.evasion import FastGradientMethod, ProjectedGradientDescentNumpy
        from art.estimators.classification import TensorFlowV2Classifier

        labels = next_digits(split) if targeted else split.labels
        ours = attacks.perturb(model, attack, split.images, labels, targeted=targeted)
        classifier = TensorFlowV2Classifier(
            self.called(model),
            nb_classes=10,
            input_shape=(28, 28, 1),
            loss_object=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            clip_values=(0, 1),
        )
        oracle = (
            FastGradientMethod(classifier, eps=attack.epsilon, batch_size=32)
            if attack.method == "fgsm"
            else ProjectedGradientDescentNumpy(
                classifier,
                eps=attack.epsilon,
                eps_step=attack.step_size,
                max_iter=attack.steps,
                targeted=targeted,
                batch_size=32,
                verbose=False,
            )
        )
        theirs = oracle.generate(split.images, y=np.eye(10)[labels])
        np.testing.assert_array_equal(ours, theirs)


def test_fgsm_is_the_same_attack_whatever_pgd_is_told() -> None:
    assert Attack("fgsm", steps=7, step_size=0.1, random_start=False) == Attack("fgsm")
    assert Attack("pgd", steps=7) != Attack("pgd")
