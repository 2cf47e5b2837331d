"""The page at /app in a real browser, against a real server: what it shows is compared with what the API says."""

from __future__ import annotations

import base64
import io
import itertools
import json
import re
import zipfile
from statistics import NormalDist

import numpy as np
import pytest
from browser import visiting
from golden import calls
from PIL import Image
from playwright.sync_api import expect
from servers import forged, serving, until
from shown import GENERATED, WORDS, as_source, batch, content, generated, lock, saved, sources

from jaxgen.images import grid, png_pixels
from jaxgen.inference.model_file import parse
from jaxgen.inference.provenance import read_provenance
from jaxgen_serve.web.npm_packages import ONNXRUNTIME


def test_one_click_on_a_class_shows_five_images_of_the_api(visit, client):
    with visit() as page:
        lock(page, 42)
        shown = generated(page, "#classes button:has-text('bee')")
        assert shown == batch(client, 5, model="vae", seed=42, label=2)
        expect(page.locator("#used")).to_contain_text("class bee · seed 42")
        page.check("#counts input[value='16']")
        expect(page.locator("#classes-legend")).to_have_text("Generate 16 variations of")
        assert generated(page, "#go") == batch(client, 16, model="vae", seed=42, label=2)
        page.click("#lock")  # and now each request has a new one
        generated(page, "#go")
        assert page.input_value("#seed") != "42"


def test_first_sample_of_a_visit_leaves_alone_what_somebody_sampled_before_it(visit, client):
    with visit() as page:
        held = []
        page.route("**/ort/files.json", lambda route: held.append(route))  # which that request waits for
        page.reload()
        shown = generated(page, "#classes button:has-text('bee')")
        held[0].continue_()
        page.wait_for_load_state("networkidle")
        assert sources(page) == shown == batch(client, 5, model="vae", seed=int(page.input_value("#seed")), label=2)


def test_reload_and_link_show_the_same_images_with_the_same_settings(visit, client):
    with visit("classes") as page:
        expect(page.locator("#used")).to_have_text(GENERATED)
        page.check("#counts input[value='4']")
        page.fill("#steps", "3")
        page.select_option("#sampler", "dpmpp-2m")
        page.fill("#steps", "3")
        shown = generated(page, "#classes button:has-text('bee')")
        seed = page.input_value("#seed")
        expect(page).to_have_url(re.compile(rf"\?model=classes&label=bee&count=4&seed={seed}&.*steps=3.*#generate$"))
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.click("#copy summary")
        page.click("#copy-link")
        link = page.evaluate("() => navigator.clipboard.readText()")
        generated(page, "#go")  # of another seed
        page.goto("about:blank")
        page.goto(link)
        expect(page.locator("#used")).to_have_text(GENERATED)
        assert sources(page) == shown
        assert (page.input_value("#steps"), page.input_value("#sampler")) == ("3", "dpmpp-2m")
        wanted = batch(client, 4, model="classes", seed=int(seed), label=2, sampler="dpmpp-2m", steps=3)
        assert shown == wanted
        page.wait_for_timeout(400)  # until the address is written
        page.reload()
        expect(page.locator("#used")).to_have_text(GENERATED)
        assert sources(page) == shown
        page.goto(link.replace("steps=3", "steps=999").replace("label=bee", "label=wasp").replace("count=4", "count=x"))
        expect(page.locator("#used")).to_have_text(GENERATED)
        assert page.input_value("#steps") == "8"  # the model's own, in place of what it cannot have


