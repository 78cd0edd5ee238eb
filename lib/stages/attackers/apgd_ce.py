"""APGD (Croce and Hein 2020) on the cross-entropy."""

from functools import partial

from lib.stages import adapters
from lib.stages.threats import Attacker, Budget

ORDER = 9

ATTACKER = Attacker(
    "APGD, cross-entropy",
    "gradients",
    partial(adapters.apgd, loss="cross_entropy"),
    Budget(steps=100, restarts=3),
    doubles="steps",
    in_words=adapters.apgd_in_words,
)
