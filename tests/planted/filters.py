"""Wrong records for chapters, and what must then fail."""

import pandas as pd

from . import Change, Plant


def with_value(column: str, value: object, query: str) -> Change:
    """Return a change that puts a value into the rows that a query finds."""

    def change(rows: pd.DataFrame) -> pd.DataFrame:
        found = rows.query(query).index
        return rows.assign(**{column: rows[column].mask(rows.index.isin(found), value)})

    return change


NO_CHANCE = with_value("jaccard", 0.01, "comparison == 'targets'")

SAME_IN_LAYER_2 = with_value("shared", 6.5, "comparison == 'classes' and layer == 2")

DENSE_AS_GOOD = with_value("value", 0.994, "model == 'dense' and training == 'mixed'")

NOTHING_ON_BLACK = with_value("value", 0.1, 'digit == "the perturbation\'s"')

PLANTED: list[Plant] = [
    ("04_filters", "figure_04", with_value("value", 0.1, "filter >= 0"), "half are never"),
    ("04_filters", "filter_overlap", NO_CHANCE, "all agree more than chance"),
    ("04_filters", "filter_overlap", SAME_IN_LAYER_2, "digit changes the choice"),
    ("04_filters", "filter_concentration", with_value("held", 0.4, "seed == 1"), "four times"),
    ("05_splitting", "table_12", with_value("value", 0.2, "fraction == 0.1"), "Table 12"),
    ("05_splitting", "table_06", with_value("value", 0.95, "training == 'mixed'"), "gives it back"),
    ("05_splitting", "table_08", DENSE_AS_GOOD, "dense: four times"),
    ("05_splitting", "table_11", with_value("value", 1.0, "fraction == 0.1"), "errs more often"),
    ("05_splitting", "label_leaking", NOTHING_ON_BLACK, "more than a fixed answer"),
    ("05_splitting", "cross_attack", with_value("value", 0.99, "seed == 0"), "clearly worse"),
    ("05_splitting", "fresh_pgd", with_value("value", 0.4, "fraction == 1"), "not read at all"),
]