def test_stream_is_shown_live_and_scrubbed_back_to_its_frames(visit, client):
    with visit("classes") as page:
        expect(page.locator("#used")).to_have_text(GENERATED)
        lock(page, 7)
        page.check("#counts input[value='4']")
        shown = generated(page, "#classes button:has-text('ant')")
        query = {"model": "classes", "seed": 7, "label": 0, "num_images": 4}
        events = [block.split("\ndata: ") for block in client.get("/stream", params=query).text.split("\n\n") if block]
        frames = [json.loads(data) for name, data in events if name == "event: frame"]
        assert shown == [as_source(one["image"]) for one in json.loads(events[-1][1])["images"]]
        assert len(frames) > 2
        assert page.get_attribute("#frame", "max") == str(len(frames) - 1)
        for i in (0, len(frames) // 2):
            page.fill("#frame", str(i))
            assert sources(page) == [as_source(image) for image in frames[i]["images"]]
            row = f"Step {frames[i]['row']} of {frames[i]['rows']}"
            expect(page.locator("#frame-text")).to_have_text(row)
        page.click("#play")  # to the end, where it stops
        expect(page.locator("#play")).to_have_attribute("aria-label", "Play")
        assert sources(page) == shown


def test_downloads_hold_the_images_that_are_shown(visit, tmp_path):
    with visit("classes") as page:
        expect(page.locator("#used")).to_have_text(GENERATED)
        lock(page, 3)
        shown = [content(src) for src in generated(page, "#classes button:has-text('bee')")]
        pixels = np.stack([png_pixels(png, "shown") for png in shown])
        archive = saved(page, "#save-zip")
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            assert opened.testzip() is None
            assert [opened.read(one) for one in opened.namelist()] == shown
            assert opened.namelist()[1] == "seed3-000001-class2.png"  # bee's number, which is another one's name
        sheet = tmp_path / "sheet.png"
        sheet.write_bytes(saved(page, "#save-png"))
        assert np.array_equal(png_pixels(sheet.read_bytes(), "sheet"), grid(pixels))
        assert read_provenance(sheet) | {"plan": None} == {
            "model": page.locator("#facts span").last.get_attribute("title"),
            "seed": 3, "index": 0, "count": 5, "label": 2, "guidance": 1.5, "plan": None,
        }  # fmt: skip
        with Image.open(io.BytesIO(saved(page, "#save-gif"))) as moving:
            moving.seek(moving.n_frames - 1)
            last = np.asarray(moving.convert("RGB")).astype(int)
        assert np.abs(last - grid(pixels)).mean() < 3  # 256 colours for all of them
        page.locator(".tile").nth(3).click()
        assert saved(page, "#save-png") == shown[3]


def test_blend_leads_from_one_selected_image_to_the_other_in_its_gif_too(visit):
    with visit() as page:
        expect(page.locator("#used")).to_have_text(GENERATED)
        assert page.locator("#device").is_enabled() == (ONNXRUNTIME.folder() is not None)
        if ONNXRUNTIME.folder() is None:
            expect(page.locator("#device-line")).to_have_attribute("title", WORDS["en"]["device.how"])
        shown = sources(page)
        page.locator(".tile").nth(1).click()
        page.locator(".tile").nth(4).click()
        expect(page.locator("#used")).to_contain_text("2 selected")
        page.click("#to-blend")
        assert sources(page, "#panel-blend .slot img") == [shown[1], shown[4]]
        expect(page.locator("#blend-actions")).to_be_visible()
        expect(page.locator("#blend-strip img")).to_have_count(12)
        strip = [png_pixels(content(src), "strip").astype(int) for src in sources(page, "#blend-strip img")]
        assert not any(np.array_equal(one, other) for one, other in itertools.pairwise(strip))
        ends = []
        for i in ("0", "15"):
            page.fill("#blend-share", i)
            ends.append(png_pixels(content(page.get_attribute("#blend-image", "src")), "end"))
        with Image.open(io.BytesIO(saved(page, "#blend-gif"))) as moving:
            assert moving.n_frames == 30  # there and back
            for at, end in ((0, ends[0]), (15, ends[1])):
                moving.seek(at)
                assert np.array_equal(np.asarray(moving.convert("L"))[..., None], grid(end[None]))  # grey is exact
        sheet = png_pixels(saved(page, "#blend-png"), "sheet")
        assert np.array_equal(sheet[:60, :60], grid(ends[0][None])[:60, :60])


def test_gallery_finds_samples_again_and_undoes_a_deletion(visit, client):
    with visit() as page:
        lock(page, 987_654)
        shown = generated(page, "#classes button:has-text('ant')")
        page.click("#keep")
        expect(page.locator(".toast")).to_contain_text("5 images kept")
        page.click("#keep")
        expect(page.locator(".toast")).to_contain_text(WORDS["en"]["kept.none"])
        page.click("#tab-gallery")
        page.fill("#find-seed", "987654")
        expect(page.locator("#found")).to_have_text("5 images")
        expect(page.locator(".card")).to_have_count(5)  # the newest first
        page.locator(".card").nth(1).get_by_role("button", name="Delete").click()
        expect(page.locator(".card")).to_have_count(4)
        assert client.get("/gallery?seed=987654").json()["total"] == 4
        page.get_by_role("button", name="Undo").click()
        expect(page.locator(".card")).to_have_count(5)
        assert client.get("/gallery?seed=987654").json()["total"] == 5
        width = "async (image) => (await image.decode(), image.naturalWidth)"
        assert page.locator(".card img").nth(1).evaluate(width) == 8
        page.locator(".card").nth(4).get_by_role("button", name="Favourite").click()
        page.check("#find-favourite")
        expect(page.locator(".card")).to_have_count(1)
        again = page.locator(".card").get_by_role("button", name="Again")
        again.click()
        expect(page.locator(".tile img")).to_have_count(1)
        expect(page.locator("#used")).to_contain_text("seed 987654")
        assert sources(page) == shown[:1]


def test_several_images_of_the_gallery_are_saved_and_deleted_at_once_and_one_is_enlarged(visit, client):
    client.post("/gallery?num_images=4", json={"model": "vae", "seed": 55_555, "label": "bee"})
    with visit(panel="gallery") as page:
        page.fill("#find-seed", "55555")
        expect(page.locator("#found")).to_have_text("4 images")
        expect(page.locator(".card b").first).to_have_text(re.compile(r"^\w+ \d+, \d{4} · bee$"))
        for i in (0, 2):
            page.locator(".card input").nth(i).check()
        with zipfile.ZipFile(io.BytesIO(saved(page, "#selected-zip"))) as archive:
            assert archive.namelist() == ["vae/seed55555-000003-class2.png", "vae/seed55555-000001-class2.png"]
            newest = client.get("/gallery?seed=55555").json()["images"][0]["url"]
            assert archive.read("vae/seed55555-000003-class2.png") == client.get(newest).content
        page.click("#selected-delete")
        expect(page.locator("#found")).to_have_text("2 images")
        expect(page.locator("#selected")).to_be_hidden()
        page.get_by_role("button", name="Undo").click()
        expect(page.locator("#found")).to_have_text("4 images")
        page.locator(".card .enlarge").first.click()
        expect(page.locator("#image-box img")).to_be_visible()
        assert saved(page, "#image-save") == client.get(newest).content


def test_undo_brings_back_each_image_that_was_deleted(visit, client):
    with visit() as page:
        lock(page, 44_444)
        generated(page, "#classes button:has-text('ant')")
        page.click("#keep")
        expect(page.locator(".toast")).to_contain_text("5 images kept")
        page.click("#tab-gallery")
        page.fill("#find-seed", "44444")
        expect(page.locator("#found")).to_have_text("5 images")
        for left in (4, 3, 2):
            page.locator(".card").first.get_by_role("button", name="Delete").click()
            expect(page.locator("#found")).to_have_text(f"{left} images")
        expect(page.locator(".toast")).to_contain_text("3 images deleted")
        for left in (3, 4, 5):
            page.get_by_role("button", name="Undo").click()
            expect(page.locator("#found")).to_have_text(f"{left} images")
            assert client.get("/gallery?seed=44444").json()["total"] == left
        expect(page.locator(".toast")).to_have_count(0)


def test_page_shows_what_it_knows_of_a_later_model_and_samples_its_own_plan(browser, tmp_path):
    def later(entries):
        del entries["config"]
        entries["inference"] |= {"process": {"kind": "edm"}, "plan": {"sampler": "heun", "steps": 8, "eta": 0.0}}

    place = tmp_path / "later.onnx"
    place.write_bytes(forged(calls.HERE / "format2/cddpm.onnx", manifest=later))
    with serving(place, data=tmp_path / "data") as server, visiting(browser, f"{server.url}/app/") as page:
        expect(page.locator("#used")).to_have_text(GENERATED)
        facts = page.locator("#facts").text_content()
        assert "family" not in facts and "null" not in facts and ", grey" in facts
        assert page.locator("#sampler option").all_text_contents() == ["heun"]
        assert len(generated(page, "#go")) == 5


def test_image_of_a_model_that_has_changed_is_neither_kept_nor_sampled_again(browser, model_files, tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    place, content_of = folder / "plane.onnx", model_files["plane"].read_bytes()
    place.write_bytes(content_of)
    new = forged(model_files["plane"], manifest=lambda entries: entries.update(training={"steps": 3}))
    was, now = (parse(data, "it").sha256 for data in (content_of, new))
    line = f"the model plane has changed since: it was {was[:8]}..., it is {now[:8]}..."
    said = f"{WORDS['en']['server.409']} {line}"
    with (
        serving(folder, data=tmp_path / "data") as server,
        server.client() as own,
        visiting(browser, f"{server.url}/app/", errors=("409",)) as page,
    ):
        page.click("#tab-gallery")
        expect(page.locator("#no-cards p")).to_have_text(WORDS["en"]["gallery.empty"])
        page.click("#tab-generate")
        expect(page.locator("#used")).to_have_text(GENERATED)
        page.click("#keep")
        expect(page.locator(".toast")).to_contain_text("5 images kept")
        aside = place.with_suffix(".part")
        aside.write_bytes(new)
        aside.replace(place)
        assert until(lambda: own.get("/models").json()["models"][0]["sha256"] == now)
        before = sources(page)
        page.click("#keep")
        expect(page.locator("#problem")).to_have_text(said)
        expect(page.locator("#facts span").last).to_have_attribute("title", now)
        assert own.get("/gallery").json()["total"] == 5
        page.click("#tab-gallery")
        page.locator(".card").first.get_by_role("button", name="Again").click()
        expect(page.locator("#problem")).to_have_text(said)
        expect(page.locator(".tile")).to_have_count(5)
        assert sources(page) == before
        shown = generated(page, "#go")
        assert shown != before
        expect(page.locator("#problem")).to_be_hidden()


def test_small_diffusion_model_samples_at_once_and_a_large_one_waits(visit, client):
    with visit("classes") as page:
        expect(page.locator("#used")).to_have_text(GENERATED)
        expect(page.locator(".tile img")).to_have_count(5)
        answer = client.get("/models").json()
        for model in answer["models"]:
            if model["plan"]:
                model["plan"]["steps"] = 1000
        page.route("**/models", lambda route: route.fulfill(json=answer))
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.reload()
        expect(page.locator("#seed")).not_to_have_value("")
        page.wait_for_load_state("networkidle")
        expect(page.locator("#stage-empty")).to_be_visible()
        assert not any("/stream" in url for url in asked)


COVERED = """() => {
  const box = (node) => node.getBoundingClientRect();
  const meets = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
  const note = document.querySelector(".toast");
  return [...document.querySelectorAll("button, select, input, canvas, [role=slider], .upload")]
    .filter((node) => !note.contains(node) && node.checkVisibility() && meets(box(node), box(note)))
    .map((node) => node.id || node.className || node.tagName);
}"""


def test_toast_covers_nothing_that_can_be_pressed_on_another_tab(visit):
    with visit("classes") as page:
        expect(page.locator("#used")).to_have_text(GENERATED)
        page.locator(".tile").nth(0).click()
        page.locator(".tile").nth(1).click()
        page.click("#to-blend")
        expect(page.locator("#blend-actions")).to_be_visible()
        page.click("#tab-generate")
        page.click("#keep")
        expect(page.locator(".toast")).to_contain_text("2 images kept")
        page.click("#tab-gallery")
        expect(page.locator(".toast")).to_have_count(0)  # that was news, and is seen
        page.locator(".card").first.get_by_role("button", name="Delete").click()
        expect(page.get_by_role("button", name="Undo")).to_be_visible()
        covered = {}
        places = {"classes": ("generate", "blend", "hand"), "vae": ("hand",), "plane": ("map",)}
        for model, tab in ((model, tab) for model, tabs in places.items() for tab in tabs):
            page.click(f"#tab-{tab}")
            if page.input_value("#model") != model:
                page.select_option("#model", model)
            covered[tab, model] = page.evaluate(COVERED)
        page.click("#tab-gallery")
        page.get_by_role("button", name="Undo").click()
        assert not any(covered.values()), covered


def test_drawing_is_put_where_the_models_digits_are(visit, client):
    """A stroke in a corner, as a model of 8 x 8 pixels sees it: 20 of 28 high, all of it, or as it was drawn."""
    answer = client.get("/models").json()
    with visit("vae", "hand") as page:
        page.route("**/models", lambda route: route.fulfill(json=answer))

        def inked() -> tuple[int, int]:
            page.click("#reconstruct")
            expect(page.locator("#findings")).to_have_attribute("aria-busy", "false")
            expect(page.locator("#findings img")).to_have_count(2)
            seen = png_pixels(content(sources(page, "#findings img")[0]), "seen")[..., 0]
            found = np.flatnonzero(seen.max(axis=1) > 24)
            return int(found[0]), int(found[-1]) + 1

        corner = """() => [...paper.getContext("2d").getImageData(0, 0, 280, 280).data.slice(0, 280 * 4 * 90)]
          .reduce((sum, value) => sum + value, 0)"""
        for dataset, rows in {"mnist": (1, 7), "digits": (0, 8), "punks": (0, 3)}.items():
            for model in answer["models"]:
                model["dataset"] = dataset
            page.reload()
            expect(page.locator("#seed")).not_to_have_value("")
            page.wait_for_load_state("networkidle")
            box = page.locator("#paper").bounding_box()
            page.mouse.move(box["x"] + 0.1 * box["width"], box["y"] + 0.06 * box["height"])
            page.mouse.down()
            page.mouse.move(box["x"] + 0.1 * box["width"], box["y"] + 0.3 * box["height"], steps=4)
            page.mouse.up()
            drawn = page.evaluate(corner)
            assert inked() == rows, dataset
            assert inked() == rows  # nothing is put right twice
            assert page.evaluate(corner) == drawn  # the drawing stays where it is, and that is said
            expect(page.get_by_text(WORDS["en"]["hand.centred"])).to_have_count(int(dataset != "punks"))


def test_map_decodes_the_point_that_the_keys_move(visit, client):
    with visit("plane", "map") as page:
        expect(page.locator("#where")).to_have_text("x 0.00 · y 0.00")
        page.locator("#puck").focus()
        page.keyboard.press("Shift+ArrowRight")
        page.keyboard.press("ArrowUp")
        normal = NormalDist()
        x, y = normal.inv_cdf(0.6), normal.inv_cdf(0.52)
        expect(page.locator("#where")).to_have_text(f"x {x:.2f} · y {y:.2f}")
        wanted = client.post("/generate", json={"model": "plane", "latent": [x, y]}).json()["image"]
        expect(page.locator("#decoded")).to_have_attribute("alt", f"The image at x {x:.2f}, y {y:.2f}")
        found = png_pixels(content(page.get_attribute("#decoded", "src")), "decoded").astype(int)
        assert np.abs(found - png_pixels(base64.b64decode(wanted), "wanted")).max() <= 1  # the point in float32
        shares = [0.001, 0.02, 0.3, 0.5, 0.77, 0.999]
        quantiles = "async (shares) => shares.map((await import('/app/normal.js')).quantile)"
        assert page.evaluate(quantiles, shares) == pytest.approx(
            [normal.inv_cdf(s) for s in shares], rel=1e-8, abs=1e-12
        )


def test_uploaded_image_is_scored_as_the_api_scores_it(visit, client, tmp_path):
    image = np.zeros((280, 280), np.uint8)
    image[60:220, 120:160] = 255
    file = tmp_path / "one.png"
    Image.fromarray(image).save(file)
    with visit("vae", "hand") as page:
        expect(page.locator("#seed")).not_to_have_value("")  # the page's code is there
        page.set_input_files("#upload", file)
        page.select_option("#hand-class", "1")
        page.click("#anomaly")
        expect(page.locator("#findings img")).to_have_count(3)
        with file.open("rb") as sent:
            wanted = client.post("/anomaly", data={"model": "vae", "label": "1"}, files={"file": sent}).json()
        assert sources(page, "#findings img")[2] == as_source(wanted["heat"])
        shown = float(page.locator("#findings strong").text_content().removesuffix(" nats"))
        assert shown == pytest.approx(wanted["score"], rel=0.005)
        page.select_option("#language", "fr")  # whose numbers differ
        page.select_option("#language", "en")
        usual = [float(one) for one in re.findall(r"\d[\d.,]*\d", page.locator(".usual").text_content())]
        assert usual == pytest.approx(wanted["usual"], rel=0.005)
        assert saved(page, ".findings .quiet >> nth=2") == content(as_source(wanted["heat"]))


def test_drawing_is_read_while_it_is_drawn_and_its_class_chosen(visit, client):
    with visit("vae", "hand") as page:  # whose images are of the digits, and one of whose classes is called 2
        expect(page.locator("#seed")).not_to_have_value("")
        answer = {"class_name": "2", "probabilities": {"0": 0.125, "2": 0.75, "9": 0.125}}
        page.route("**/classify", lambda route: route.fulfill(json=answer))
        assert page.input_value("#hand-class") == "0"
        page.locator("#paper").focus()
        page.keyboard.down(" ")
        page.keyboard.press("ArrowDown")
        page.keyboard.up(" ")
        expect(page.locator(".reads")).to_have_text("Reads as 2 (75%)")
        expect(page.locator("#hand-class")).to_have_value("1")
        page.click("#clear")
        expect(page.locator("#hand-reads")).to_be_hidden()


def test_part_of_a_drawing_is_inpainted(visit):
    with visit("classes", "hand") as page:
        page.click("#inpaint")
        expect(page.locator("#problem")).to_have_text(WORDS["en"]["hand.blank"])
        box = page.locator("#paper").bounding_box()
        for tool, height in (("pen", 0.3), ("mask", 0.8)):
            page.check(f"#tool-{tool} input")
            page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + height * box["height"])
            page.mouse.down()
            page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + height * box["height"], steps=4)
            page.mouse.up()
        expect(page.locator("#region")).to_have_value("painted")
        page.click("#inpaint")
        expect(page.locator("#findings img")).to_have_count(3)
        found = [png_pixels(content(src), "found") for src in sources(page, "#findings img")]
        assert all((one[2, 2:6] > 100).all() and (one[0] == 0).all() for one in found)  # as it was drawn
        assert not np.array_equal(found[0][6], found[1][6])


