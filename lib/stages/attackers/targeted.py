"""PGD at each class that an image does not show."""

from functools import partial

from lib.stages.attackers import pgd
from lib.stages.threats import Attacker, runs_in_words

ORDER = 8

ATTACKER = Attacker(
    "PGD at all nine other classes",
    "gradients",
    partial(pgd.withstood, targeted=True),
    doubles="steps",
    in_words=lambda budget: f"9 x {runs_in_words(budget)}",
)
