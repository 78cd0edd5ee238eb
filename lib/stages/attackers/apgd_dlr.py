"""APGD (Croce and Hein 2020) on a ratio of logit differences, which no scale of logits masks."""

from lib.stages import adapters

ORDER = 10

ATTACKER = adapters.apgd_attacker("APGD, ratio of logit differences", "difference_logits_ratio")
