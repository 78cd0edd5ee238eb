"""Whether the attacks on a defence can be trusted to be strong.

What tells a defence from one that only hides its gradients (Carlini et al. 2019; Athalye et al.
2018).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf
from numpy.typing import NDArray

from lib.compute.parameters import Count, Epsilon, Rung
from lib.stages import attacks, models
from lib.stages.adaptive.ladder import BUDGETS, RUNGS, epsilon_curve, worst_case
from lib.stages.data import Examples
from lib.stages.defences import Defence, model_of
from lib.stages.threats import Budget, Evaluation, Verdict, attacker, clean_examples, withstood

WITH_GRADIENTS: tuple[Rung, ...] = tuple(
    rung for rung in RUNGS if attacker(rung).needs == "gradients"
)
"""Rungs that need gradients, also of losses that a saturated softmax does not mask."""

BLACK_BOX: tuple[Rung, ...] = tuple(
    rung
    for rung in RUNGS
    if rung != "clean" and attacker(rung).needs in ("nothing", "answers", "a network elsewhere")
)
"""Rungs that need neither gradients of the model under attack nor a copy of it."""

WHITE_BOX: tuple[Rung, ...] = ("fgsm", "pgd", "restarts")
"""Rungs that follow the gradient of the cross-entropy, which a masked gradient misleads."""

TOLERATED = 0.005
"""Share of the images by which a sanity check may be off; one image if that is more."""

ROUNDING = 1e-9


def gradient_sizes(model: Any, examples: Examples) -> NDArray[np.float32]:
    """Return the largest derivative of the loss by a pixel, for each image, shape ``(n,)``."""
    sizes = []
    for start in range(0, len(examples), attacks.BATCH):
        rows = slice(start, start + attacks.BATCH)
        images = tf.constant(examples.images[rows])
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
                examples.labels[rows], model(images, training=False)
            )
        gradients = np.abs(tape.gradient(losses, images).numpy())
        sizes.append(gradients.max(axis=(1, 2, 3)))
    return np.concatenate(sizes)


def without_gradient(defence: Defence, *, count: Count | None = None) -> float:
    """Return the share of correctly read test images that give an attacker no gradient.

    A derivative below the smallest normal float32 counts as none.
    """
    evaluation = Evaluation(defence, "clean", count=count)
    right = clean_examples(evaluation).at(withstood(evaluation))
    return float(np.mean(gradient_sizes(model_of(defence), right) < np.finfo(np.float32).tiny))


def changed_answers(defence: Defence, *, count: Count | None = None) -> float:
    """Return the share of the test images that are read as another class when asked again."""
    model = model_of(defence)
    images = clean_examples(Evaluation(defence, "clean", count=count)).images
    return float(np.mean(models.predict(model, images) != models.predict(model, images)))


def sanity_checks(
    defence: Defence,
    *,
    count: Count,
    epsilon: Epsilon = 0.3,
    epsilons: Sequence[Epsilon] = (0.1, 0.3, 0.5, 1.0),
    budgets: Mapping[Rung, Budget] | None = None,
    doubled: Sequence[Rung] = ("apgd-ce", "apgd-dlr", "square"),
    rungs: Sequence[Rung] = RUNGS,
) -> pd.DataFrame:
    """Check whether the attacks on a defence can be trusted to be strong.

    Parameters
    ----------
    defence
        The model under attack.
    count, epsilon, budgets
        As in :func:`ladder`.
    epsilons
        Radii of the curve, ascending; at the last one every image can be turned into any other.
    doubled
        Rungs which, with twice of what they double, must take no more from the worst case over all
        rungs: each by itself, and all together.
    rungs
        Those that the defence can be attacked by.

    Returns
    -------
    pandas.DataFrame
        One row a check: ``check``, ``value``, the ``limit`` that the value must not exceed, and
        ``passed``. All values are shares of the images. The limit forgives one image.
    """
    budgets = {**BUDGETS, **(budgets or {})}
    black_box = [rung for rung in BLACK_BOX if rung in rungs]

    def under(rung: Rung, budget: Budget | None = None) -> Verdict:
        return withstood(Evaluation(defence, rung, epsilon, count, budget or budgets[rung]))

    def twice(rung: Rung, what: str) -> Verdict:
        return under(rung, replace(budgets[rung], **{what: 2 * getattr(budgets[rung], what)}))

    def under_all(*rungs: Rung) -> Verdict:
        return worst_case(defence, rungs, count=count, epsilon=epsilon, budgets=budgets)

    def beyond(standing: Verdict, *further: Verdict) -> float:
        """Return the share of the images that are standing and that further attacks find."""
        return float(standing.mean() - np.logical_and.reduce([standing, *further]).mean())

    clean = float(under("clean").mean())
    curve = epsilon_curve(defence, epsilons, count=count)["accuracy"]
    patient, strongest = under("restarts"), WITH_GRADIENTS[::-1]
    worst = under_all(*strongest, *black_box)
    values = {
        f"accuracy at epsilon {epsilons[-1]:g}": curve.iloc[-1],
        "rise of accuracy with epsilon": max(0.0, float(np.diff([clean, *curve]).max())),
        "images without a gradient": without_gradient(defence, count=count),
        "images read differently when asked again": changed_answers(defence, count=count),
        "found without gradients, not by PGD": beyond(
            under_all(*WHITE_BOX), *map(under, black_box)
        ),
        "found without gradients, by no rung with them": beyond(under_all(*strongest), worst),
        "found by one step, not by many": beyond(under("pgd"), under("fgsm")),
        "PGD: found by twice the steps only": beyond(patient, twice("restarts", "steps")),
        "PGD: found by twice the restarts only": beyond(patient, twice("restarts", "restarts")),
    }
    # Where no image is left, there is none to find, and no need to try.
    further = {
        rung: twice(rung, attacker(rung).doubles) if worst.any() else worst for rung in doubled
    }
    for rung, verdict in further.items():
        name = f"worst case: found by {rung} with twice the {attacker(rung).doubles}"
        values[name] = beyond(worst, verdict)
    values["worst case: found by all doublings together"] = beyond(worst, *further.values())
    frame = pd.DataFrame(values.items(), columns=["check", "value"])
    frame["limit"] = max(TOLERATED, 1 / count)
    frame["passed"] = frame["value"] <= frame["limit"] + ROUNDING
    return frame
