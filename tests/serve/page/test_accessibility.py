"""The page at /app for whoever comes: by keyboard alone, in each language, on a phone, with a screen reader."""

from __future__ import annotations

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect
from shown import CATALOGUE, GENERATED, LANGUAGES, PANELS, WORDS, batch, generated, sources

from jaxgen_serve.web import PAGE


def test_keyboard_alone_samples_selects_blends_and_keeps(visit, client):
    with visit() as page:
        expect(page.locator("#used")).to_have_text(GENERATED)
        press = page.keyboard.press
        stops = []
        while len(stops) < 30 and (not stops or stops[-1][0] != "seed"):
            press("Tab")
            stops.append(page.evaluate(FOCUSED))
        assert all(visible for _, visible in stops), stops
        names = [name for name, _ in stops]
        assert names.index("tab-generate") < names.index("model") < names.index("seed")
        assert len([name for name in names if name.startswith("tab-")]) == 1  # the arrows lead to the others
        press("Shift+Tab")
        press("l")
        expect(page.locator("#lock")).to_have_attribute("aria-pressed", "true")
        press("2")
        expect(page.locator("#used")).to_have_text(re.compile(r"class bee .*\d (ms|s)\b"))
        assert sources(page) == batch(client, 5, model="vae", seed=int(page.input_value("#seed")), label=2)
        page.locator(".tile").first.focus()
        for key in ("Space", "ArrowRight", "ArrowDown", "ArrowLeft", "Enter"):
            press(key)
        expect(page.locator(".tile[aria-pressed=true]")).to_have_count(2)
        before = client.get("/gallery").json()["total"]
        press("k")
        expect(page.locator(".toast")).to_contain_text("2 images kept")
        assert client.get("/gallery").json()["total"] == before + 2
        press("b")
        expect(page.locator("#blend-actions")).to_be_visible()
        press("ArrowRight")
        expect(page.locator("#tab-hand")).to_be_focused()
        expect(page.locator("#panel-hand")).to_be_visible()
        press("?")
        expect(page.locator("#help-box")).to_be_visible()
        press("Escape")
        expect(page.locator("#help-box")).to_be_hidden()
        page.locator("#paper").focus()
        page.keyboard.down(" ")
        for _ in range(6):
            press("ArrowDown")
        page.keyboard.up(" ")
        page.locator("#reconstruct").focus()
        press("Enter")
        expect(page.locator("#findings img")).to_have_count(2)


FOCUSED = """() => {
  const at = document.activeElement;
  const box = at.getBoundingClientRect();
  const ring = [at, at.closest("label")].some((node) => node && getComputedStyle(node).outlineStyle !== "none");
  return [at.id || at.className || at.tagName, ring && box.width > 0];
}"""


def test_single_key_shortcuts_can_be_turned_off(visit):
    with visit() as page:
        page.click("#help")
        page.uncheck("#keys-on")
        page.keyboard.press("Escape")
        page.keyboard.press("g")
        expect(page.locator("#panel-generate")).to_be_visible()
        page.reload()
        expect(page.locator("#used")).to_have_text(GENERATED)
        page.keyboard.press("g")
        expect(page.locator("#panel-generate")).to_be_visible()


def test_catalogue_has_the_same_keys_and_values_in_each_language():
    for key, texts in CATALOGUE.items():
        assert len(texts) == len(LANGUAGES) and all(texts), key
        assert len({frozenset(re.findall(r"{\w+}", text)) for text in texts}) == 1, key
    code = "".join(path.read_text() for path in [*PAGE.glob("*.js"), PAGE / "index.html"])
    asked = set(re.findall(r'(?:\bt\(|data-t=|data-t-label=|data-t-tip=|Label: |\bt: )"([\w.-]+)"', code))
    missing = {key for key in asked if key not in WORDS["en"] and f"{key}.other" not in WORDS["en"]}
    assert not missing


@pytest.mark.parametrize(("locale", "language"), [("pt-BR", "pt"), ("fr-FR", "fr"), ("de-DE", "en")])
def test_language_is_the_browsers_until_one_is_chosen(visit, locale, language):
    with visit(locale=locale) as page:
        expect(page.locator("html")).to_have_attribute("lang", language)
        expect(page.locator("#go-text")).to_have_text(WORDS[language]["generate"])
        expect(page.locator("#tab-hand")).to_have_text(WORDS[language]["tab.hand"])
        other = "en" if language != "en" else "fr"
        page.select_option("#language", other)
        expect(page.locator("#go-text")).to_have_text(WORDS[other]["generate"])
        page.reload()
        expect(page.locator("#go-text")).to_have_text(WORDS[other]["generate"])


CLIPPED = """() => {
  const wide = (node) => node.matches("button, label") && node.scrollWidth > node.clientWidth + 1;
  const out = ({ left, right, width }) => width && (left < -1 || right > innerWidth + 1);
  return [...document.querySelectorAll("main *, header *")]
    .filter((node) => node.checkVisibility() && !node.closest(".unseen, option"))
    .filter((node) => out(node.getBoundingClientRect()) || wide(node))
    .map((node) => node.id || node.className || node.tagName);
}"""


@pytest.mark.parametrize("locale", ["en", "pt", "fr"])
def test_phone_shows_each_panel_without_scrolling_sideways(visit, locale):
    with visit("classes", viewport={"width": 360, "height": 740}, locale=locale) as page:
        expect(page.locator("#used")).to_have_text(GENERATED)
        for model, panel in (
            ("classes", "generate"),
            ("vae", "blend"),
            ("vae", "hand"),
            ("plane", "map"),
            ("vae", "gallery"),
        ):
            page.click(f"#tab-{panel}")
            if panel != "gallery":
                page.select_option("#model", model)
            if panel == "generate":
                generated(page, "#go")
            assert page.evaluate("() => document.documentElement.scrollWidth") <= 360, panel
            assert page.evaluate("() => tabs.scrollWidth - tabs.clientWidth") <= 0, panel
            assert page.evaluate(CLIPPED) == [], panel


def test_low_screen_keeps_the_main_button_within_reach_and_sheets_are_whole(visit):
    with visit("classes", viewport={"width": 1280, "height": 720}) as page:
        expect(page.locator("#used")).to_have_text(GENERATED)
        box = page.locator("#go").bounding_box()
        assert box["y"] + box["height"] <= 720
        page.check("#counts input[value='64']")
        generated(page, "#go")
        left = page.locator(".tile").evaluate_all("(tiles) => tiles.map((tile) => Math.round(tile.offsetLeft))")
        assert 64 % len(set(left)) == 0 and len(set(left)) < 64


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(visit, scheme):
    with visit("classes", color_scheme=scheme) as page:
        expect(page.locator("#used")).to_have_text(GENERATED)
        generated(page, "#go")
        page.locator(".tile").first.click()
        found = {}
        for panel in (*PANELS, "help"):
            page.click("#help" if panel == "help" else f"#tab-{panel}")
            page.wait_for_load_state("networkidle")
            report = Axe().run(page).response
            found[panel] = [
                (one["id"], [node["html"][:120] for node in one["nodes"]])
                for one in report["violations"] if one["impact"] in ("serious", "critical")
            ]  # fmt: skip
            assert len(report["passes"]) > 10
        assert not any(found.values()), found


def test_theme_is_the_systems_until_it_is_switched(visit):
    background = "() => getComputedStyle(document.documentElement).backgroundColor"
    with visit(color_scheme="dark") as page:
        dark = page.evaluate(background)
        page.click("#theme")
        light = page.evaluate(background)
        page.reload()
        assert page.evaluate(background) == light != dark
