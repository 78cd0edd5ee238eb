"""The published numbers: every table of the paper, and the numbers that its text quotes.

Source: S. Karnine, S. Afrose, H. Imtiaz, "Efficient Defense Against First Order Adversarial
Attacks on Convolutional Neural Networks", Artificial Intelligence and Applications, 2025,
doi 10.47852/bonviewAIA52025957; the numbers are those of the authors' manuscript of
November 2024. The files beside this module hold each cell as printed. One more file holds
what others published about other defences.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pandas as pd

_FOLDER = Path(__file__).parent

_KEYS: Mapping[int, tuple[str, ...]] = {
    1: ("layer", "output_shape"),
    **dict.fromkeys((2, 3), ("attack", "source", "target")),
    **dict.fromkeys((4, 5), ("attack", "model", "epsilon")),
    **dict.fromkeys((6, 7, 8, 9), ("attack", "model", "training", "test")),
    **dict.fromkeys((10, 11), ("attack", "fraction", "training", "test")),
    12: ("fraction", "model"),
}

_TYPES = {"source": int, "target": int, "epsilon": float, "fraction": float}

CAPTIONS: Mapping[int, str] = {
    1: "The layers of the base model",
    2: "Targeted FGSM on one image a source class: which targets were reached",
    3: "Targeted PGD on one image a source class: which targets were reached",
    4: "Accuracy of the undefended models under FGSM, by radius",
    5: "Accuracy of the undefended models under PGD, by radius",
    6: "Adversarial training of the whole model with FGSM images",
    7: "Adversarial training of the whole model with PGD images",
    8: "Fine-tuning of the dominant filters with FGSM images",
    9: "Fine-tuning of the dominant filters with PGD images",
    # Section 4 says "the three models" and neither table names one. The first row of Table 11
    # repeats the base model's part of Table 9; for Table 10 the same is only likely.
    10: "More trainable filters, FGSM images (model not named; likely base, as in Table 11)",
    11: "More trainable filters, PGD images (model not named; base, inferred from Table 9)",
    12: "Share of the trainable parameters that the split model freezes",
}
"""What each table of the paper shows, in our words."""

FIGURES: Mapping[int, str] = {
    1: "The layers of the base model, drawn",
    2: "Accuracy and loss of the base model over the epochs, training and validation",
    3: "Accuracy against epsilon: three models under FGSM and PGD",
    4: "How often each filter of the first layer is among the most affected, class 0",
    5: "The dominant filters of the first convolutional layer, class by class",
    6: "The dominant filters of the second convolutional layer, class by class",
    7: "The split model: dominant and other filters in parallel layers",
}
"""What each figure of the paper shows, in our words."""


def _number(printed: str) -> float:
    """Read a cell as the paper prints it: a percentage, a tick, a cross or a plain number."""
    if printed in ("tick", "cross"):
        return float(printed == "tick")
    if printed.endswith("%"):
        return round(float(printed[:-1]) / 100, 6)
    return float(printed)


@cache
def _cells() -> pd.DataFrame:
    return pd.read_csv(_FOLDER / "published.csv", dtype=str, keep_default_na=False)


def keys(number: int) -> tuple[str, ...]:
    """Return the columns that name a cell of a table.

    Parameters
    ----------
    number
        The table's number in the paper, 1 to 12.

    Returns
    -------
    tuple of str
        Column names; together they are unique in every row of ``table(number)``.

    Raises
    ------
    ValueError
        If the paper has no such table.
    """
    if number not in _KEYS:
        raise ValueError(f"the paper has tables 1 to 12, not {number}")
    return _KEYS[number]


def table(number: int) -> pd.DataFrame:
    """Return a table of the paper, complete, one row a cell.

    Parameters
    ----------
    number
        The table's number in the paper, 1 to 12.

    Returns
    -------
    pandas.DataFrame
        The columns of ``keys(number)``, then ``value``: an accuracy or another share, 0 to 1;
        in Tables 2 and 3, 1.0 for a tick and 0.0 for a cross. In Table 1 the last column is
        ``parameters``, a count. Rows in the order of the paper, which also prints:

        - ``model``: ``shallow``, ``base`` or ``dense`` (Tables 4 and 5 say "Deeper");
        - ``training``: ``none``, ``adversarial`` (adversarial images alone) or ``mixed``
          (clean and adversarial);
        - ``test``: ``clean`` (the paper says "benign") or ``static`` (adversarial images that
          were crafted against the undefended model).

    Raises
    ------
    ValueError
        If the paper has no such table.
    """
    columns = list(keys(number))
    cells = _cells()
    rows = cells[cells["table"] == str(number)].reset_index(drop=True)
    frame = rows[columns].astype({name: _TYPES[name] for name in columns if name in _TYPES})
    if number == 1:
        return frame.assign(parameters=rows["printed"].astype(int))
    return frame.assign(value=rows["printed"].map(_number))


def quoted() -> "pd.Series[float]":
    """Return the numbers that the paper's text states outside its tables.

    Returns
    -------
    pandas.Series
        Rates and accuracies as shares, 0 to 1, and counts as they are, by the quantity that
        ``quoted.csv`` names; the file also says in which section each stands.
    """
    rows = pd.read_csv(_FOLDER / "quoted.csv", dtype=str, keep_default_na=False)
    return rows.set_index("quantity")["printed"].map(_number)


def under_autoattack() -> pd.DataFrame:
    """Return published accuracies of other defences of MNIST at epsilon 0.3.

    All were measured by F. Croce and M. Hein, "Reliable Evaluation of Adversarial Robustness
    with an Ensemble of Diverse Parameter-free Attacks", ICML 2020, on the weights that the
    authors of the defences had published; rounded to a tenth of a percentage point.

    Returns
    -------
    pandas.DataFrame
        ``defence``; ``cite``, the key of its source in the bibliography; accuracy on ``clean``
        test images; and ``robust``, that under the worst of AutoAttack's attacks. Shares, 0 to 1.
    """
    rows = pd.read_csv(_FOLDER / "autoattack.csv", dtype=str)
    return rows.assign(clean=rows["clean"].map(_number), robust=rows["robust"].map(_number))
