"""What can be attacked: an undefended network, a defended one, a planted fake, a reader's own."""

from dataclasses import replace
from functools import lru_cache
from typing import Any

import keras
from pydantic.dataclasses import dataclass

from lib.compute.parameters import Part
from lib.stages import hardening, models, submitted, training
from lib.stages.hardening import Hardening
from lib.stages.submitted import Submitted
from lib.stages.training import FineTuning


@dataclass(frozen=True)
class Masked:
    """A planted fake defence: a trained network whose logits are multiplied.

    The softmax saturates, so that float32 gradients of the cross-entropy vanish. No prediction
    changes, and no image is any harder to find.
    """

    victim: models.Training
    scale: float = 1_000.0


Defence = models.Training | FineTuning | Hardening | Masked | Submitted


def victim_of(defence: Defence) -> models.Training:
    """Return the undefended network that a defence starts from, or itself.

    Of a submitted network it is one of ours: nobody knows what that one started from.
    """
    return defence if isinstance(defence, models.Training) else defence.victim


def part_of(defence: Defence) -> Part:
    """Return which images of its data set a defence is attacked on."""
    return defence.part if isinstance(defence, Submitted) else "test"


@lru_cache(maxsize=32)
def model_of(defence: Defence) -> Any:
    """Return the model of a defence, the same object each time: do not change it."""
    match defence:
        case FineTuning():
            return training.defended(defence)
        case Hardening():
            return hardening.hardened(defence)
        case Masked():
            honest = models.trained(defence.victim)
            scaled = keras.layers.Rescaling(defence.scale)
            layers = honest.layers if isinstance(honest, keras.Sequential) else [honest]
            return keras.Sequential([keras.Input(honest.input_shape[1:]), *layers, scaled])
        case Submitted():
            return submitted.network(defence.sha256).model
    return models.trained(defence)


def copy_of(defence: Defence) -> Defence:
    """Return what comes of it when somebody else follows the same recipe, with another seed.

    A fine-tuning starts from the same undefended network. A fake has no training of its own, and of
    a submitted network none is known, so that what is left of them is that network.
    """
    match defence:
        case FineTuning() | Hardening():
            return replace(defence, seed=defence.victim.seed + 1)
        case Masked() | Submitted():
            return defence.victim
    return replace(defence, seed=defence.seed + 1)
