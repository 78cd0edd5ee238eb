"""Wrong records for chapters, and what must then fail."""

from . import Plant, where

SPLIT = "defence == 'pgd' and fraction == 0.1"

APGD, ONE_STEP = "under APGD", "arm == 'all filters, one step'"

PLANTED: list[Plant] = [
    ("07_adaptive", "ladder", where(f"{SPLIT}", **{"worst case": 0.3}), "whole ladder"),
    ("07_adaptive", "ladder", where("rung == 'pgd'", accuracy=0.01), "PGD alone"),
    ("07_adaptive", "ladder", where("rung == 'square'", accuracy=0.5), "Square alone"),
    ("07_adaptive", "ladder_others", where(SPLIT, **{"worst case": 0.1}), "other networks"),
    (
        "07_adaptive",
        "noise",
        where(f"model == 'dense' and {SPLIT} and noise == 'worst of 20'", accuracy=0.9),
        "undefended one of its shape",
    ),
    ("07_adaptive", "transfer", where("surrogate != 'undefended'", accuracy=0.4), "far less"),
    ("07_adaptive", "sanity_checks", where(SPLIT, passed=False), "all checks pass"),
    (
        "07_adaptive",
        "epsilon_curve",
        where(f"{SPLIT} and epsilon == 0.05", accuracy=0.95),
        "at any radius",
    ),
    (
        "07_adaptive",
        "epsilon_curve",
        where(f"{SPLIT} and epsilon == 0.1", accuracy=0.66),
        "keep less than the undefended",
    ),
    ("07_adaptive", "epsilon_curve", where("epsilon == 0.3", accuracy=0.1), "next to nothing"),
    ("07_adaptive", "l2_distances", where(SPLIT, distance=1.48), "images are nearer"),
    ("07_adaptive", "l2_distances", where(SPLIT, **{"distance by PGD": 0.5}), "PGD's image"),
    ("09_hardening", "hardening_ladder", where("rung == 'apgd-dlr'", accuracy=0.9), "strongest"),
    ("09_hardening", "hardening_ladder", where("rung == 'square'", accuracy=0.94), "Square leaves"),
    ("09_hardening", "hardening_ladder", where("rung == 'fmn'", **{"worst case": 0.8}), "FMN"),
    (
        "09_hardening",
        "hardening_epsilon_curve",
        where("epsilon == 0.3", accuracy=0.94),
        "larger steps",
    ),
    ("09_hardening", "hardening_blocks", where("start >= 5_000", accuracy=0.91), "order matters"),
    (
        "09_hardening",
        "hardening_checks",
        where("check.str.contains('by no rung')", value=0.01),
        "find all that those without",
    ),
    ("09_hardening", "hardening_checks", where("value > 0", passed=False), "all checks pass"),
    (
        "09_hardening",
        "hardening_arms",
        where("arm == 'dominant filters' and seed == 1", **{APGD: 0.3}),
        "the first two networks",
    ),
    (
        "09_hardening",
        "hardening_arms",
        where("arm == 'dominant filters' and seed == 1", **{APGD: 0.337}),
        "they decide nothing",
    ),
    (
        "09_hardening",
        "hardening_arms",
        where("arm == 'dominant filters' and seed == 2", **{APGD: 0.5}),
        "points the other way",
    ),
    ("09_hardening", "hardening_arms", where(ONE_STEP, **{APGD: 0.8}), "widest gap"),
    (
        "09_hardening",
        "hardening_arms",
        lambda rows: rows.assign(**{"under APGD and twice the steps": rows[APGD]}),
        "not converged",
    ),
    ("09_hardening", "hardening_curves", where("epoch == 4", value=0.9), "two points"),
    ("09_hardening", "hardening_contrasts", where("primary", low=0.01), "undecided"),
    (
        "09_hardening",
        "hardening_contrasts",
        where("not primary", shows="undecided"),
        "all other comparisons",
    ),
    ("09_hardening", "hardening_shares", where(ONE_STEP, low=0.01), "may be nothing"),
    ("09_hardening", "autoattack", where("network == 'published'", value=0.9), "has its score"),
    ("09_hardening", "autoattack", where("attack == 'square'", value=0.8), "agree to a point"),
    ("09_hardening", "autoattack", where("network == 'hardened'", images=500), "same images"),
    ("11_datasets", "across_radii", where("dataset == 'mnist'", value=0.45), "no sentence can"),
    (
        "11_datasets",
        "across_radii",
        where("epsilon == 0.4 and dataset == 'mnist'", value=0.49),
        "largest tried",
    ),
    (
        "11_datasets",
        "across_radii",
        where("epsilon == 0.2 and dataset == 'fashion'", value=0.5),
        "less than half",
    ),
    (
        "11_datasets",
        "across_filters",
        where("dataset == 'fashion' and layer == 1", jaccard=0.6),
        "one layer",
    ),
    ("11_datasets", "across_filters", where("dataset == 'fashion'", held=0.2), "concentrated"),
    (
        "11_datasets",
        "across_arms",
        where("arm == 'none' and test == 'static'", value=0.87),
        "a point",
    ),
    (
        "11_datasets",
        "across_arms",
        where("arm == 'all' and test == 'static'", value=0.5),
        "read again",
    ),
    (
        "11_datasets",
        "across_arms",
        where("arm == 'all' and test == 'PGD'", value=0.1),
        "rule's radius",
    ),
    (
        "11_datasets",
        "across_arms",
        where("arm == 'dominant' and test == 'PGD, a third'", value=0.4),
        "worse than no",
    ),
    (
        "11_datasets",
        "across_arms",
        where("arm == 'none' and training == 'crafted afresh'", value=0.5),
        "keep least",
    ),
    (
        "11_datasets",
        "across_arms",
        where("arm == 'random' and training == 'crafted afresh'", value=0.1),
        "keep most",
    ),
    ("11_datasets", "across_arms", where("arm == 'random'", seed=1), "one network"),
    (
        "11_datasets",
        "across_contrasts",
        where("dataset == 'mnist'", high=0.2),
        "cost more on digits",
    ),
]
