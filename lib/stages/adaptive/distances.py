"""How far away the nearest adversarial image is."""

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from lib.compute.cache import cached
from lib.compute.parameters import Count
from lib.stages import adapters, models
from lib.stages.defences import Defence, model_of
from lib.stages.threats import Evaluation, clean_examples


@dataclass(frozen=True)
class CarliniWagner:
    """The attack of Carlini and Wagner (2017) for small L2 distances, as Foolbox has it.

    Attributes
    ----------
    defence
        The model under attack.
    count
        The first so many test images.
    steps, step_size
        Of Adam, in each search.
    searches
        Of the constant that weighs the two parts of the loss: tenfold until something is found,
        then by halves.
    first_constant
        Small, as the smallest constant that finds something gives the nearest image.
    """

    defence: Defence
    count: Count = 20
    steps: Count = 500
    step_size: float = 0.02
    searches: Count = 9
    first_constant: float = 0.01


@cached
def l2_distances(attack: CarliniWagner) -> NDArray[np.float32]:
    """Return the L2 distance to the nearest adversarial image that the attack finds.

    Returns
    -------
    ndarray
        Shape ``(count,)``: 0 where the image itself is misread, infinite where the attack finds
        none. Foolbox then returns a black image, which is no find, whatever the network reads in
        it.
    """
    from foolbox.attacks.carlini_wagner import L2CarliniWagnerAttack

    clean = clean_examples(Evaluation(attack.defence, "clean", count=attack.count))
    model = model_of(attack.defence)
    found = L2CarliniWagnerAttack(
        binary_search_steps=attack.searches,
        steps=attack.steps,
        stepsize=attack.step_size,
        initial_const=attack.first_constant,
    )
    _, images, _ = found(
        adapters.foolbox_model(adapters.callable_model(models.shared_model(model))),
        tf.constant(clean.images),
        tf.constant(clean.labels),
        epsilons=None,
    )
    images = images.numpy()
    distances = np.linalg.norm((images - clean.images).reshape(len(clean), -1), axis=1)
    fooled = models.predict(model, images) != clean.labels
    nothing = ~images.any(axis=(1, 2, 3))
    distances[nothing | ~fooled] = np.inf
    distances[models.predict(model, clean.images) != clean.labels] = 0
    nearest: NDArray[np.float32] = distances.astype(np.float32)
    return nearest
