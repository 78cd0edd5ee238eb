"""Wrong records for chapters, and what must then fail."""

from . import Plant, where
from .costs import slower

MIXED = "training == 'mixed' and test == 'static'"

NOISE = "comparison == 'attack and random noise' and layer == 2"

SMALL_RADIUS = "test == 'small radius' and other == 'undefended'"

PLANTED: list[Plant] = [
    ("claims", "filter_concentration", where("layer == 2", held=0.2), "react far more"),
    ("claims", "filter_overlap", where("layer == 2", jaccard=0.8), "nearly the same in layer 1"),
    ("claims", "table_11", where(f"{MIXED} and fraction == 0.1", value=0.98), "within half"),
    ("claims", "table_11", where(f"{MIXED} and fraction == 0.1", value=0.9959), "no fewer static"),
    ("claims", "table_09", where(MIXED, value=0.99), "several times the errors"),
    ("claims", "table_10", where(f"{MIXED} and fraction == 0.1", value=0.98), "at both steps"),
    (
        "claims",
        "table_11",
        where("test == 'clean' and fraction == 0", value=0.95),
        "accuracy rises",
    ),
    ("claims", "table_10", where(f"{MIXED} and fraction == 0", value=0.9), "within a point"),
    ("claims", "ladder", where("defence == 'pgd'", **{"worst case": 0.01}), "withstands every"),
    ("claims", "controls_contrasts", where(SMALL_RADIUS, high=0.1), "fewer at a smaller radius"),
    ("claims", "controls_contrasts", where(SMALL_RADIUS, p=1e-4), "undecided"),
    ("claims", "table_05", where("epsilon == 0.3", value=0.3), "as published"),
    ("claims", "targeted_rates", where("attack == 'fgsm'", value=0.1), "except targeted FGSM"),
    ("claims", "table_12", where("model == 'dense'", value=0), "saves most in the dense"),
    ("claims", "bench", slower("step", "parallel", 0.5, "dense"), "parallel layers save a little"),
    ("claims", "bench", slower("step", "parallel", 0.7, "shallow"), "not in the shallow network"),
    ("claims", "bench", slower("step", "selective", 2), "a layer made for it saves more"),
    ("claims", "bench", slower("crafting", "ours", 0.05, "PGD"), "the search costs more"),
    ("claims", "fresh_pgd", where("fraction == 0.1", value=1), "no defence is left"),
    ("claims", "hardening_ladder", where("seed == 0", **{"worst case": 0.7}), "withstands most"),
    ("claims", "certified", where("network == 'split_pgd'", certified=0.1), "it alone"),
    ("claims", "filter_overlap", where(NOISE, shared=3), "plain noise chooses more than half"),
    (
        "claims",
        "table_11",
        where(f"{MIXED} and fraction == 0.05", value=0.98),
        "PGD, mixed: all shares within a point",
    ),
]
