"""The attacks of other libraries: the Adversarial Robustness Toolbox (ART) and Foolbox."""

import warnings
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from lib.compute.parameters import Count
from lib.stages import attacks, data, models
from lib.stages.data import Examples, Images, Labels
from lib.stages.threats import (
    Attacker,
    Budget,
    Evaluation,
    Verdict,
    in_rounds,
    run_lengths,
    runs_in_words,
)

ApgdLoss = Literal["cross_entropy", "difference_logits_ratio"]


def foolbox_model(model: Callable[..., tf.Tensor]) -> Any:
    """Return a model as Foolbox wants it; the device is named, as its own search warns."""
    from foolbox.models.tensorflow import TensorFlowModel

    device = "/GPU:0" if tf.config.list_physical_devices("GPU") else "/CPU:0"
    return TensorFlowModel(model, bounds=(0, 1), device=device)


@lru_cache(maxsize=32)
def callable_model(model: Any) -> Callable[..., tf.Tensor]:
    """Return a model as the libraries call it, traced once for batches of any size."""
    images = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)

    @tf.function(input_signature=[images])
    def logits(images: tf.Tensor) -> tf.Tensor:
        return attacks.logits(model, images)

    def call(images: Any, training: bool = False) -> tf.Tensor:
        return logits(tf.cast(images, tf.float32))

    return call


def art_model(function: Callable[..., tf.Tensor], input_shape: tuple[int, ...]) -> Any:
    """Return a function from images to logits as the Adversarial Robustness Toolbox wants it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it misses PyTorch, and tqdm misses widgets
        from art.estimators.classification import TensorFlowV2Classifier
    return TensorFlowV2Classifier(
        model=function,
        nb_classes=data.CLASSES,
        input_shape=input_shape,
        loss_object=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        clip_values=(0.0, 1.0),
    )


@lru_cache(maxsize=32)
def art_classifier(model: Any) -> Any:
    """Return a model as ART wants it: logits, without dropout."""
    return art_model(callable_model(model), model.input_shape[1:])


class AllMisreadError(Exception):
    """No image of the batch is left to attack."""


class QueryRecorder:
    """A model that judges each image that an attack asks it about, and keeps what it misreads.

    ART's APGD judges only its last step, and returns the random start where that one failed.
    This keeps the first misread query of each image, and ends the attack when all have one.

    Parameters
    ----------
    model
        Maps images to logits.
    """

    def __init__(self, model: Any) -> None:
        self.function = callable_model(model)
        self.classifier = art_model(self, model.input_shape[1:])
        self.labels: Labels | None = None
        self.found: Images = np.empty(0, np.float32)
        self.misread = np.empty(0, np.bool_)

    def __call__(self, images: Any, training: bool = False) -> tf.Tensor:
        """Return the logits of a batch, and judge it if it is the one under attack."""
        logits = self.function(images)
        # ART compiles its predictions of whole sets. The queries of an attack are eager, and for
        # the whole batch, unless the model is random and ART has misread some of it meanwhile.
        if self.labels is not None and tf.executing_eagerly() and len(images) == len(self.labels):
            answers = tf.argmax(logits, axis=1).numpy()
            new = (answers != self.labels) & ~self.misread
            self.found[new] = np.asarray(images)[new]
            self.misread |= new
            if self.misread.all():
                raise AllMisreadError
        return logits

    def first_misread(self, attack: Any, examples: Examples) -> Images:
        """Run an attack of ART, made for :attr:`classifier`, on images that are read correctly.

        Returns
        -------
        ndarray
            Of each image the first query that was misread; the image itself where none was.
        """
        found = examples.images.copy()
        for start in range(0, len(examples), attacks.BATCH):
            rows = np.arange(start, min(start + attacks.BATCH, len(examples)))
            # ART leaves out whom it sees misread, and then no batch would fit the labels.
            answers = tf.argmax(self.function(examples.images[rows]), axis=1).numpy()
            rows = rows[answers == examples.labels[rows]]
            if not len(rows):
                continue
            images, labels = examples.images[rows], examples.labels[rows]
            self.found, self.labels = images.copy(), labels
            self.misread = np.zeros(len(rows), np.bool_)
            try:
                attack.generate(images, labels)
            except AllMisreadError:
                pass
            finally:
                self.labels = None
            found[rows] = self.found
        return found


def apgd_attack(
    classifier: Any, evaluation: Evaluation, steps: Count, loss: ApgdLoss = "cross_entropy"
) -> Any:
    """Return ART's APGD from one random start."""
    from art.attacks.evasion import AutoProjectedGradientDescent

    return AutoProjectedGradientDescent(
        classifier,
        norm=np.inf,
        eps=float(evaluation.epsilon),
        eps_step=2 * float(evaluation.epsilon),
        max_iter=steps,
        nb_random_init=1,
        loss_type=loss,
        batch_size=attacks.BATCH,
        verbose=False,
    )


def apgd(model: Any, evaluation: Evaluation, examples: Examples, *, loss: ApgdLoss) -> Verdict:
    """Run APGD from one random start after another, on the images that are left.

    Parameters
    ----------
    model, evaluation, examples
        As of :data:`lib.stages.threats.Withstood`.
    loss
        What it makes large, by ART's name.
    """
    recorder = QueryRecorder(models.shared_model(model))
    keras.utils.set_random_seed(evaluation.seed)  # ART draws from NumPy's global generator

    def misread(steps: Count, clean: Examples) -> Images:
        attack = apgd_attack(recorder.classifier, evaluation, steps, loss)
        return recorder.first_misread(attack, clean)

    lengths = run_lengths(evaluation.spent, evaluation.spent.restarts)
    return in_rounds(model, evaluation, examples, lengths, misread)


def apgd_attacker(meaning: str, loss: ApgdLoss) -> Attacker:
    """Return the attacker of a file that names the loss APGD makes large, by ART's name."""
    return Attacker(
        meaning,
        "gradients",
        partial(apgd, loss=loss),
        Budget(steps=100, restarts=3),
        doubles="steps",
        in_words=lambda budget: f"{run_lengths(budget, 1)[0]:,}, then {runs_in_words(budget)}",
    )
