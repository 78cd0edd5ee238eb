"""What those who teach find: times that are counted, slides that run offline, a page to print."""

import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from playwright.sync_api import Browser

from lib.site import reading
from lib.site.book import pages

from ..browser import open_browser
from ..conftest import ROOT

CHAPTERS = [
    ROOT / f"{page}.ipynb"
    for page in pages(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8")))
    if re.match(r"book/(\d|claims)", page)
]
each_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=[path.stem for path in CHAPTERS])


class TestTimes:
    def test_what_a_reader_sees_is_counted_up_to_the_exercises(self) -> None:
        notebook = new_notebook(
            cells=[
                new_markdown_cell(":::{tip} Title\nTwo words, {numref}`one-term`.\n:::"),
                new_code_cell("one = 1\n\ntwo = 2"),
                new_code_cell("folded = 1", metadata={"tags": ["hide-input"]}),
                new_code_cell("draw()", metadata={"mystnb": {"figure": {"name": "fig-one"}}}),
                new_markdown_cell("## Summary\nSaid.\n\n## Exercises\nNot counted."),
                new_code_cell("not_counted"),
            ]
        )
        assert reading.count(notebook) == reading.Reading(words=5, figures=1, lines=3)

    def test_minutes_follow_from_the_counts(self) -> None:
        found = reading.Reading(words=1500, figures=3, lines=150)
        assert str(found) == "13 minutes to read, 23 with the code"

    @each_chapter
    def test_a_page_says_what_was_counted_and_measured(self, path: Path) -> None:
        notebook = nbformat.read(path, as_version=4)
        counted, before = reading.count(notebook), notebook.cells[0].source
        assert f"`python -m lib list {path.stem}` says how long." in before
        reading.stated(notebook, 150)
        after = notebook.cells[0].source
        assert f"{counted}. The run on this page took 2 minutes" in after
        assert "lib list" not in after

    def test_the_page_for_teachers_lists_every_chapter(self, site: Path) -> None:
        page = (site / "book" / "teach.html").read_text("utf-8")
        for path in CHAPTERS:
            words = f"{reading.count(nbformat.read(path, as_version=4)).words:,}"
            assert re.search(rf'href="{path.stem}.html".{{,900}}{words}', page, re.DOTALL)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.mark.parametrize("lesson", ["lesson_1", "lesson_2"])
def test_slides_run_offline_with_the_figures_of_the_chapters(
    lesson: str, site: Path, browser: Browser
) -> None:
    page, wrong = browser.new_page(), []
    page.on("requestfailed", lambda request: wrong.append(request.url))
    page.on(
        "request",
        lambda request: (
            None if request.url[:5] in ("file:", "data:") else wrong.append(request.url)
        ),
    )
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto((site / "slides" / f"{lesson}.html").as_uri())
    page.wait_for_function("window.Reveal && Reveal.isReady()")
    slides = page.evaluate("Reveal.getTotalSlides()")
    titles = re.findall(
        r"^#+ .*", (ROOT / "book" / "slides" / f"{lesson}.md").read_text("utf-8"), re.M
    )
    assert slides >= len(titles)
    for _ in range(slides):  # images load when their slide is near
        page.keyboard.press("Space")
    widths = "[...document.images].map((image) => image.complete && image.naturalWidth)"
    page.wait_for_function(f"{widths}.every(Boolean)")
    assert page.evaluate(f"{widths}.length") >= 4
    assert not wrong
    page.close()


def test_the_handout_is_one_page(site: Path, browser: Browser) -> None:
    page = browser.new_page()
    page.goto((site / "book" / "handout.html").as_uri())
    page.wait_for_timeout(500)
    assert len(re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4"))) == 1
    page.close()
