"""What the page at /app shows, and how its tests use it."""

from __future__ import annotations

import base64
import json
import re

import httpx
import pytest
from browser import visiting
from playwright.sync_api import Page, expect

from jaxgen_serve.web import PAGE

PANELS = ("generate", "blend", "hand", "map", "gallery")
LANGUAGES = ("en", "pt", "fr")
CATALOGUE = json.loads((PAGE / "strings.json").read_text())
WORDS = {name: {key: texts[i] for key, texts in CATALOGUE.items()} for i, name in enumerate(LANGUAGES)}
GENERATED = re.compile(r"\d (ms|s)\b")  # the caption has a time once all is sampled
expect.set_options(timeout=20_000)


@pytest.fixture
def visit(browser, server):
    """visit(model, panel, **options): the page, showing that model and panel."""

    def open_page(model: str = "vae", panel: str = "generate", **options):
        return visiting(browser, f"{server.url}/app/?model={model}#{panel}", **options)

    return open_page


def sources(page: Page, selector: str = ".tile img") -> list[str]:
    return [image.get_attribute("src") for image in page.locator(selector).all()]


def as_source(image: str) -> str:
    return f"data:image/png;base64,{image}"


def content(source: str) -> bytes:
    return base64.b64decode(source.partition(",")[2])


def lock(page: Page, seed: int) -> None:
    """Type a seed, which then stays."""
    expect(page.locator("#seed")).not_to_have_value("")  # the page's code is there
    page.fill("#seed", str(seed))
    expect(page.locator("#lock")).to_have_attribute("aria-pressed", "true")


def generated(page: Page, click: str) -> list[str]:
    """Click; the images that are there afterwards."""
    expect(page.locator("#model")).not_to_have_value("")
    before = page.locator("#used").text_content()
    page.click(click)
    if before:
        expect(page.locator("#used")).not_to_have_text(before)
    expect(page.locator("#used")).to_have_text(GENERATED)
    return sources(page)


def saved(page: Page, button: str) -> bytes:
    """What a button downloads."""
    with page.expect_download() as download:
        page.click(button)
    return download.value.path().read_bytes()


def batch(client: httpx.Client, count: int, **body) -> list[str]:
    """What the API samples."""
    answer = client.post(f"/generate-batch?num_images={count}&format=list", json=body)
    return [as_source(one["image"]) for one in answer.json()["images"]]
