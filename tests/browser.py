"""A headless Chromium for tests of pages, and what every page must keep to while it is open."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("/usr/bin/chromium", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = [
    "--no-sandbox",  # containers have none
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
]
MISSING = (
    "NO BROWSER: the tests of the pages DID NOT RUN. They need Chromium: "
    "'apt-get install chromium' on Debian, or any Chrome on the PATH."
)


def executable() -> str | None:
    """Where a Chromium is; None: there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


@pytest.fixture(scope="module")  # and not the session: its event loop would be in the way of other modules' own
def browser() -> Iterator[Browser]:
    """A browser without windows. Tests are skipped, loudly, where there is none."""
    path = executable()
    if path is None:
        pytest.skip(MISSING)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def visiting(browser: Browser, url: str, *, errors: tuple[str, ...] = (), **options: Any) -> Iterator[Page]:
    """A page at `url`, in a context of its own with these options.

    Nothing may be wrong when it closes: no error in the console (but those with one of `errors` in them), no exception
    that nobody caught, no request to another host.
    """
    options = {"viewport": {"width": 1280, "height": 900}, "locale": "en-GB", "reduced_motion": "reduce"} | options
    context, wrong = browser.new_context(**options), []
    context.set_default_timeout(20_000)
    page = context.new_page()
    host = urlsplit(url).netloc

    def hear(message: Any) -> None:
        if message.type == "error" and not any(known in message.text for known in errors):
            wrong.append(f"console: {message.text}")

    def watch(request: Any) -> None:
        asked = urlsplit(request.url)
        if asked.scheme in ("http", "https", "ws", "wss") and asked.netloc != host:
            wrong.append(f"another host: {request.url}")

    page.on("console", hear)
    page.on("pageerror", lambda error: wrong.append(f"exception: {error}"))
    context.on("request", watch)
    page.goto(url)
    yield page
    context.close()
    assert not wrong, wrong
