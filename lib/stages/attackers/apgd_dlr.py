"""APGD (Croce and Hein 2020) on a ratio of logit differences, which no scale of logits masks."""

from functools import partial

from lib.stages import adapters
from lib.stages.threats import Attacker, Budget

ORDER = 10

ATTACKER = Attacker(
    "APGD, ratio of logit differences",
    "gradients",
    partial(adapters.apgd, loss="difference_logits_ratio"),
    Budget(steps=100, restarts=3),
    doubles="steps",
    in_words=adapters.apgd_in_words,
)
