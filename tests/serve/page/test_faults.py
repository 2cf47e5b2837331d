"""The page at /app when something is missing, wrong or given up: what it says, and what it keeps."""

from __future__ import annotations

import json
import re
import shutil
from functools import partial

import pytest
from browser import visiting
from playwright.sync_api import Route, expect
from servers import serving, until
from shown import GENERATED, WORDS, as_source, batch, generated, lock, sources

SAID = {name: words["wrong.whole"] for name, words in WORDS.items()}


def kept(client, seed: int) -> dict:
    """An image that the gallery has."""
    return client.post("/gallery", json={"model": "vae", "seed": seed}).json()["images"][0]


def test_gallery_that_is_opened_or_reloaded_shows_its_images(visit, client):
    kept(client, 31)
    total = client.get("/gallery").json()["total"]
    with visit(panel="gallery") as page:
        for _ in range(2):
            expect(page.locator("#found")).to_have_text(re.compile(rf"^{total} image"))
            expect(page.locator(".card")).to_have_count(min(total, 60))
            expect(page.locator("#find-model option")).to_have_count(4)
            page.reload()


FOCUSED = "() => [document.activeElement.id, document.activeElement.closest('.card')?.dataset.id]"


def test_undo_and_shortcuts_leave_the_focus_on_what_they_show(visit, client):
    row = kept(client, 32)
    with visit(panel="gallery") as page:
        page.locator(".card").first.get_by_role("button", name="Delete").press("Enter")
        page.get_by_role("button", name="Undo").press("Enter")
        expect(page.locator(f".card[data-id='{row['id']}']")).to_have_count(1)
        expect(page.locator(":focus")).to_have_class(re.compile("deed"))
        assert page.evaluate(FOCUSED)[1] == row["id"]
        for key, panel in (("h", "hand"), ("g", "gallery"), ("p", "generate")):
            page.keyboard.press(key)
            expect(page.locator(f"#tab-{panel}")).to_be_focused()
            expect(page.locator(f"#panel-{panel}")).to_be_visible()


