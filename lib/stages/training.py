"""Adversarial training by the paper's protocol: on images crafted once, before the defence."""

from math import ceil
from typing import Any, Literal, NamedTuple

import keras
import numpy as np
from pydantic.dataclasses import dataclass
from tqdm import tqdm

from lib.compute.cache import cached
from lib.compute.parameters import Count, Epsilon, Seed
from lib.stages import attacks, data, filters, models, splitting
from lib.stages.attacks import Attack, StaticSet
from lib.stages.data import Images
from lib.stages.filters import Selection
from lib.stages.models import Weights

VALIDATION_IMAGES = 1_000
"""Largest number of validation images that a learning curve is measured on."""


@dataclass(frozen=True)
class FineTuning:
    """How a trained model is trained on with adversarial images.

    Attributes
    ----------
    victim
        The undefended model: training starts from its weights, and the adversarial images
        were crafted against it, once (sections 3.5 and 4 of the paper).
    attack
        The attack that crafts them.
    images
        ``adversarial`` ones alone, or ``mixed`` with the clean ones, as many of each. As
        controls of the mixed ones, as many of both together: ``clean`` ones alone, twice
        each, or clean ones and the same with uniform ``noise`` up to the attack's epsilon.
    selection
        Which convolution filters train; ``None`` for all of them, the paper's conventional
        adversarial training.
    dense_layers
        Whether the dense layers train too, as in the paper.
    epochs, batch_size
        The paper does not give them.
    seed
        Of dropout and of the order of the images; that of the victim if None.
    """

    victim: models.Training
    attack: Attack
    images: Literal["adversarial", "mixed", "clean", "noise"]
    selection: Selection | None = None
    dense_layers: bool = True
    epochs: Count = 3
    batch_size: Count = 128
    seed: Seed | None = None


class Tuned(NamedTuple):
    """The weights after fine-tuning, and validation accuracies after each epoch.

    ``history`` has the accuracy on ``clean`` and on ``static`` validation images, the value
    before the first epoch first.
    """

    weights: Weights
    history: dict[str, list[float]]


def training_images(tuning: FineTuning) -> data.Examples:
    """Return the images that a fine-tuning trains on, with their labels."""
    static = StaticSet(tuning.victim, tuning.attack, "train")
    clean = attacks.clean_examples(static)
    match tuning.images:
        case "adversarial":
            return data.Examples(attacks.craft(static), clean.labels)
        case "mixed":
            beside = attacks.craft(static)
        case "clean":
            beside = clean.images
        case "noise":
            beside = with_noise(clean.images, tuning.attack.epsilon, tuning.victim.seed)
    return data.Examples(
        np.concatenate([clean.images, beside]), np.concatenate([clean.labels, clean.labels])
    )


def with_noise(images: Images, epsilon: Epsilon, seed: Seed) -> Images:
    """Return images with uniform noise of up to ``epsilon`` a pixel, clipped to [0, 1]."""
    random = np.random.default_rng(seed)
    noisy: Images = images + random.uniform(-epsilon, epsilon, images.shape).astype(np.float32)
    return noisy.clip(0, 1)


@cached
def fine_tune(tuning: FineTuning) -> Tuned:
    """Fine-tune a model and return its weights in the original architecture.

    A selection is trained through :func:`lib.stages.splitting.selective`.
    """
    victim = tuning.victim
    validation = data.load(victim.dataset).validation
    count = min(VALIDATION_IMAGES, len(validation))
    static = StaticSet(victim, tuning.attack, "validation", count)
    clean, adversarial = attacks.clean_examples(static), attacks.craft(static)
    examples = training_images(tuning)

    trained = models.fit(victim).weights
    choice = None if tuning.selection is None else filters.choose(tuning.selection)

    # Right before the layers: dropout draws its seed when it is built.
    models.make_repeatable(victim.seed if tuning.seed is None else tuning.seed)
    original = models.untrained(victim)
    original.set_weights(trained)
    model = original if choice is None else splitting.selective(original, choice)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dense):
            layer.trainable = tuning.dense_layers

    falls_within = None
    if models.epochs_of_falling_rate(victim.architecture):
        falls_within = tuning.epochs * ceil(len(examples.images) / tuning.batch_size)
    models.compile_for_training(model, victim.learning_rate, falls_within)
    history: dict[str, list[float]] = {"clean": [], "static": []}

    def note_accuracies() -> None:
        history["clean"].append(models.accuracy(model, clean.images, clean.labels))
        history["static"].append(models.accuracy(model, adversarial, clean.labels))

    note_accuracies()
    for epoch in tqdm(range(tuning.epochs), desc="epochs", delay=5, leave=False):
        model.fit(
            examples.images,
            examples.labels,
            batch_size=tuning.batch_size,
            initial_epoch=epoch,
            epochs=epoch + 1,
            verbose=0,
        )
        note_accuracies()
    if choice is None:
        return Tuned(model.get_weights(), history)
    return Tuned(splitting.merged_weights(model, original, choice), history)


def defended(tuning: FineTuning) -> Any:
    """Return the fine-tuned model, an ordinary one of :func:`lib.stages.models.build`."""
    model = models.untrained(tuning.victim)
    model.set_weights(fine_tune(tuning).weights)
    return model
