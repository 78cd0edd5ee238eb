"""PGD that is more patient."""

from lib.stages.attackers import pgd
from lib.stages.threats import Attacker, Budget

ORDER = 7

ATTACKER = Attacker(
    "PGD, more steps and restarts",
    "gradients",
    pgd.withstood,
    Budget(steps=100, restarts=5),
    doubles="restarts",
)
