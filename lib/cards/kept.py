"""Networks that a chapter keeps for others to attack, with what they withstood."""

from pathlib import Path

import pandas as pd

from lib.compute.parameters import Count
from lib.evidence import records
from lib.stages import adaptive
from lib.stages.hardening import Hardening


def keep_hardened(name: str, defence: Hardening, ladder: pd.DataFrame, images: Count) -> Path:
    """Keep a network that was hardened from new weights, all its filters, and its card.

    Parameters
    ----------
    name
        As for :func:`lib.evidence.records.save_network`.
    defence
        How it was hardened.
    ladder
        What attackers left of the first ``images`` test images, at the radius of its training.
    images
        How many.

    Returns
    -------
    pathlib.Path
        The network's file.
    """
    victim, attack = defence.victim, defence.attack
    return records.save_network(
        name,
        adaptive.model_of(defence),
        ladder.assign(seed=victim.seed),
        f"The {victim.architecture} network with {victim.hidden_units} hidden units, trained for "
        f"{defence.epochs} epochs on PGD images that were crafted afresh at every step "
        f"({attack.steps} steps, epsilon {attack.epsilon:g}, batches of {defence.batch_size}, "
        f"seed {victim.seed}).",
        attacked=records.AttackedOn(victim.dataset, images, attack.epsilon),
    )
