"""Figures and tables say what made them, from which records; terms say what they mean."""

import re
from collections import defaultdict
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from lib.site import origins

from .test_pages import PAGES

KNOWN = {"table_04", "curves_seen", "bench", "noise", "other_one"}

CODE = {
    "frame = pd.DataFrame([name for name in ('other_one',)])": {"other_one"},
    "seen = run.both('curves_seen', mine)": {"curves_seen"},
    "figures.draw(seen.groupby(name))": {"curves_seen"},
    "run.save('other_one', mine.assign(model=model))\nfigures.draw(mine)": {"other_one"},
    "figures.draw(model)": set(),
    "def of(network):\n    return seen[network]\n\nfigures.draw(of('base'))": {"curves_seen"},
    "table_04 = 4\nrun.table(4, alone)": {"table_04"},
    "attackers = ['noise', 'bench']\nfigures.draw(attackers)": set(),
    "figures.draw(facts.full_scale('bench'), '%')": {"bench"},
    "figures.draw([seen for seen in 'abc'])": set(),
}


def test_records_are_followed_from_name_to_name() -> None:
    behind: defaultdict[str, set[str]] = defaultdict(set)
    assert {code: origins.follow(code, KNOWN, behind) for code in CODE} == CODE


def test_only_what_is_shown_gets_a_line() -> None:
    table = new_output("display_data", {"text/html": "<table><caption>One</caption></table>"})
    cells = [
        new_code_cell("run.table(4, alone)", outputs=[table]),
        new_code_cell("run.table(4, alone)", outputs=[table], metadata={"tags": ["facts"]}),
        new_code_cell("%matplotlib inline\nfigures.draw()", metadata={"mystnb": {"figure": {}}}),
        new_code_cell("1 + 1", outputs=[new_output("execute_result", {"text/plain": "2"})]),
    ]
    assert origins.note(new_notebook(cells=cells), KNOWN) == {"table_04"}
    assert [cell.metadata.get("records") for cell in cells] == [["table_04"], None, [], None]


@pytest.mark.parametrize("page", [page for page in PAGES if re.search(r"/\d\d_", page)])
def test_each_figure_and_table_links_to_what_made_it(site: Path, page: str) -> None:
    text = (site / f"{page}.html").read_text(encoding="utf-8")
    lines = re.findall(r'<p class="made-by">(.*?)</p>', text, re.DOTALL)
    assert len(lines) >= text.count("<figure")
    links = re.findall(r'href="([^"]+)"', "".join(lines))
    for link in links:
        if link.startswith("#"):
            assert f'id="{link[1:]}"' in text
        else:
            assert (site / page).parent.joinpath(link).is_file()
    assert any("/full-scale/" in link or "/this-run/" in link for link in links)


@pytest.mark.parametrize("page", [page for page in PAGES if re.search(r"/\d\d_", page)])
def test_terms_say_what_they_mean_where_they_are_used_first(site: Path, page: str) -> None:
    text = (site / f"{page}.html").read_text(encoding="utf-8")
    used = re.findall(
        r'href="intro\.html#(term-[\w-]+)" title="([^"]+)"><span class="term-use">', text
    )
    anchors = [anchor for anchor, _ in used]
    assert len(anchors) >= 3
    assert len(anchors) == len(set(anchors))
    first_page = (site / "book" / "intro.html").read_text(encoding="utf-8")
    for anchor in anchors:
        assert f'id="{anchor}"' in first_page
