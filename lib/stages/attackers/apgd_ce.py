"""APGD (Croce and Hein 2020) on the cross-entropy."""

from lib.stages import adapters

ORDER = 9

ATTACKER = adapters.apgd_attacker("APGD, cross-entropy", "cross_entropy")
