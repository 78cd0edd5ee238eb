"""What the page of claims shows: verdicts, and each claim's evidence beside its rule."""

import inspect
from collections.abc import Collection
from html import escape
from pathlib import Path

import pandas as pd
import yaml
from IPython.display import HTML
from pandas.io.formats.style import Styler
from pandas.io.formats.style_render import CSSDict

from lib.compute import provenance
from lib.evidence import claims, facts, paper, records, tables
from lib.evidence.claims import history
from lib.evidence.claims.judging import (
    ABSENT,
    MARKS,
    UNTOLD,
    Answer,
    Recorded,
    Rule,
    Verdict,
    judge,
)

COLUMNS = {"as_measured": "As the paper measures it", "adaptive": "Attackers who adapt"}
PARTS = {
    "answer": "",
    "what": "compared",
    "found": "found",
    "beside": "beside",
    "points": "points (95%)",
    "errors": "times the errors (95%)",
    "shows": "shows",
}
"""Headings of the columns of evidence."""

ANSWERS = dict(zip(Answer, ["✓", "◐", "✗", "?", "·"], strict=True))
"""How a part's answer is marked."""

Runs = dict[str, Recorded]
"""Of whom a page speaks, by a name; the first that has a record decides."""


def decisive(rule: Rule | None, of: Runs) -> Verdict | None:
    """Return the verdict of the full scale or, if it has none, of this run."""
    if rule is None:
        return None
    found = [judge(rule, run) for run in of.values()]
    return next((verdict for verdict in found if verdict.says != ABSENT), found[0])


def overview(of: Runs) -> Styler:
    """Return the table of all verdicts, each claim with a link to its evidence."""
    rows: list[dict[str, str]] = []
    for claim in claims.ALL.values():
        if not any(row["Part"] == claim.part for row in rows):
            rows.append({"Part": claim.part, "Claim": f"<b>{escape(claim.part)}</b>"})
        verdicts = {
            heading: found.text if (found := decisive(getattr(claim, kind), of)) else ""
            for kind, heading in COLUMNS.items()
        }
        rows.append({"Part": claim.part, "Claim": _link(claim), **verdicts})
    return _wrapped(pd.DataFrame(rows).drop(columns="Part").fillna(""), html=["Claim"])


def counted(of: Runs) -> Styler:
    """Return how many claims have which verdict; where it could be told counts apart."""
    verdicts = {
        heading: pd.Series([v.text.split(",")[0] for v in found if v]).value_counts()
        for kind, heading in COLUMNS.items()
        for found in [[decisive(getattr(claim, kind), of) for claim in claims.ALL.values()]]
    }
    counts = pd.DataFrame(verdicts).fillna(0).astype(int)
    order = sorted(counts.index, key=lambda text: [*MARKS.values()].index(text.strip("(")[0]))
    return tables.show(counts.loc[order].rename_axis("Verdict").reset_index())


def untold(of: Runs) -> Styler:
    """Return which verdicts cannot be told, and why each of their parts cannot."""
    rows = []
    for claim in claims.ALL.values():
        for kind, heading in COLUMNS.items():
            found = decisive(getattr(claim, kind), of)
            if found and found.says == UNTOLD:
                whys = pd.Series([(p.shows or p.found).split("; ")[-1] for p in found.parts])
                counts = whys.value_counts(sort=False)
                why = "; ".join(f"{text} ({count})" for text, count in counts.items())
                rows.append({"Claim": _link(claim), "Judged": heading, "Why (parts)": why})
    return _wrapped(pd.DataFrame(rows, columns=["Claim", "Judged", "Why (parts)"]), html=["Claim"])


def since_the_plan() -> Styler:
    """Return which verdicts of the full scale are others than before the plan."""
    before = facts.full_scale(history.BEFORE)
    now = history.verdicts(claims.full_scale())
    both = before.merge(now, on=["claim", "judged"], suffixes=("_before", "_now"))
    changed = both[both["verdict_before"] != both["verdict_now"]]
    rows = {
        "Claim": [_link(claims.ALL[name]) for name in changed["claim"]],
        "Judged": changed["judged"].map(COLUMNS),
        "Before the plan": changed["verdict_before"],
        "Now": changed["verdict_now"],
    }
    return _wrapped(pd.DataFrame(rows), html=["Claim"])


