"""Dropping fooled images changes no verdict: a plain loop over the same starts says the same."""

from dataclasses import replace
from itertools import pairwise

import keras
import numpy as np
import pytest
import tensorflow as tf

from lib.stages import accelerated, attacks, models, robustness
from lib.stages.attacks import Attack
from tests.helpers import shared_tiny_model, tiny_model, tiny_split

RANDOM = Attack("pgd", epsilon=0.06, step_size=0.01, steps=7)
STILL = replace(RANDOM, random_start=False)
FGSM = Attack("fgsm", epsilon=0.06)
LARGE_STEP = Attack("pgd", epsilon=0.04, step_size=0.1, steps=2)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(attacks, "BATCH", 32)


@pytest.fixture(params=["survivors", "every attempt"])
def way(request, monkeypatch):
    """Attack with lib.fast, and as if it were not there."""
    if request.param == "every attempt":
        monkeypatch.setattr(accelerated, "find", lambda name: None)
    return request.param


@pytest.fixture(scope="module")
def model():
    return shared_tiny_model()


@pytest.fixture(scope="module")
def split():
    """Return images that do not fill their last batch."""
    return tiny_split(75)


def gradient_of(model, images, labels):
    x = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(x)
        scores = model(x, training=False)
        losses = keras.losses.sparse_categorical_crossentropy(labels, scores, from_logits=True)
    return scores.numpy().argmax(axis=1), tape.gradient(losses, x).numpy()


def plain(model, attack, split, restarts=1, seed=0, targeted=False):
    """Run every attempt at every image to its end, and look at each iterate."""
    withstood = np.full(len(split), True)
    steps = 1 if attack.method == "fgsm" else attack.steps
    size = attack.epsilon if attack.method == "fgsm" else min(attack.step_size, attack.epsilon)
    for attempt in range(9 * restarts if targeted else restarts):
        targets = (split.labels + (attempt % 9 + 1 if targeted else 0)) % 10
        images = np.stack(
            [
                robustness.start(image, attack, index=index, restart=attempt, seed=seed)
                for index, image in enumerate(split.images)
            ]
        )
        for _ in range(steps + 1):
            attacks.check(split.images, images, attack.epsilon)
            seen, gradient = gradient_of(model, images, targets)
            withstood &= seen == split.labels
            step = np.float32(-size if targeted else size)
            images = np.clip(images + step * np.sign(gradient), 0, 1)
            change = np.clip(images - split.images, -attack.epsilon, attack.epsilon)
            images = np.clip(split.images + change.astype(np.float32), 0, 1)
    return withstood


@pytest.mark.usefixtures("way")
class TestVerdicts:
    @pytest.mark.parametrize(
        ("attack", "restarts"),
        [(RANDOM, 1), (RANDOM, 3), (STILL, 1), (FGSM, 1), (LARGE_STEP, 2)],
        ids=["random start", "restarts", "clean start", "fgsm", "large step"],
    )
    def test_are_those_of_the_plain_loop(self, model, split, attack, restarts):
        expected = plain(model, attack, split, restarts)
        assert 5 < expected.sum() < len(split) - 5  # there is something to tell apart
        found = robustness.robust(model, attack, split.images, split.labels, restarts=restarts)
        np.testing.assert_array_equal(found, expected)

    @pytest.mark.parametrize("restarts", [1, 2])
    def test_targeting_tries_all_nine_digits(self, model, split, restarts):
        attack, some = replace(RANDOM, steps=3), split.first(40)
        expected = plain(model, attack, some, restarts, targeted=True)
        found = robustness.robust(
            model, attack, some.images, some.labels, restarts=restarts, targeted=True
        )
        np.testing.assert_array_equal(found, expected)
        assert 5 < found.sum() < 35

    @pytest.mark.parametrize("attack", [STILL, FGSM], ids=["pgd", "fgsm"])
    def test_what_fools_in_the_end_was_not_withstood(self, model, split, attack):
        adversarial = attacks.perturb(model, attack, split.images, split.labels)
        fooled = models.predict(model, adversarial) != split.labels
        assert fooled.any()
        assert not robustness.robust(model, attack, split.images, split.labels)[fooled].any()

    def test_an_image_fooled_on_the_way_counts_even_if_it_comes_back(self, model, split):
        # One huge step over and over: many images are fooled at some step, not at the last.
        there_and_back = Attack("pgd", epsilon=0.3, step_size=0.3, steps=6, random_start=False)
        adversarial = attacks.perturb(model, there_and_back, split.images, split.labels)
        last = models.predict(model, adversarial) == split.labels
        found = robustness.robust(model, there_and_back, split.images, split.labels)
        assert found.sum() <= last.sum()
        np.testing.assert_array_equal(found, plain(model, there_and_back, split))

    def test_restarts_only_lower(self, model, split):
        weak = replace(RANDOM, steps=2, step_size=0.02)
        verdicts = [
            robustness.robust(model, weak, split.images, split.labels, restarts=restarts)
            for restarts in (1, 2, 8)
        ]
        for fewer, more in pairwise(verdicts):
            assert not (more & ~fewer).any()
        assert verdicts[-1].sum() < verdicts[0].sum()

    def test_do_not_depend_on_the_batches(self, model, split, monkeypatch):
        expected = robustness.robust(model, RANDOM, split.images, split.labels, restarts=2)
        for size in (7, 128):
            monkeypatch.setattr(attacks, "BATCH", size)
            found = robustness.robust(model, RANDOM, split.images, split.labels, restarts=2)
            np.testing.assert_array_equal(found, expected)

    def test_a_seed_is_another_draw(self, split):
        starts = [
            robustness.start(split.images[0], RANDOM, index=index, restart=restart, seed=seed)
            for seed, restart, index in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))
        ]
        assert len({image.tobytes() for image in starts}) == len(starts)

    def test_no_images(self, model, split):
        nothing = split.first(0)
        assert len(robustness.robust(model, RANDOM, nothing.images, nothing.labels)) == 0


