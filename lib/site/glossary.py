"""A Sphinx extension: where a page uses a term of the glossary first, it says what that means."""

import re
from collections.abc import Iterator

from docutils import nodes  # type: ignore[import-untyped]
from sphinx.application import Sphinx
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


def _definitions(app: Sphinx) -> dict[str, tuple[str, str, str]]:
    """Return by term, in small letters, the page, the anchor and what it means."""
    found = {}
    standard = app.env.get_domain("std")
    for name, _, kind, page, anchor, _ in standard.get_objects():
        if kind == "term":
            for term in app.env.get_doctree(page).findall(nodes.term):
                if anchor in term["ids"] and term.parent is not None:
                    meaning = next(term.parent.findall(nodes.definition)).astext()
                    short = re.sub(r"\s+", " ", meaning)
                    if len(short) > LONGEST:
                        short = f"{short[:LONGEST].rpartition(' ')[0]} …"
                    found[name.lower()] = (page, anchor, short)
    return found


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
        for name, where in sorted(_definitions(app).items(), key=lambda term: -len(term[0]))
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
