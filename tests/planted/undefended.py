"""Wrong records for chapters, and what must then fail."""

import pandas as pd

from . import Change, Plant


def planted_value(where: str, value: float, column: str = "value") -> Change:
    """Return a change of the rows that a query finds."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        changed = frame.query(where).index
        assert len(changed)
        return frame.assign(**{column: frame[column].mask(frame.index.isin(changed), value)})

    return change


PLANTED: list[Plant] = [
    ("01_model", "table_01", planted_value("layer == 'Flatten'", 1), "As in the paper"),
    ("01_model", "clean_accuracy", planted_value("model == 'dense'", 0.98), "half a point"),
    ("01_model", "clean_accuracy", planted_value("model == 'base'", 0.995), "None is above"),
    ("01_model", "figure_02", planted_value("epoch == 2", 0.999), "ahead in the first"),
    ("02_attacks", "figure_03", planted_value("attack == 'pgd' and epsilon == 0.5", 0.9), "PGD"),
    ("02_attacks", "figure_03", planted_value("epsilon == 0.1", 0.7), "ten points more at 0.1"),
    ("02_attacks", "hardening_arms", planted_value("seed == 1", 0.07, "under FGSM"), "seed alone"),
    ("02_attacks", "attack_goals", planted_value("`aims at` == 'a random one'", 0.3), "aim"),
    ("02_attacks", "noise", planted_value("noise == 'one uniform draw'", 0.5, "accuracy"), "Noise"),
    (
        "02_attacks",
        "pgd_without_labels",
        planted_value("model == 'base'", 0.001, "made right"),
        "made right",
    ),
    (
        "03_targeted",
        "targeted_rates",
        lambda rates: rates.assign(
            value=rates["value"].mask(rates["loss_input"] == "logits", rates["value"] / 4)
        ),
        "nearer on probabilities",
    ),
    ("03_targeted", "targeted_rates", planted_value("target == 8", 1.0), "three is easiest"),
    ("03_targeted", "targeted_cases", planted_value("case == 'worst'", 0.5), "PGD reaches all"),
    (
        "03_targeted",
        "double_softmax",
        planted_value("quantity == 'tables with no more ticks'", 0.5),
        "rare on logits",
    ),
    (
        "03_targeted",
        "double_softmax",
        planted_value("quantity == 'untargeted accuracy' and loss_input == 'logits'", 0.0),
        "hardly matters",
    ),
    (
        "03_targeted",
        "targeted_steps",
        planted_value("steps == 10", 0.01, "accuracy left"),
        "Ten steps",
    ),
]
