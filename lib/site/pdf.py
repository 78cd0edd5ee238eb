"""The book as a PDF: all pages as one, printed by a Chromium that the machine has."""

import shutil
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from lib.compute.parameters import RefusedError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

READY = """async () => {
    for (const image of document.images) image.loading = "eager";
    for (const folded of document.querySelectorAll("details.sd-dropdown")) folded.open = true;
    await Promise.all([...document.images].map((image) => image.decode().catch(() => null)));
    await document.fonts.ready;
    if (window.MathJax?.startup) await MathJax.startup.promise;
}"""
"""Everything is loaded before it is printed, and what is folded is open, except code."""

FOOT = """<div style="font-size: 8px; width: 100%; text-align: center">
<span class="pageNumber"></span></div>"""


def browser() -> str:
    """Return the path of a Chromium.

    Raises
    ------
    RefusedError
        There is none, or what drives it is not installed: the message says what to do.
    """
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise RefusedError(
            f"a PDF is printed by a browser, and there is none: looked for {', '.join(BROWSERS)}. "
            "Install one, such as Debian's package chromium"
        )
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        raise RefusedError(
            "a PDF is printed through playwright: pip install -r tests/requirements.txt"
        ) from None
    return found


def write(page: Path, target: Path) -> None:
    """Print a page to a PDF, with bookmarks for its headings and its links.

    Parameters
    ----------
    page
        An HTML file.
    target
        The PDF.
    """
    program = browser()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        tab = opened.new_page(color_scheme="light")
        tab.set_default_timeout(300_000)
        tab.goto(page.as_uri(), wait_until="load")
        tab.evaluate(READY)
        margins: Any = dict.fromkeys(("top", "bottom", "left", "right"), "18mm")
        tab.pdf(
            path=target,
            format="A4",
            margin=margins,
            outline=True,
            tagged=True,
            display_header_footer=True,
            header_template="<span></span>",
            footer_template=FOOT,
        )
        opened.close()


def _own_names(app: Sphinx, page: str, source: list[str]) -> None:
    """Begin each anchor with its page's name: in one file two pages may not share one."""
    if app.builder.name == "singlehtml":
        for publisher in app.registry.publishers.values():
            publisher.settings.id_prefix = f"{page.rpartition('/')[2].replace('_', '-')}-"


def _know_all_nodes(app: Sphinx) -> None:
    """Draw what other extensions made for pages: one that names this builder hides the rest."""
    known = app.registry.translation_handlers
    if "singlehtml" in known:
        known["singlehtml"] = {**known["html"], **known["singlehtml"]}


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the extension."""
    app.connect("builder-inited", _know_all_nodes)
    app.connect("source-read", _own_names)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
