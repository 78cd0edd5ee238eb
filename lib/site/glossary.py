"""A Sphinx extension: where a page uses a term of the glossary first, it says what that means."""

import re
from collections.abc import Iterator
from functools import lru_cache
from textwrap import shorten

from docutils import nodes  # type: ignore[import-untyped]
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

LONGEST = 320
"""Characters of a definition that are shown under the pointer."""

UNTOUCHED = (
    nodes.reference,
    nodes.literal,
    nodes.table,
    nodes.math,
    nodes.raw,
    nodes.literal_block,
)
"""In these a word stays a word."""


@lru_cache(maxsize=1)  # the pages of a build share it
def _definitions(env: BuildEnvironment) -> dict[str, tuple[str, str, str]]:
    """Return by term, in small letters, the page, the anchor and what it means."""
    places = [place for place in env.get_domain("std").get_objects() if place[2] == "term"]
    meanings = {
        (page, anchor): next(term.parent.findall(nodes.definition)).astext()
        for page in {place[3] for place in places}
        for term in env.get_doctree(page).findall(nodes.term)
        for anchor in term["ids"]
    }
    return {
        name.lower(): (page, anchor, shorten(meanings[page, anchor], LONGEST, placeholder=" …"))
        for name, _, _, page, anchor, _ in places
    }


def _words(doctree: nodes.document) -> Iterator[nodes.Text]:
    """Return the text of a page that reads as sentences."""
    for paragraph in doctree.findall(nodes.paragraph):
        for text in [*paragraph.findall(nodes.Text)]:
            above: nodes.Node | None = text.parent
            while above is not None and not isinstance(above, UNTOUCHED):
                above = above.parent
            if above is None:
                yield text


def _link_terms(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Turn the first use of each term on a page into a link that says what it means."""
    if app.builder.format != "html":
        return
    terms = {
        name.removesuffix("s"): where
        for name, where in sorted(_definitions(app.env).items(), key=lambda term: -len(term[0]))
        if where[0] != page
    }
    pattern = re.compile(rf"\b({'|'.join(map(re.escape, terms))})s?\b", re.IGNORECASE)
    for text in _words(doctree) if terms else ():
        parts: list[nodes.Node] = []
        end, whole = 0, text.astext()
        for hit in pattern.finditer(whole):
            if where := terms.pop(hit[1].lower(), None):
                target, anchor, meaning = where
                used = nodes.inline(hit[0], hit[0], classes=["term-use"])
                link = make_refnode(app.builder, page, target, anchor, used, meaning)
                parts += [nodes.Text(whole[end : hit.start()]), link]
                end = hit.end()
        if parts:
            text.parent.replace(text, [*parts, nodes.Text(whole[end:])])


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the extension."""
    app.connect("doctree-resolved", _link_terms)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
