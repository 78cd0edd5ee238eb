"""The PDF of a small book: pages, bookmarks, links that stay inside, sharp drawings."""

import re
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from lib.compute.parameters import RefusedError
from lib.site import pdf
from lib.site.book import Book
from lib.site.cli import main

from ..browser import open_browser

DRAWN = """
import matplotlib.pyplot as plt
from lib.figures import style

style.use_style()
plt.plot([0, 1]);
"""


def content(path: Path) -> bytes:
    """Return what a PDF holds, its streams unpacked."""
    raw = path.read_bytes()
    found = [raw]
    for stream in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", raw, re.DOTALL):
        try:
            found.append(zlib.decompress(stream))
        except zlib.error:
            continue  # a font or a picture
    return b"\n".join(found)


def test_a_book_is_printed_with_bookmarks_links_and_vectors(
    new_book: Callable[..., Book],
) -> None:
    with open_browser():
        pass  # skipped without one
    book = new_book(DRAWN)
    (book.source / "intro.md").write_text("# Tiny\n\n{doc}`The chapter <01_tiny>`\n")
    main(["build"], obj=book, standalone_mode=False)
    main(["pdf"], obj=book, standalone_mode=False)
    found = content(book.build / "book.pdf")
    assert len(re.findall(rb"/Type /Page\b", found)) >= 1
    assert len(re.findall(rb"/Title", found)) >= 2  # a bookmark a heading
    assert re.search(rb"/Dest\b", found)
    assert re.search(rb"/Subtype /Link", found)
    assert b"file://" not in found
    assert b"/Subtype /Image" not in found  # the figure is lines


def test_without_a_browser_the_way_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf.shutil, "which", lambda name: None)
    with pytest.raises(RefusedError, match="Install one, such as Debian's package chromium"):
        pdf.browser()
