"""Wrong records for chapters, and what must then fail."""

from . import Plant, where

FGSM = "training == 'mixed' and test == 'static'"

STATIC, SMALL = "test == 'static'", "test == 'small radius'"

PLANTED: list[Plant] = [
    ("06_percentage", "table_10", where(f"{FGSM} and fraction == 0.2", value=0.99), "every step"),
    ("06_percentage", "table_11", where("fraction == 1", value=0.6), "Three curves fall"),
    ("06_percentage", "table_11", where(f"{FGSM} and fraction == 1", value=0.994), "then fewer"),
    (
        "06_percentage",
        "fraction_contrasts",
        where("training == 'mixed'", low=-0.02),
        "within a point",
    ),
    (
        "06_percentage",
        "table_10",
        where(f"{FGSM} and fraction == 0", value=0.5),
        "none to a tenth",
    ),
    (
        "06_percentage",
        "table_06",
        where("training == 'none'", value=0.985),
        "nearly all of the gain",
    ),
    (
        "08_controls",
        "controls",
        where(f"arm == 'undefended' and {SMALL}", value=0.2),
        "behind all three",
    ),
    (
        "08_controls",
        "controls_contrasts",
        where(SMALL, undefended_value=0.2),
        "worse than no defence",
    ),
    ("08_controls", "controls_contrasts", where(STATIC, high=0.02), "static: equal"),
    (
        "08_controls",
        "controls",
        where("arm == 'random filters' and test == 'worst case'", value=0.5),
        "nobody is left",
    ),
    ("08_controls", "controls_contrasts", where("primary", primary=False), "takes the place"),
    ("08_controls", "controls", where("arm == 'crafted afresh'", value=0.1), "yardstick"),
]
