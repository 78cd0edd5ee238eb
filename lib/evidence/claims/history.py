"""What today's rules say of an earlier record: what more computing has decided."""

import io
import json
from functools import cache, partial

import pandas as pd

from lib.compute.parameters import RefusedError
from lib.evidence import claims, records
from lib.evidence.claims import costs
from lib.evidence.claims.judging import Recorded, judge

BEFORE = "verdicts_before"
"""The name of the record of the verdicts before the plan."""


def before_the_plan() -> str:
    """Return the last commit without the page that says beforehand what is compared.

    Raises
    ------
    RefusedError
        Git has no such commit, as in a shallow clone.
    """
    added = "log", "--diff-filter=A", "--format=%h", "--", "book/plan.ipynb"
    first = records.git(*added).split()[-1:]
    if not first:
        raise RefusedError("book/plan.ipynb: git does not say when it was added")
    return records.git("rev-parse", "--short=7", f"{first[0]}~1")


def recorded_at(commit: str) -> Recorded:
    """Return what a commit had in ``book/results``, as rules ask for it."""
    there = set(records.git("ls-tree", "--name-only", commit, "book/results/").splitlines())

    @cache
    def find(name: str) -> pd.DataFrame | None:
        timed = name == records.BENCHMARK.stem
        path = f"book/results/{name}.{'json' if timed else 'csv'}"
        if path not in there:
            return None
        text = records.git("show", f"{commit}:{path}")
        if timed:
            return pd.DataFrame(json.loads(text)["rows"])
        return pd.read_csv(io.StringIO(text), keep_default_na=False, na_values=[""])

    return Recorded(partial(costs.full_scale, find=find))


def verdicts(run: Recorded) -> pd.DataFrame:
    """Return every verdict, columns ``claim``, ``judged`` (a kind of rule) and ``verdict``."""
    return pd.DataFrame(
        {"claim": claim.name, "judged": kind, "verdict": judge(rule, run).says}
        for claim in claims.ALL.values()
        for kind in ("as_measured", "adaptive")
        if (rule := getattr(claim, kind))
    )


def save() -> None:
    """Record the verdicts before the plan, with the commit whose results they judge."""
    commit = before_the_plan()
    found = verdicts(recorded_at(commit)).assign(commit=commit)
    records.save(BEFORE, found, code="evidence.claims")
