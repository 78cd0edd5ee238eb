"""FGSM and PGD by CleverHans, over whole data sets, checked after every attack."""

from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Any, Literal

import numpy as np
import tensorflow as tf
from cleverhans.tf2.attacks.fast_gradient_method import fast_gradient_method
from cleverhans.tf2.attacks.projected_gradient_descent import projected_gradient_descent
from pydantic import Field
from pydantic.dataclasses import dataclass
from tqdm import tqdm

from lib.compute.cache import cached
from lib.compute.parameters import Count, Epsilon, Method, Seed
from lib.stages import accelerated, data, models
from lib.stages.data import Images, Labels

BATCH = 128
"""Images attacked at once, at most; batches are filled up, so that nothing is traced twice."""

ROUNDING = 1e-6  # float32 sums overshoot the radius by about 4e-8


class AttackError(Exception):
    """An attack returned images that its threat model does not allow."""


@dataclass(frozen=True)
class Attack:
    """An attack and its budget.

    The paper names neither the step size nor the number of steps. The defaults are those of
    CleverHans's tutorial, with a random start; no pixel then moves more than 0.4 from where it
    started, which fits the paper's Table 5, nearly the same at epsilon 0.3 and 0.5.

    Attributes
    ----------
    method
        ``fgsm``, one step of size ``epsilon``, or ``pgd``.
    epsilon
        L-infinity radius in pixel units.
    step_size, steps, random_start
        Of PGD; FGSM ignores them. The start is uniform in the ball.
    loss_input
        What the cross-entropy is given. CleverHans takes it for logits; ``probabilities``
        shows what happens when a model ends with a softmax.
    """

    method: Method
    epsilon: Epsilon = 0.3
    step_size: Annotated[float, Field(gt=0, le=1)] = 0.01
    steps: Count = 40
    random_start: bool = True
    loss_input: Literal["logits", "probabilities"] = "logits"

    def __post_init__(self) -> None:
        """Give what FGSM ignores its default: equal attacks are equal values."""
        if self.method == "fgsm":
            for name in ("step_size", "steps", "random_start"):
                object.__setattr__(self, name, getattr(type(self), name))


def logits(model: Any, images: tf.Tensor) -> tf.Tensor:
    """Return a model's logits for attacks that follow their gradient; dropout is off."""
    fused = accelerated.find("lib.fast.fused:logits")
    return fused(model, images) if fused else model(images, training=False)


