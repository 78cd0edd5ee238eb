"""Targeted attacks: who was pushed where, and what the network read."""

import numpy as np
import pytest

from lib.stages import attacks, data, evaluation, models
from tests.helpers import TINY, shared_tiny_model

FGSM = attacks.Attack("fgsm", 0.2)
IMAGES = 2


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(models, "trained", lambda training: shared_tiny_model())
        return evaluation.targeted_predictions(evaluation.TargetedAttack(TINY, FGSM, IMAGES))


@pytest.fixture(scope="module")
def clean():
    images = data.load("mnist-tiny").test.per_class(IMAGES).images
    return images.reshape(data.CLASSES, IMAGES, 28, 28, 1)


def test_the_axes_are_source_image_and_target(found, clean):
    assert found.shape == (data.CLASSES, IMAGES, data.CLASSES)
    assert not np.array_equal(found, found.transpose(2, 1, 0))  # the order makes a difference
    for target in range(data.CLASSES):
        others = np.arange(data.CLASSES) != target
        images = clean[others].reshape(-1, 28, 28, 1)
        targets = np.full(len(images), target)
        pushed = attacks.perturb(shared_tiny_model(), FGSM, images, targets, targeted=True)
        read = models.predict(shared_tiny_model(), pushed).reshape(-1, IMAGES)
        np.testing.assert_array_equal(found[others, :, target], read)


def test_where_the_target_is_the_source_the_image_is_clean(found, clean):
    read = models.predict(shared_tiny_model(), clean.reshape(-1, 28, 28, 1))
    own = found[np.arange(data.CLASSES), :, np.arange(data.CLASSES)]
    np.testing.assert_array_equal(own, read.reshape(data.CLASSES, IMAGES))