def test_page_takes_the_token_once_and_shows_what_the_server_says(browser, model_files, tmp_path):
    with (
        serving(model_files["vae"], "--token", "open sesame", data=tmp_path) as server,
        visiting(browser, f"{server.url}/app/#gallery", errors=("401",)) as page,
    ):
        page.fill("#token", "friend")
        page.keyboard.press("Enter")
        expect(page.locator("#login-problem")).to_have_text(WORDS["en"]["server.401"])  # and nothing besides
        page.fill("#token", "open sesame")
        page.keyboard.press("Enter")
        expect(page.locator("#used")).to_have_text(GENERATED)
        expect(page.locator("#found")).to_have_text("0 images")  # it was refused, too
        page.reload()
        expect(page.locator("#used")).to_have_text(GENERATED)


def test_stream_that_ends_too_soon_is_reported_in_the_pages_own_words(visit):
    with visit("classes", locale="fr-FR") as page:
        expect(page.locator("#used")).to_have_text(GENERATED)
        page.evaluate(
            """() => {
              const [whole, frame] = [window.fetch, 'event: frame\\ndata: {"row": 1, "rows": 8, "images": []}\\n\\n'];
              const broken = () => new Response(new ReadableStream({
                start(controller) { controller.enqueue(new TextEncoder().encode(frame)); },
                pull(controller) {
                  if (window.end === "breaks off") controller.error(new TypeError("network error"));
                  else controller.close();
                },
              }));
              window.fetch = async (url, ...rest) => (String(url).includes("/stream") ? broken() : whole(url, ...rest));
            }"""
        )
        for end in ("ends without done", "breaks off"):
            page.evaluate("(end) => (window.end = end)", end)
            page.click("#go")
            expect(page.locator("#problem")).to_have_text(WORDS["fr"]["offline"])
            page.click("#tab-blend")  # where that is not said
            expect(page.locator("#problem")).to_be_hidden()
            page.click("#tab-generate")


def test_silent_server_is_reported_in_one_line(visit):
    with visit(errors=("ERR_INTERNET_DISCONNECTED",)) as page:
        expect(page.locator("#used")).to_have_text(GENERATED)
        page.context.set_offline(True)
        page.click("#go")
        expect(page.locator("#problem")).to_have_text(WORDS["en"]["offline"])
        page.context.set_offline(False)
        generated(page, "#go")
        expect(page.locator("#problem")).to_be_hidden()
