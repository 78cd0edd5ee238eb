"""A Sphinx extension: formulas that need no network, and what the theme leaves to be mended."""

from importlib import resources
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.util.fileutil import copy_asset

MATHJAX = ("tex-chtml.js", "output/chtml/fonts")
"""What typesetting takes; the whole of MathJax is twenty times as large."""


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


def _without_thebe(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object
) -> None:
    """Drop the scripts of Thebe, which no page uses: they stand there twice, an error."""
    context["script_files"] = [
        script
        for script in context["script_files"]
        if "thebe" not in f"{script.filename} {script.attributes.get('body')}".lower()
    ]


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the extension."""
    app.config.mathjax_path = "mathjax/tex-chtml.js"
    app.connect("html-page-context", _without_thebe)
    app.connect("build-finished", _copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
