"""The claims of the paper: an entry each in ``claims.csv``, and the rules that it names.

A claim has the name of its rule for what the paper measures, the statement in our words with its
section, the question, the chapter with the evidence, and the rule against attackers who adapt, if
such attackers bear on it.
"""

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lib.compute.parameters import RefusedError
from lib.evidence import records
from lib.evidence.claims import attacked, costs, defence, filters, remarks
from lib.evidence.claims.judging import MARGIN, Recorded, Rule, Verdict, judge

__all__ = ["ALL", "Claim", "Recorded", "Verdict", "full_scale", "judge", "this_run"]


class Claim(NamedTuple):
    """A claim of the paper."""

    name: str
    part: str
    statement: str
    section: str
    question: str
    evidence: str
    """The chapter that has it."""
    as_measured: Rule
    adaptive: Rule | None


def _rule(name: str) -> Rule:
    modules = (attacked, filters, defence, costs, remarks)
    found: list[Rule] = [vars(module)[name] for module in modules if name in vars(module)]
    if not found:
        raise ValueError(f"there is no rule {name!r}")
    return found[0]


def _read(path: Path) -> Iterator[Claim]:
    with path.open(encoding="utf-8", newline="") as file:
        lines = csv.reader(file, strict=True)
        try:
            for text in lines:
                name, part, statement, section, question, evidence, adaptive = text
                if lines.line_num == 1:  # the headings
                    continue
                if not re.fullmatch(r"\d\d_\w+", evidence):
                    raise ValueError(f"{evidence!r} is no chapter")
                rules = _rule(name), _rule(adaptive) if adaptive else None
                yield Claim(name, part, statement, section, question, evidence, *rules)
        except (ValueError, csv.Error) as error:
            raise RefusedError(f"{path}: line {lines.line_num}: {error}") from None


ALL = {claim.name: claim for claim in _read(Path(__file__).with_name("claims.csv"))}
"""Every claim by its name, in the order of the page."""


def full_scale(margin: float = MARGIN) -> Recorded:
    """Return what the full-scale run recorded; times are those of ``make bench``."""
    return Recorded(costs.full_scale, margin)


def this_run(margin: float = MARGIN) -> Recorded:
    """Return what the chapters of this run recorded."""
    return Recorded(records.this_run, margin)
