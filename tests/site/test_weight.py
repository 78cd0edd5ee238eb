"""What a reader gets first is light, reads well aloud, and begins with its question."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from ..browser import open_browser
from .test_pages import PAGES

FIRST_VIEW = 2_000_000
"""Bytes, not compressed, that a page may take before anybody scrolls or clicks."""

PHONE = {"width": 390, "height": 844}
LIKE_ALL_OTHERS = ("book/intro", "book/02_attacks", "book/lab")
"""A page of each kind: cards and lists, a chapter with formulas, a scene."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.mark.parametrize("page", PAGES)
def test_the_first_view_is_light_and_nothing_of_the_lab_is_in_it(
    browser: Browser, site: Path, page: str
) -> None:
    opened, sizes = browser.new_page(), {}

    def count(answer: object) -> None:
        path = Path(getattr(answer, "url", "").removeprefix("file://"))
        if path.is_file():
            sizes[path.relative_to(site).as_posix()] = path.stat().st_size

    opened.on("response", count)
    opened.goto((site / f"{page}.html").as_uri(), wait_until="networkidle")
    opened.close()
    assert f"{page}.html" in sizes
    assert not [name for name in sizes if name.startswith("lab/")]
    assert sum(sizes.values()) <= FIRST_VIEW, sizes


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("page", LIKE_ALL_OTHERS)
def test_axe_finds_nothing_serious(browser: Browser, site: Path, page: str, mode: str) -> None:
    opened = browser.new_page(color_scheme=mode)  # type: ignore[arg-type]
    opened.goto((site / f"{page}.html").as_uri(), wait_until="load")
    found = serious(opened)
    opened.set_viewport_size({"width": PHONE["width"], "height": PHONE["height"]})
    opened.wait_for_timeout(600)  # the theme then makes tab stops of what has to scroll
    found += [f"on a phone: {problem}" for problem in serious(opened)]
    opened.close()
    assert not found, "\n".join(found)


def serious(page: Page) -> list[str]:
    violations = Axe().run(page).response["violations"]
    return [
        f"{violation['id']}: {node['html'][:160]}"
        for violation in violations
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]


@pytest.mark.parametrize("page", [name for name in PAGES if name[5:7].isdigit()])
def test_a_phone_shows_the_question_before_imports_and_parameters(
    browser: Browser, site: Path, page: str
) -> None:
    opened = browser.new_page(viewport={"width": PHONE["width"], "height": PHONE["height"]})
    opened.goto((site / f"{page}.html").as_uri(), wait_until="load")
    shown = opened.eval_on_selector_all(
        ".cell_input pre",
        """(all, end) => all.filter(code => code.checkVisibility()
            && code.getBoundingClientRect().top < end).map(code => code.innerText)""",
        2 * PHONE["height"],
    )
    opened.close()
    assert not [code for code in shown if code.startswith(("from ", "import "))]
