"""The site is whole: read as files, then in a browser, with no network."""

import functools
import json
import re
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from lib.site import render as renderer
from lib.site.book import pages

from ..browser import open_browser
from ..conftest import ROOT

PAGES = pages(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8")))
CHAPTERS = [page for page in PAGES if (ROOT / f"{page}.ipynb").is_file()]
REPOSITORY = "github.com/dominant-filters/dominant-filters"

each_page = pytest.mark.parametrize("page", PAGES)
each_chapter = pytest.mark.parametrize("page", CHAPTERS)


class Elements(HTMLParser):
    """The start tags of a page, with their attributes."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def values(self, attribute: str, *tags: str) -> list[str]:
        return [
            attributes[attribute]
            for tag, attributes in self.found
            if attribute in attributes and (not tags or tag in tags)
        ]


class TestFiles:
    def test_every_page_of_the_contents_is_there(self, site: Path) -> None:
        assert (site / "index.html").is_file()
        assert all((site / f"{page}.html").is_file() for page in PAGES)

    def test_no_internal_link_is_broken(self, site: Path) -> None:
        of_the_theme = site / "_static"  # templates that are no pages
        anchors = {
            path: set(Elements(path).values("id"))
            for path in site.rglob("*.html")
            if of_the_theme not in path.parents
        }
        broken = []
        for path in anchors:
            elements = Elements(path)
            for link in [*elements.values("href"), *elements.values("src")]:
                parts = urlsplit(link)
                if parts.scheme or parts.netloc:
                    continue
                target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
                known = anchors.get(target, set())
                if not target.exists() or (parts.fragment and parts.fragment not in known):
                    broken.append(f"{path.relative_to(site)}: {link}")
        assert not broken

    @each_page
    def test_images_have_alt_text_that_is_not_a_path(self, site: Path, page: str) -> None:
        for tag, attributes in Elements(site / f"{page}.html").found:
            if tag == "img":
                alt = attributes.get("alt", "")
                assert alt.strip(), attributes
                assert not re.search(r"[/\\]|\.(png|svg|jpe?g)$|^_images", alt), alt

    @each_chapter
    def test_figures_are_numbered_and_captioned(self, site: Path, page: str) -> None:
        text = (site / f"{page}.html").read_text(encoding="utf-8")
        source = json.loads((ROOT / f"{page}.ipynb").read_text(encoding="utf-8"))
        figures = [
            cell["metadata"]["mystnb"]["figure"]["name"]
            for cell in source["cells"]
            if "figure" in cell["metadata"].get("mystnb", {})
        ]
        numbers = re.findall(r'caption-number">Figure (\d+\.\d+)', text)
        assert figures or page in ("book/claims", "book/plan")  # which have tables alone
        assert len(numbers) == len(figures) == len(set(numbers))
        assert all(f'id="{name}"' in text for name in figures)

    @each_chapter
    def test_every_folded_bar_has_a_name_of_its_own(self, site: Path, page: str) -> None:
        text = (site / f"{page}.html").read_text(encoding="utf-8")
        names = re.findall(r'<p class="collapsed admonition-title">(.*?)</p>', text)
        assert names
        assert sorted(names) == sorted(set(names))

    @each_chapter
    def test_the_buttons_open_the_clean_source(self, site: Path, page: str) -> None:
        links = Elements(site / f"{page}.html").values("href", "a")
        on_github = REPOSITORY.removeprefix("github.com")
        assert (
            f"https://colab.research.google.com/github{on_github}/blob/main/{page}.ipynb" in links
        )
        assert any("mybinder.org" in link and f"{page}.ipynb" in link for link in links)
        assert f"https://{REPOSITORY}/edit/main/{page}.ipynb" in links

    @each_chapter
    def test_the_download_is_the_executed_chapter(self, site: Path, page: str) -> None:
        assert any(
            link.endswith(f"_sources/{page}.ipynb")
            for link in Elements(site / f"{page}.html").values("href", "a")
        )
        notebook = json.loads((site / "_sources" / f"{page}.ipynb").read_text(encoding="utf-8"))
        code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        assert all(cell["execution_count"] for cell in code)

    def test_the_first_page_has_the_parameters_of_this_run_and_of_the_full_scale(
        self, site: Path
    ) -> None:
        text = (site / "book" / "intro.html").read_text(encoding="utf-8")
        tables = text[text.index("Executed (UTC)") :].translate({0x2018: "'", 0x2019: "'"})
        paper = yaml.safe_load((ROOT / "book/presets/paper.yaml").read_text(encoding="utf-8"))
        full_scale = tables[tables.index("was computed under the preset") :]
        for name, value in paper.items():
            shown = rf">{name}</span></code> {re.escape(str(value))}[,.]"
            assert re.search(shown, full_scale), name
        assert not re.search("</code> *[,<]", tables), "a parameter without a value"

    def test_no_page_shows_a_warning_of_what_it_is_made_with(self, site: Path) -> None:
        marks = ("WARNING:", "Warning:", "AutoGraph could not", "cuda drivers")
        for path in sorted((site / "book").glob("*.html")):
            text = path.read_text("utf-8")
            assert not [mark for mark in marks if mark in text], path.name

    def test_no_page_names_a_folder_of_this_machine(self, site: Path) -> None:
        for path in site.rglob("*"):
            if path.suffix in {".html", ".ipynb", ".js", ".md", ".svg", ".txt"}:
                text = path.read_text(encoding="utf-8", errors="replace")
                assert str(ROOT) not in text, path
                assert str(Path.home()) + "/" not in text, path


def test_a_page_says_which_chapter_it_lacks() -> None:
    glue = "```{glue} finding\n:doc: claims.ipynb\n```\n"
    assert renderer._without_glue(glue, set()) == glue
    assert "python -m lib build claims" in renderer._without_glue(glue, {"claims"})
    assert "glue" not in renderer._without_glue(glue, {"claims"})
    scene = "```{glue} scene-static\n:doc: lab.ipynb\n```\n"
    assert "python -m lib build lab" in renderer._without_glue(scene, {"lab"})
    number = "It reads {glue:text}`claims.ipynb::split-static:.1%` of them."
    assert renderer._without_glue(number, {"01_model"}) == number
    assert renderer._without_glue(number, {"claims"}) == "It reads (not built yet) of them."


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def served(site: Path) -> Iterator[str]:
    """Return the address of the site on a server of this machine."""
    handler = functools.partial(_Quiet, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Visit:
    """A page that was opened, with what the browser complained about."""

    def __init__(self, browser: Browser, address: str, **options: Any) -> None:
        self.complaints: list[str] = []
        self.page: Page = browser.new_page(**options)
        self.page.set_default_timeout(120_000)  # a busy machine is no fault
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("requestfailed", lambda request: self.complaints.append(f"no {request.url}"))
        self.page.on("request", self._request)
        self.here = urlsplit(address).netloc
        self.page.goto(address, wait_until="load")
        if self.page.locator(".math").count():
            self.page.wait_for_selector("mjx-container", state="attached", timeout=120_000)
        self.page.evaluate("document.fonts.ready")

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            where = message.location["url"]
            self.complaints.append(f"{message.type}: {message.text} {where}")

    def _request(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.netloc != self.here:
            self.complaints.append(f"asked another host: {request.url}")


@pytest.fixture(params=["file", "http"])
def address(request: pytest.FixtureRequest, site: Path) -> str:
    """Return where the site starts: on the disk, and on a server."""
    return site.as_uri() if request.param == "file" else request.getfixturevalue("served")


@each_page
class TestBrowser:
    def test_a_page_is_whole_and_asks_no_other_host(
        self, browser: Browser, address: str, page: str
    ) -> None:
        visit = Visit(browser, f"{address}/{page}.html")
        visit.page.evaluate(
            """() => Promise.all([...document.images].map(image => {
                image.loading = "eager";  // those out of sight, too
                return image.decode().catch(() => null);
            }))"""
        )
        undrawn = visit.page.eval_on_selector_all(
            "img", "all => all.filter(image => !image.naturalWidth).map(image => image.src)"
        )
        assert not undrawn
        formulas = visit.page.locator(".math").count()
        assert visit.page.locator("mjx-container").count() >= formulas
        assert visit.page.locator("mjx-merror").count() == 0
        visit.page.wait_for_timeout(300)  # late scripts
        assert visit.complaints == []
        visit.page.close()

    def test_a_phone_shows_all_of_it_without_scrolling_sideways(
        self, browser: Browser, site: Path, page: str
    ) -> None:
        phone = {"width": 390, "height": 844}
        visit = Visit(browser, (site / f"{page}.html").as_uri(), viewport=phone)
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= phone["width"]
        cut = visit.page.evaluate(
            """() => [...document.querySelectorAll("article :is(img, table, mjx-container)")]
                .filter(element => {
                    if (element.getBoundingClientRect().right <= innerWidth) return false;
                    for (let box = element; box.tagName != "ARTICLE"; box = box.parentElement)
                        if (/auto|scroll/.test(getComputedStyle(box).overflowX)) return false;
                    return true;
                }).map(element => element.outerHTML.slice(0, 200))"""
        )
        assert not cut
        visit.page.close()

    def test_dark_mode_is_readable(self, browser: Browser, site: Path, page: str) -> None:
        visit = Visit(browser, (site / f"{page}.html").as_uri(), color_scheme="dark")
        assert visit.page.evaluate("document.documentElement.dataset.theme") == "dark"
        faint = visit.page.evaluate(FAINT)
        assert not faint
        dim = visit.page.eval_on_selector_all(
            ".cell_output img",
            """all => all.filter(image => getComputedStyle(image).backgroundColor
                != "rgb(255, 255, 255)").map(image => image.alt)""",
        )
        assert not dim, "figures are drawn for a white ground"
        visit.page.close()


FAINT = """() => {
    const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
        .map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const ground = element => {
        for (; element; element = element.parentElement) {
            const colour = numbers(getComputedStyle(element).backgroundColor);
            if (colour.length < 4 || colour[3] > 0.5) return colour;
        }
        return [255, 255, 255];
    };
    return [...document.querySelectorAll("article :is(p, li, th, td, figcaption, pre span)")]
        .filter(element => element.innerText?.trim())
        .filter(element => {
            const [a, b] = [numbers(getComputedStyle(element).color), ground(element)].map(light);
            return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5;
        }).map(element => element.outerHTML.slice(0, 200));
}"""
"""Text whose contrast is below 4.5, the least that WCAG 2 asks for."""


FIRST_VIEW = 2_000_000
"""Bytes, not compressed, that a page may take before anybody scrolls or clicks."""

PHONE = {"width": 390, "height": 844}
LIKE_ALL_OTHERS = ("book/intro", "book/02_attacks", "book/claims", "book/lab")
"""A page of each kind: cards and lists, a chapter with formulas, folded evidence, a scene."""


@pytest.mark.parametrize("page", PAGES)
def test_a_phone_shows_whole_tables_and_legible_figures(
    browser: Browser, site: Path, page: str
) -> None:
    opened = browser.new_page(viewport={"width": PHONE["width"], "height": PHONE["height"]})
    opened.goto((site / f"{page}.html").as_uri(), wait_until="load")
    opened.add_style_tag(content=".covered { display: block !important; }")
    opened.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    scrolls = opened.eval_on_selector_all(
        "article table",
        """all => all.filter(table => table.offsetWidth > table.parentElement.clientWidth)
            .map(table => [table.offsetWidth, table.innerText.slice(0, 100)])""",
    )
    figures = opened.eval_on_selector_all(
        "article figure img[src$='.svg']",
        """all => Promise.all(all.map(image => {
            image.loading = "eager";  // those out of sight, too
            return image.decode().then(() => [image.getAttribute("src"), image.clientWidth]);
        }))""",
    )
    opened.close()
    assert not scrolls
    for source, width in figures:
        drawing = (site / page).parent.joinpath(source).read_text(encoding="utf-8")
        points = float(re.findall(r'<svg [^>]*width="([\d.]+)pt"', drawing)[0])
        # Glyphs are paths, scaled by a hundredth of the size of the font.
        sizes = [100 * float(scale) for scale in re.findall(r"scale\(([\d.]+) -", drawing)]
        assert min(sizes, default=10) * width / points >= 9, source


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
    found += [f"on a phone: {problem}" for problem in serious(opened)]
    assert not opened.locator("mjx-container[tabindex]").count(), "a formula is a tab stop"
    opened.close()
    assert not found, "\n".join(found)


SEEN = """() => {
    const seen = (style) => style.boxShadow !== "none" ||
        (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1);
    const focused = document.activeElement, parts = [undefined, "::before", "::after"];
    const is = parts.some((part) => seen(getComputedStyle(focused, part)));
    return is || focused === document.body ? "" : focused.outerHTML.slice(0, 160);
}"""


@pytest.mark.parametrize("page", LIKE_ALL_OTHERS)
def test_who_uses_the_keyboard_sees_what_has_the_focus(
    browser: Browser, site: Path, page: str
) -> None:
    opened = browser.new_page()
    opened.goto((site / f"{page}.html").as_uri(), wait_until="load")
    hidden = set()
    for _ in range(120):
        opened.keyboard.press("Tab")
        hidden.add(opened.evaluate(SEEN))
    opened.close()
    assert hidden == {""}


BY_WORDS = {"rules": {"label-content-name-mismatch": {"enabled": True}}}
"""What axe leaves out otherwise: a button is called by the words on it."""


def serious(page: Page) -> list[str]:
    """Return what axe finds once the page is ready.

    The theme makes tab stops of what has to scroll a while after a page is loaded or resized.
    """
    for _ in range(20):
        found = [
            f"{violation['id']}: {node['html'][:160]}"
            for violation in Axe().run(page, options=BY_WORDS).response["violations"]
            if violation["impact"] in ("serious", "critical")
            for node in violation["nodes"]
        ]
        if not found:
            break
        page.wait_for_timeout(500)
    return found


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
    not_yet = ("style.use_style()", "from lib.compute.parameters import")
    assert not [code for code in shown if any(words in code for words in not_yet)]
