"""What a defence costs as a whole: crafting images, finding filters, and fine-tuning.

No TensorFlow: seconds come from measurements, epochs from learning curves.
"""

import math
from collections.abc import Mapping
from itertools import product

import pandas as pd

from lib.evidence import intervals, paper, runs

BATCH = 128
"""Images in a training step."""

GRADIENTS: Mapping[str, int] = {"fgsm": 1, "pgd": int(str(runs.USUAL["steps"]))}
"""Gradients that crafting an image takes."""

SAME_KERNEL: Mapping[str, str] = {
    **dict.fromkeys(("parallel", "gathered", "mask"), "whole"),
    "selective": "selective, all filters",
}
"""How the whole network trains in the layers that each way to train some filters is made of."""


def epochs_needed(curves: pd.DataFrame) -> pd.DataFrame:
    """Return after how many epochs both networks are as accurate as both become.

    Parameters
    ----------
    curves
        Accuracies on static validation images: ``attack``, ``fraction`` (1 for the whole
        network), ``epoch``, ``value``, and ``seed``; of one ``run`` or of several.

    Returns
    -------
    pandas.DataFrame
        A row a run, attack and seed: ``accuracy``, the best that both reach, and the first epochs
        at which the ``whole`` and the ``split`` network do.
    """
    keys, rows = [key for key in ("run", "attack", "seed") if key in curves], []
    for place, some in curves.groupby(keys):
        by_epoch = some.assign(part=some["fraction"].eq(1).map({True: "whole", False: "split"}))
        curve = by_epoch.pivot_table("value", "epoch", "part")
        if "split" not in curve:  # all filters train
            curve["split"] = curve["whole"]
        accuracy = curve.max().min()
        reached = (curve >= accuracy).idxmax()
        rows.append((*place, accuracy, reached["whole"], reached["split"]))
    return pd.DataFrame(rows, columns=[*keys, "accuracy", "whole", "split"])


def epochs_compared(epochs: pd.DataFrame) -> pd.DataFrame:
    """Return whether one of the networks needs more epochs, as far as the seeds tell.

    Parameters
    ----------
    epochs
        As of :func:`epochs_needed`, of one ``run`` or of several.

    Returns
    -------
    pandas.DataFrame
        A row a run and attack: the means of ``accuracy``, ``whole`` and ``split``; ``low`` and
        ``high``, the interval of split minus whole over seeds (NaN for one), and ``verdict``.
    """
    keys = [key for key in ("run", "attack") if key in epochs]
    rows = []
    for _, some in epochs.groupby(keys):
        apart = intervals.over_seeds(some["split"] - some["whole"])
        verdict = "differs" if len(some) > 1 and apart.excludes_zero else "undecided"
        if len(some) == 1:
            verdict = "one seed: undecided"
        means = some[["accuracy", "whole", "split"]].mean()
        bounds = {"low": apart.low, "high": apart.high, "verdict": verdict}
        rows.append({**some[keys].iloc[0], **means, **bounds})
    return pd.DataFrame(rows)


def bill(
    epochs: pd.DataFrame,
    step: "pd.Series[float]",
    gradient: float,
    *,
    images: int,
    images_per_class: int,
) -> pd.DataFrame:
    """Return what each part of a defence costs, in each way to train and for each attack.

    Parameters
    ----------
    epochs
        As of :func:`epochs_needed`; of several seeds the mean counts.
    step
        Seconds of a training step by way.
    gradient
        Seconds of one gradient of one image.
    images
        Training images; each is crafted once, and trained with clean and perturbed.
    images_per_class
        To find the dominant filters: each is turned into nine targeted images.

    Returns
    -------
    pandas.DataFrame
        ``attack``, ``epochs``, ``way``, ``part`` and ``seconds``. All of it twice: with the epochs
        that each network ``needed``, and with ``equal`` ones, those of the split network.
    """
    rows = []
    for attack, needed in epochs.groupby("attack")[["whole", "split"]].mean().iterrows():
        crafting = GRADIENTS[str(attack)] * gradient
        for counted, (way, seconds) in product(("needed", "equal"), step.items()):
            some_train = way in SAME_KERNEL
            number = needed["split" if some_train or counted == "equal" else "whole"]
            parts = {
                "crafting training images": images * crafting,
                "finding dominant filters": some_train * images_per_class * 10 * 9 * crafting,
                "fine-tuning": number * math.ceil(2 * images / BATCH) * seconds,
            }
            rows += [(attack, counted, way, part, cost) for part, cost in parts.items()]
    return pd.DataFrame(rows, columns=["attack", "epochs", "way", "part", "seconds"])


def full_scale(curves: pd.DataFrame, times: pd.DataFrame) -> pd.DataFrame:
    """Return the bill of the base network at the paper's scale, in CPU time on one thread.

    Parameters
    ----------
    curves
        The record ``fine_tuning_curves``.
    times
        The record of ``make bench``, ``bench``.
    """
    crafting = times.query("section == 'crafting' and case == 'PGD' and way == 'ours'").iloc[0]
    crafted = crafting["images_per_second"] * crafting["seconds"]
    published = paper.quoted()
    return bill(
        epochs_needed(curves.query("model == 'base'")),
        times.query("section == 'step' and case == 'base'").set_index("way")["cpu_seconds"],
        crafting["cpu_seconds"] / crafted / GRADIENTS["pgd"],
        images=int(published["adversarial training clean images"]),
        images_per_class=int(published["filter identification images per class"]),
    )


def totals(parts: pd.DataFrame) -> pd.DataFrame:
    """Return each way's bill relative to those of the whole network.

    Parameters
    ----------
    parts
        As of :func:`bill`, of one ``run`` or of several.

    Returns
    -------
    pandas.DataFrame
        A row a way to train some filters: ``to Keras's layers`` and ``to the same layers``, the
        bill relative to the whole network's in those; ``attacks``, the share of crafting and
        finding filters in it; ``search``, the seconds of the latter; ``saved``, those by
        which fine-tuning is shorter than the whole network's in the same layers; and the
        ``verdict`` on both.
    """
    keys = [key for key in ("run", "attack", "epochs") if key in parts]
    rows = []
    for _, some in parts.groupby(keys, sort=False):
        cost = some.pivot_table("seconds", "way", "part")
        total, tuning = cost.sum(axis=1), cost["fine-tuning"]
        for way, same in SAME_KERNEL.items():
            search, saved = cost.loc[way, "finding dominant filters"], tuning[same] - tuning[way]
            found = {
                "way": way,
                "to Keras's layers": total[way] / total["whole"],
                "to the same layers": total[way] / total[same],
                "attacks": 1 - tuning[way] / total[way],
                "search": search,
                "saved": saved,
                "verdict": "the search costs more" if search > saved else "the search pays",
            }
            rows.append({**some[keys].iloc[0], **found})
    return pd.DataFrame(rows)