class TestSteps:
    @pytest.mark.parametrize("attack", [STILL, replace(STILL, epsilon=0.02), LARGE_STEP])
    def test_lead_where_those_of_cleverhans_lead(self, model, split, attack):
        attack = replace(attack, random_start=False)
        size = min(attack.step_size, attack.epsilon)
        step, images = robustness.stepper(model, "logits"), split.images[:32]
        clean, labels = tf.constant(images), tf.constant(split.labels[:32])
        current = clean
        for _ in range(attack.steps):
            _, current = step(
                clean, current, labels, labels, tf.constant(attack.epsilon), tf.constant(size)
            )
        expected = attacks.perturb(model, attack, images, split.labels[:32])
        np.testing.assert_array_equal(current.numpy(), expected)

    def test_other_models_are_attacked_as_they_are(self, model, split):
        functional = keras.Model(model.inputs, model.outputs)
        found = robustness.robust(functional, RANDOM, split.images, split.labels)
        expected = robustness.robust(model, RANDOM, split.images, split.labels)
        np.testing.assert_array_equal(found, expected)

    def test_nothing_is_traced_twice(self, split):
        model = tiny_model(dropout=0.125)  # a shape that no other test has
        for attack, count, restarts in ((RANDOM, 75, 1), (RANDOM, 3, 2), (FGSM, 40, 1)):
            some = split.first(count)
            robustness.robust(model, attack, some.images, some.labels, restarts=restarts)
        step = robustness.stepper(models.shared_model(model), "logits")
        assert step.experimental_get_tracing_count() == 1


class TestRefusals:
    def test_an_image_outside_the_ball_is_never_judged(self, model, split, monkeypatch):
        honest = robustness.stepper(model, "logits")

        def too_far(clean, images, labels, targets, epsilon, step_size):
            return honest(clean, images, labels, targets, 2 * epsilon, step_size)

        monkeypatch.setattr(robustness, "stepper", lambda *_: too_far)
        far = replace(STILL, step_size=0.06)
        with pytest.raises(attacks.AttackError, match="more than epsilon"):
            robustness.robust(model, far, split.images, split.labels)

    def test_a_label_an_image(self, model, split):
        with pytest.raises(ValueError, match="75 images but 74 labels"):
            robustness.robust(model, RANDOM, split.images, split.labels[:-1])

    @pytest.mark.parametrize("attack", [STILL, FGSM], ids=["pgd", "fgsm"])
    def test_restarts_need_random_starts(self, model, split, attack):
        with pytest.raises(ValueError, match="2 restarts"):
            robustness.robust(model, attack, split.images, split.labels, restarts=2)