@lru_cache(maxsize=64)
def model_function(model: Any, loss_input: str = "logits") -> Callable[[tf.Tensor], tf.Tensor]:
    """Return the function that CleverHans differentiates, one for each model.

    Dropout is off whatever is traced first, and the function stays the same object, because
    CleverHans compiles anew for each new one.
    """

    def scores(images: tf.Tensor) -> tf.Tensor:
        return logits(model, images)

    def probabilities(images: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(logits(model, images))

    return {"logits": scores, "probabilities": probabilities}[loss_input]


def _perturb_batch(
    function: Callable[[tf.Tensor], tf.Tensor],
    attack: Attack,
    images: tf.Tensor,
    labels: tf.Tensor,
    targeted: bool,
) -> tf.Tensor:
    # y is always given: without it CleverHans attacks the predicted label, and may push a
    # misclassified image back to its class. Clipping needs both bounds.
    common = {"y": labels, "targeted": targeted, "clip_min": 0.0, "clip_max": 1.0}
    if attack.method == "fgsm":
        return fast_gradient_method(function, images, attack.epsilon, np.inf, **common)
    return projected_gradient_descent(
        function,
        images,
        attack.epsilon,
        min(attack.step_size, attack.epsilon),  # CleverHans refuses a step beyond the radius
        attack.steps,
        np.inf,
        rand_init=attack.random_start,
        sanity_checks=False,  # they fail with clip bounds; `check` takes their place
        **common,
    )


def batch_size(count: int) -> int:
    """Return in batches of how many images so many are attacked: 128, or fewer if they are few.

    Always a multiple of 32, as TensorFlow compiles a function anew for each size.
    """
    return min(BATCH, 32 * max(1, -(-count // 32)))


def perturb(
    model: Any,
    attack: Attack,
    images: Images,
    labels: Labels,
    *,
    targeted: bool = False,
    seed: Seed = 0,
) -> Images:
    """Return an adversarial image for each image.

    Parameters
    ----------
    model
        Maps images to logits.
    attack
        The attack and its budget.
    images
        Pixels in [0, 1], shape ``(n, 28, 28, 1)``.
    labels
        Shape ``(n,)``: the true classes, or, if ``targeted``, those to be predicted.
    targeted
        Whether to approach ``labels`` instead of leaving them.
    seed
        Of the random starts.

    Returns
    -------
    ndarray
        Same shape as ``images``, in [0, 1] and within ``epsilon`` of them.

    Raises
    ------
    AttackError
        If an image is out of range, out of the ball or not a number.
    ValueError
        If ``images`` and ``labels`` differ in length.
    """
    if len(images) != len(labels):
        raise ValueError(f"{len(images)} images but {len(labels)} labels")
    function = model_function(models.shared_model(model), attack.loss_input)
    adversarial = np.empty_like(images)
    if attack.method == "pgd" and attack.random_start:
        tf.random.set_seed(seed)  # also makes TensorFlow set every compiled function up again
    size = batch_size(len(images))
    starts = range(0, len(images), size)
    for start in tqdm(starts, desc=str(attack.method), delay=5, leave=False):
        rows = np.arange(start, start + size) % len(images)  # the last batch is filled up
        perturbed = _perturb_batch(
            function,
            attack,
            tf.constant(images[rows]),
            tf.constant(labels[rows]),
            targeted,
        )
        stop = min(start + size, len(images))
        adversarial[start:stop] = perturbed.numpy()[: stop - start]
    check(images, adversarial, attack.epsilon)
    return adversarial


def check(images: Images, adversarial: Images, epsilon: float) -> None:
    """Raise :class:`AttackError` unless the adversarial images keep to the threat model."""
    if not np.isfinite(adversarial).all():
        raise AttackError(f"{np.sum(~np.isfinite(adversarial))} pixels are not finite numbers")
    low, high = float(adversarial.min(initial=0)), float(adversarial.max(initial=0))
    if low < 0 or high > 1:
        raise AttackError(f"pixels range from {low:g} to {high:g} instead of 0 to 1")
    radius = float(np.abs(adversarial - images).max(initial=0))
    if radius > epsilon + ROUNDING:
        raise AttackError(f"a pixel moved by {radius:g}, more than epsilon {epsilon:g}")


@dataclass(frozen=True)
class StaticSet:
    """Adversarial images crafted once, against a model before any defence.

    Attributes
    ----------
    victim
        The undefended model, which sees the true labels: the attack is untargeted.
    attack
        The attack and its budget.
    part
        Which images are perturbed.
    count
        The first so many of them; all if ``None``.
    """

    victim: models.Training
    attack: Attack
    part: Literal["train", "validation", "test"]
    count: Count | None = None


def clean_examples(static: StaticSet) -> data.Examples:
    """Return the clean images that a static set perturbs, with their labels."""
    part: data.Examples = getattr(data.load(static.victim.dataset), static.part)
    return part if static.count is None else part.first(static.count)


@cached
def craft(static: StaticSet) -> Images:
    """Return the images of a static set, in the order of its clean ones."""
    clean = clean_examples(static)
    model = models.trained(static.victim)
    return perturb(model, static.attack, clean.images, clean.labels, seed=static.victim.seed)


def with_all_targets(examples: data.Examples) -> tuple[Images, Labels, Labels]:
    """Pair every image with each of the nine classes that it does not show.

    Returns
    -------
    images, labels, targets : ndarray
        ``9 * n`` rows; the nine rows of an image follow each other, targets ascending.
    """
    classes = np.arange(data.CLASSES)
    targets = np.concatenate([classes[classes != label] for label in examples.labels])
    times = data.CLASSES - 1
    return np.repeat(examples.images, times, axis=0), np.repeat(examples.labels, times), targets
