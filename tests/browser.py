"""A Chromium that the machine already has, for tests of what runs in a page."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Give a browser; without one, what needs it is skipped."""
    installed = next(filter(None, map(shutil.which, NAMES)), None)
    with sync_playwright() as playwright:
        own = Path(playwright.chromium.executable_path)
        if installed is None and not own.is_file():
            pytest.skip(f"no Chromium here: looked for {', '.join(NAMES)}")
        browser = playwright.chromium.launch(executable_path=installed or own, args=OPTIONS)
        yield browser
        browser.close()
