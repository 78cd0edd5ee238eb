"""A Sphinx extension: formulas that need no network, and what the theme leaves to be mended."""

import re
from importlib import resources
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.util.fileutil import copy_asset

MATHJAX = ("tex-chtml.js", "output/chtml/fonts")
"""What typesetting takes; the whole of MathJax is twenty times as large."""

DRAWS_ICONS_AGAIN = "scripts/fontawesome.js"
"""1.5 MB that draw the icons which the style sheet's fonts have drawn already."""


def _copy_mathjax(app: Sphinx, failure: Exception | None) -> None:
    if failure or app.builder.format != "html":
        return
    source = resources.files("sphinx-mathjax-offline") / "static" / "mathjax"
    target = Path(app.outdir) / "_static" / "mathjax"
    with resources.as_file(source) as folder:
        for part in MATHJAX:
            copy_asset(
                str(folder / part),
                str((target / part).parent if (folder / part).is_file() else target / part),
            )


def _drop_second_icons(app: Sphinx, failure: Exception | None) -> None:
    script = Path(app.outdir) / "_static" / DRAWS_ICONS_AGAIN
    if not failure and script.is_file():
        script.write_text("// The fonts of the style sheet draw the icons.\n", encoding="utf-8")


def _load_images_late(app: Sphinx) -> None:
    app.env.settings["image_loading"] = "lazy"  # those that are out of sight


FORMULA = re.compile(r'class="[^"]*\bmath\b')


def _without_idle_scripts(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object
) -> None:
    """Drop Thebe, which no page uses, and MathJax, 1.2 MB, from pages without a formula."""
    idle = ["thebe"] if FORMULA.search(context.get("body", "")) else ["thebe", "mathjax"]
    context["script_files"] = [
        script
        for script in context["script_files"]
        if not any(
            name in f"{script.filename} {script.attributes.get('body')}".lower() for name in idle
        )
    ]


PLAINER = {
    # A name that all folded bars share hides the text that each of them shows.
    r'<summary aria-label="Toggle hidden content">': "<summary>",
    # A list may have items only, and citations are none.
    r'<div role="list" class="citation-list">': '<div class="citation-list">',
    r' role="doc-biblioentry"': "",
    # A name may be given once on a page, and every exercise gives these.
    r'<section id="(?:exercise|solution)-content">': "<section>",
    # Marks of names and blanks in code, a seventh of a page, which look like plain text.
    r'<span class="[nw]">([^<]*)</span>': r"\1",
    r"<th(?=[^>]*row_heading)(?![^>]* scope)": '<th scope="row"',
    r"<th(?=[\s>])(?![^>]* scope)": '<th scope="col"',
}
"""What readers of a screen would be told wrongly, and what stands there instead."""


def _say_what_is_there(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object
) -> None:
    for found, better in PLAINER.items():
        if "body" in context:
            context["body"] = re.sub(found, better, context["body"])


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the extension."""
    app.config.mathjax_path = "mathjax/tex-chtml.js"
    app.connect("html-page-context", _without_idle_scripts)
    app.connect("html-page-context", _say_what_is_there)
    app.connect("build-finished", _copy_mathjax)
    app.connect("build-finished", _drop_second_icons)
    app.connect("builder-inited", _load_images_late)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