def _link(claim: claims.Claim) -> str:
    return f'<a href="#{anchor(claim)}">{escape(claim.statement)}</a>'


def anchor(claim: claims.Claim) -> str:
    """Return the name of the place on the page that has a claim's evidence."""
    return f"claim-{claim.name.replace('_', '-')}"


def source(rule: Rule) -> str:
    """Return the address of a rule in the repository that ``_config.yml`` names."""
    root = provenance.PACKAGE.parent
    repository = yaml.safe_load((root / "_config.yml").read_text("utf-8"))["repository"]
    path = Path(inspect.getfile(rule)).relative_to(root).as_posix()
    _, line = inspect.getsourcelines(rule)
    return f"{repository['url']}/blob/{repository['branch']}/{path}#L{line}"


def evidence(part: str, of: Runs) -> HTML:
    """Show the claims of a part, each folded with its rules and what they rest on."""
    return HTML("".join(_card(one, of) for one in claims.ALL.values() if one.part == part))


def _card(claim: claims.Claim, of: Runs) -> str:
    chapter = f'<a href="{claim.evidence}.html">chapter {int(claim.evidence[:2])}</a>'
    rules = [(heading, getattr(claim, kind)) for kind, heading in COLUMNS.items()]
    body = "".join(_shown(heading, rule, of) for heading, rule in rules if rule)
    return (
        f"<details><summary>{escape(claim.statement)}</summary>"
        f'<div id="{anchor(claim)}"><p>In the paper: {escape(claim.section)}. Evidence: {chapter}. '
        f"<em>{escape(claim.question)}</em></p>{body}</div></details>"
    )


def _shown(heading: str, rule: Rule, of: Runs) -> str:
    sentence = " ".join((inspect.getdoc(rule) or "").split())
    found = f'<p><b>{heading}.</b> {escape(sentence)} (<a href="{source(rule)}">the rule</a>)</p>'
    for name, run in of.items():
        verdict = judge(rule, run)
        found += f"<p>{name.capitalize()}: <b>{escape(verdict.text)}</b></p>"
        if verdict.parts:
            found += parts(verdict).to_html()
    return found


def parts(verdict: Verdict) -> Styler:
    """Return the table of what a verdict rests on, without the columns that have no entry."""
    rows = pd.DataFrame(verdict.parts)
    rows["answer"] = rows["answer"].map(ANSWERS)
    filled = [name for name in PARTS if (rows[name] != "").any()]
    return _wrapped(rows[filled].rename(columns=PARTS))


def _wrapped(rows: pd.DataFrame, html: Collection[str] = ()) -> Styler:
    """Return a table of words, whose lines may break."""
    breaks: CSSDict = {
        "selector": "td",
        "props": [("white-space", "normal"), ("font-size", "0.85em")],
    }
    return tables.show(rows, html=html).set_table_styles([breaks], overwrite=False)


DRAWN = {"table_01", "figure_01", "figure_07"}
"""Made from the models themselves, so that they need no record."""

COUNTERPARTS = {
    "01_model": ["table_01", "figure_01", "figure_02"],
    "02_attacks": ["table_04", "table_05", "figure_03"],
    "03_targeted": ["table_02", "table_03"],
    "04_filters": ["figure_04", "figure_05", "figure_06"],
    "05_splitting": ["table_06", "table_07", "table_08", "table_09", "table_12", "figure_07"],
    "06_percentage": ["table_10", "table_11"],
}
"""Which chapter has the counterpart of which table or figure."""


def counterparts() -> Styler:
    """Return where the paper's tables and figures have their counterparts, and from how much."""
    rows = []
    for chapter, names in COUNTERPARTS.items():
        for name in names:
            kind, number = name.split("_")
            shows = (paper.CAPTIONS if kind == "table" else paper.FIGURES)[int(number)]
            link = f'<a href="{chapter}.html">chapter {int(chapter[:2])}</a>'
            rows.append((f"{kind.title()} {int(number)}", shows, link, _state(name)))
    columns = ["In the paper", "What it shows", "Counterpart", "Full scale"]
    return _wrapped(pd.DataFrame(rows, columns=columns), html=["Counterpart"])


def _state(name: str) -> str:
    if name in DRAWN:
        return "drawn"
    rows = records.full_scale(name)
    if rows is None:
        return "not yet"
    count = rows["seed"].nunique() if "seed" in rows else 1
    return f"{count} seed" + "s" * (count > 1)