def test_page_of_a_server_without_models_says_so_and_finds_the_one_that_comes(browser, model_files, tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    model = folder / "vae.onnx"
    shutil.copy(model_files["vae"], model)
    with serving(folder, data=tmp_path / "data") as server, server.client() as own:
        kept(own, 33)
        model.unlink()
        assert until(lambda: own.get("/models").json()["models"] == [])
        with visiting(browser, f"{server.url}/app/#gallery") as page:
            expect(page.locator(".card")).to_have_count(1)
            for panel in ("generate", "blend", "hand", "map"):
                page.click(f"#tab-{panel}")
                expect(page.locator("#no-models p")).to_have_text(WORDS["en"]["models.none"])
                expect(page.locator(f"#panel-{panel}")).to_be_hidden()
                for key in "d2ark ":
                    page.keyboard.press(key)
            page.click("#tab-generate")
            shutil.copy(model_files["vae"], tmp_path / "aside")
            (tmp_path / "aside").replace(model)
            expect(page.locator("#used")).to_have_text(GENERATED)
            expect(page.locator("#no-models")).to_be_hidden()


HANG = """(frames) => {
  const fetched = (window.whole ??= window.fetch);
  const text = frames.map((data) => `event: frame\\ndata: ${JSON.stringify(data)}\\n\\n`).join("");
  const hanging = (signal) => new Response(new ReadableStream({
    start(controller) {
      controller.enqueue(new TextEncoder().encode(text));
      signal.addEventListener("abort", () => controller.error(signal.reason));
    },
  }));
  const streams = (url) => String(url).includes("/stream");
  window.fetch = async (url, options) => (streams(url) ? hanging(options.signal) : fetched(url, options));
}"""


def test_stopped_sampling_keeps_its_frames_or_gives_way_to_the_images_before(visit, client):
    query = {"model": "classes", "seed": 6, "num_images": 5}
    events = [block.split("\ndata: ") for block in client.get("/stream", params=query).text.split("\n\n") if block]
    frames = [json.loads(data) for name, data in events if name == "event: frame"][:2]
    shown = [[as_source(image) for image in frame["images"]] for frame in frames]
    with visit("classes") as page:
        expect(page.locator("#used")).to_have_text(GENERATED)
        lock(page, 5)
        before = generated(page, "#go")
        whole = page.locator("#used").text_content()
        page.evaluate(HANG, frames)
        lock(page, 6)
        page.click("#go")
        expect(page.locator("#frame-text")).to_have_text(f"Step 2 of {frames[0]['rows']}")
        used = page.locator("#used").text_content()
        assert used.startswith("seed 6 · ") and not GENERATED.search(used)
        assert page.evaluate("() => progress.value") == 2
        assert [page.locator(name).is_visible() for name in ("#progress", "#play", "#frame")] == [True, False, False]
        page.click("#go")
        expect(page.locator("#used")).to_have_text(f"Stopped at step 2 of {frames[0]['rows']} · {used}")
        assert sources(page) == shown[1]
        page.fill("#frame", "0")
        assert sources(page) == shown[0]
        expect(page.locator("#generate-actions")).to_be_hidden()
        page.evaluate(HANG, [])
        page.click("#go")
        expect(page.locator("#used")).to_have_text(used)
        page.keyboard.press("Escape")
        expect(page.locator("#used")).to_have_text(whole)
        assert sources(page) == before


def test_number_that_cannot_be_meant_is_reported_beside_its_field_and_not_sampled(visit, client):
    with visit("classes", locale="fr-FR") as page:
        expect(page.locator("#used")).to_have_text(GENERATED)
        before = page.locator("#used").text_content()
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        good = {"seed": "4294967295", "steps": "7"}
        for field, wrong, ends in (
            ("seed", "abc", (0, 4294967295)),
            ("seed", "4294967296", (0, 4294967295)),
            ("seed", "-1", (0, 4294967295)),
            ("seed", "12345678901", (0, 4294967295)),
            ("steps", "5000", (1, 50)),
            ("steps", "2.5", (1, 50)),
        ):
            page.fill(f"#{field}", wrong)
            page.click("#go")
            line = SAID["fr"].format(least=ends[0], most=ends[1])
            expect(page.locator(f"#{field}-wrong")).to_have_text(line)
            expect(page.locator(f"#{field}")).to_be_focused()
            assert page.input_value(f"#{field}") == wrong
            page.fill(f"#{field}", good[field])
            expect(page.locator(f"#{field}-wrong")).to_be_hidden()
        assert not any("/stream" in url for url in asked)
        assert page.locator("#used").text_content() == before
        generated(page, "#go")
        expect(page.locator("#used")).to_contain_text("graine 4294967295 · DDIM, 7 pas")


@pytest.mark.parametrize("seed", ["abc", "9999999999"])
def test_gallery_finds_nothing_for_a_seed_that_cannot_be_meant(visit, client, seed):
    kept(client, 34)
    with visit(panel="gallery", locale="pt-PT") as page:
        expect(page.locator(".card").first).to_be_visible()
        page.fill("#find-seed", seed)
        expect(page.locator(".card")).to_have_count(0)
        expect(page.locator("#find-seed-wrong")).to_have_text(SAID["pt"].format(least=0, most=4294967295))
        expect(page.locator("#problem")).to_be_hidden()
        page.fill("#find-seed", "34")
        expect(page.locator(".card").first).to_be_visible()
        expect(page.locator("#find-seed-wrong")).to_be_hidden()


def test_refusal_is_shown_in_the_readers_language_with_the_servers_line_below(visit, client):
    with visit(locale="fr-FR", errors=("status of",)) as page:
        expect(page.locator("#used")).to_have_text(GENERATED)
        lock(page, 35)
        shown = generated(page, "#go")
        assert shown == batch(client, 5, model="vae", seed=35)
        for status in (404, 409, 413, 422, 503, 400, 500):
            answer = partial(Route.fulfill, status=status, json={"detail": f"what went wrong: {status}"})
            page.route("**/generate-batch**", answer)
            page.click("#go")
            words = "server.other" if status in (400, 500) else f"server.{status}"
            expect(page.locator("#problem")).to_have_text(f"{WORDS['fr'][words]} what went wrong: {status}")
            expect(page.locator("#problem [lang=en]")).to_have_text(f"what went wrong: {status}")
            assert sources(page) == shown
        page.select_option("#language", "pt")
        expect(page.locator("#problem")).to_contain_text(WORDS["pt"]["server.other"])


def test_other_model_leaves_none_of_the_earlier_images_on_the_stage(visit, client):
    with visit("vae") as page:
        expect(page.locator("#used")).to_have_text(GENERATED)
        page.route("**/generate-batch**", lambda route: None)  # no answer yet
        page.select_option("#model", "plane")
        expect(page.locator(".tile.waiting")).to_have_count(5)
        expect(page.locator(".tile img")).to_have_count(0)
        page.unroute("**/generate-batch**")
        page.click("#tab-blend")
        page.select_option("#model", "classes")  # which is sampled once it is seen
        expect(page.locator(".tile")).to_have_count(0)
        page.click("#tab-generate")
        expect(page.locator("#used")).to_have_text(GENERATED)
        shown = batch(client, 5, model="classes", seed=int(page.input_value("#seed")))
        assert sources(page) == shown


def test_model_that_is_added_or_uploaded_is_offered_without_a_reload(browser, model_files, tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    with (
        serving(folder, "--allow-uploads", data=tmp_path / "data") as server,
        visiting(browser, f"{server.url}/app/", errors=("status of 400",)) as page,
    ):
        expect(page.locator("#no-models .add-model")).to_be_visible()
        page.set_input_files("#no-models input", model_files["plane"])
        name = model_files["plane"].stem
        expect(page.locator("#model")).to_have_value(name)
        expect(page.locator("#used")).to_have_text(GENERATED)
        before = sources(page)
        shutil.copy(model_files["vae"], tmp_path / "aside")
        (tmp_path / "aside").replace(folder / "vae.onnx")
        expect(page.locator("#model option")).to_have_count(2)
        assert (page.input_value("#model"), sources(page)) == (name, before)
        (tmp_path / "bad.onnx").write_bytes(b"no model")
        page.set_input_files("#which .add-model input", tmp_path / "bad.onnx")
        expect(page.locator("#problem")).to_contain_text("bad.onnx")
        expect(page.locator("#which .add-model")).to_have_text(WORDS["en"]["models.add"])
