"""The static site in headless Chromium, which samples what Python samples."""

from __future__ import annotations

import base64
import io
import re
import threading
import zipfile
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from browser import visiting
from PIL import Image
from playwright.sync_api import expect
from servers import serving
from shown import GENERATED, saved

from jaxgen import shipped
from jaxgen.config import VAE, VAEConfig
from jaxgen.images import grid, png_pixels, read_png
from jaxgen.inference.model import Model
from jaxgen.inference.provenance import read_provenance
from jaxgen.latent.interpolation import PATHS, decode_walk, walk
from jaxgen.latent.spaces import Codes, Noises, open_space
from jaxgen.training.trainer import train
from jaxgen_serve.web.static_site import write_site

pytestmark = pytest.mark.usefixtures("runtime")

SEED = 4_000_000_007  # beyond int32
COUNT = 5
SLOW = 30_000  # milliseconds that a busy machine may take

# Opens the site's model with the page's own modules: sample(request) with a named plan, as one JSON-able value.
OPEN = """async () => {
  const device = await import("./wasm-runtime.js");
  const site = await (await fetch("site.json")).json();
  const model = { ...site.models[0], url: new URL("model.onnx", document.baseURI).href };
  const named = (name) => {
    if (!name) return null;
    const bytes = Uint8Array.from(atob(model.plans[name].table), (letter) => letter.charCodeAt(0));
    return { rows: bytes.length / 36, table: new Float32Array(bytes.buffer) };
  };
  const opened = await device.open(model);
  const plain = ({ images, ...rest }) => ({ images: [...images], ...rest });
  window.ask = async (deed, { plan, watch, ...request }) => {
    const frames = [];
    const onFrame = watch ? (row, rows, images) => frames.push([row, rows, [...images]]) : null;
    const given = { label: null, guidance: null, latent: null, signal: null, plan: named(plan), onFrame, ...request };
    return { ...plain(await opened[deed](given)), frames };
  };
  return device.available();
}"""


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        """Not on stderr, which tests read."""


@contextmanager
def served(folder: Path):
    """The address of a plain static server, and the server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def opened(browser, folder: Path):
    """A page of the site that has `ask`, and its server; see `browser.visiting` for what fails it."""
    with served(folder) as (url, server), visiting(browser, url) as page:
        assert page.evaluate(OPEN) is True
        yield page, server


def pixels(answer: dict) -> np.ndarray:
    return np.array(answer["images"], np.uint8).reshape(answer["shape"])


def assert_same(got: np.ndarray, want: np.ndarray) -> None:
    """What the project calls the same images."""
    assert got.shape == want.shape
    off = np.abs(got.astype(int) - want)
    assert (off == 0).mean() >= 0.995
    assert off.max() <= 2
    assert want.std() > 10  # and not because there is nothing to see


@pytest.fixture(scope="module")
def plane_run(small, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("plane") / "plane"
    training = replace(small.training, steps=1, sample_count=1, test_images=8)
    train(VAE(data=small.data, training=training, model=VAEConfig(latent=2, hidden=(16,))), folder)
    return folder


@pytest.fixture(scope="module")
def plane_site(plane_run, jaxgen) -> Path:
    """A site as the command writes it, from a run and with --web alone."""
    folder = plane_run.parent / "site"
    done = jaxgen("export", plane_run, "--web", folder)
    assert (done.returncode, done.stdout) == (0, f"{folder}\n"), done.stderr
    assert sorted(path.name for path in plane_run.parent.iterdir()) == ["plane", "site"]  # no .onnx, nothing temporary
    return folder


def test_diffusion_model_in_the_browser_samples_what_python_samples(browser, diffusion_site, conditional):
    model = Model.open(conditional.onnx)
    seed, index, label = [SEED] * COUNT, [0, 1, 2, 3, 2**32 - 1], [0, 1, 2, -1, 1]
    ours = {"seed": np.array(seed), "index": np.array(index)}
    with opened(browser, diffusion_site) as (page, _):
        asked = {"seed": seed, "index": index, "plan": "ddim-8"}  # the model's own
        seen = page.evaluate(
            "(asked) => ask('sample', asked)",
            asked | {"label": label, "guidance": 2.5, "plan": "ancestral-10", "watch": True},
        )
        plan = model.plan(sampler="ancestral", steps=10)
        want, _ = model.sample(**ours, label=np.array(label), guidance=2.5, plan=plan)
        assert_same(pixels(seen), want)
        assert seen["milliseconds"] > 0

        rows = [row for row, _, _ in seen["frames"]]
        assert (rows, {of for _, of, _ in seen["frames"]}) == (list(range(1, 11)), {10})
        early, _ = model.sample(**ours, label=np.array(label), guidance=2.5, plan=plan[:4])
        assert_same(np.array(seen["frames"][3][2], np.uint8).reshape(want.shape), early)

        # What is left out is the model's own: its guidance and no class.
        assert_same(pixels(page.evaluate("(asked) => ask('sample', asked)", asked)), model.sample(**ours)[0])


def test_walk_in_the_browser_is_pythons(browser, diffusion_site, conditional):
    model = Model.open(conditional.onnx)
    asked = {
        "seed": [3, SEED],
        "index": [1, 0],
        "label": [0, 2],
        "frames": 5,
        "path": "spherical",
        "plan": "dpmpp-2m-10",
    }
    with opened(browser, diffusion_site) as (page, _):
        got = pixels(page.evaluate("(asked) => ask('interpolate', asked)", asked))
        noisy = page.evaluate("(asked) => ask('interpolate', asked).catch(String)", asked | {"plan": "ancestral-10"})
    space = Noises(model)
    space.plan = model.plan(sampler="dpmpp-2m", steps=10)
    ends = np.concatenate([space.of_seed(3, np.array([1])), space.of_seed(SEED, np.array([0]))])
    assert_same(got, decode_walk(space, walk(ends, 5, PATHS["spherical"]), np.array([0, 2]))[0])
    assert "adds no noise" in noisy


def test_aborted_sampling_leaves_the_worker_to_the_next_one(browser, diffusion_site, conditional):
    with opened(browser, diffusion_site) as (page, _):
        found = page.evaluate(
            """async () => {
              const many = { seed: Array(32).fill(1), index: [...Array(32).keys()], plan: "ancestral-50" };
              const one = () => ask("sample", { seed: [1], index: [0], plan: "ddim-10" });
              const timed = async (work) => {
                const start = performance.now();
                return [await work(), performance.now() - start];
              };
              await one();
              const [, whole] = await timed(() => ask("sample", many));
              const control = new AbortController();
              const stopped = ask("sample", { ...many, signal: control.signal }).catch(({ name }) => name);
              control.abort();
              const [next, wait] = await timed(one);
              return [await stopped, next.images.length, wait / whole];
            }"""
        )
    assert found[:2] == ["AbortError", int(np.prod(Model.open(conditional.onnx).shape))]
    assert found[2] < 0.5  # a slice of the plan, not all of it


def test_site_of_a_run_samples_offline_once_it_has_been_visited(browser, plane_site):
    model = Model.open(plane_site / "model.onnx")
    seed, index = np.full(COUNT, SEED), np.arange(COUNT)
    asked = {"seed": seed.tolist(), "index": index.tolist()}
    want, _ = model.sample(seed, index)
    with opened(browser, plane_site) as (page, server):
        assert_same(pixels(page.evaluate("(asked) => ask('sample', asked)", asked)), want)
        page.evaluate("() => navigator.serviceWorker.ready")
        server.shutdown()
        server.server_close()
        page.context.set_offline(True)
        page.reload()
        page.evaluate(OPEN)
        assert_same(pixels(page.evaluate("(asked) => ask('sample', asked)", asked)), want)
        assert page.evaluate("crossOriginIsolated") is True  # threads are allowed, without a header of the server's

        latent = np.array([[0.5, -1.25], [2, 0]], np.float32)
        decoded = page.evaluate(
            "(asked) => ask('sample', asked)", {"seed": [0, 0], "index": [0, 0], "latent": latent.tolist()}
        )
        assert_same(pixels(decoded), model.sample([0, 0], [0, 0], latent=latent)[0])
        ends = {"seed": [7, SEED], "index": [0, 2], "frames": 4, "path": "linear"}
        walked = pixels(page.evaluate("(asked) => ask('interpolate', asked)", ends))
    codes = Codes(model)
    points = np.concatenate([codes.of_seed(7, np.array([0])), codes.of_seed(SEED, np.array([2]))])
    assert_same(walked, decode_walk(codes, walk(points, 4, PATHS["linear"]), None)[0])


def test_page_of_a_site_shows_images_and_their_time(browser, plane_site):
    with opened(browser, plane_site) as (page, _):
        expect(page.locator("#used")).to_have_text(GENERATED, timeout=SLOW)  # models that are quick sample at once
        page.click("#tab-map")
        page.wait_for_function("() => document.querySelector('#decoded').naturalWidth === 8")
        page.wait_for_function("() => document.querySelector('#map-image').naturalWidth === 15 * 8")
        page.click("#tab-blend")
        page.click("#two-new")
        expect(page.locator("#blend-actions")).to_be_visible(timeout=SLOW)
        frames = []
        for i in (0, 1, 15):
            page.fill("#blend-share", str(i))
            source = page.get_attribute("#blend-image", "src")
            frames.append(png_pixels(base64.b64decode(source.partition(",")[2]), "a frame"))
        with Image.open(io.BytesIO(saved(page, "#blend-gif"))) as moving:
            assert moving.n_frames == 30
            for at, want in ((0, frames[0]), (1, frames[1]), (15, frames[2]), (29, frames[1])):
                moving.seek(at)
                assert np.array_equal(np.asarray(moving.convert("L"))[..., None], grid(want[None]))  # grey is exact


def test_site_reads_a_drawing_by_hand_and_changes_its_model(browser, tmp_path):
    mnist = shipped.model("cvae-mnist")
    write_site({"cvae-mnist": mnist, "cvae-digits": shipped.model("cvae-digits")}, tmp_path / "site")
    with served(tmp_path / "site") as (url, _), visiting(browser, f"{url}?model=cvae-mnist#hand") as page:
        expect(page.locator("#seed")).not_to_have_value("")
        box = page.locator("#paper").bounding_box()
        points = [(0.3, 0.2), (0.7, 0.2), (0.5, 0.85)]  # a seven
        page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.2 * box["height"])
        page.mouse.down()
        for x, y in points[1:]:
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=5)
        page.mouse.up()
        expect(page.locator(".reads")).to_contain_text("Reads as 7", timeout=SLOW)
        expect(page.locator("#hand-class")).to_have_value("7")
        expect(page.locator("#anomaly")).to_be_hidden()  # which only a server scores
        page.click("#reconstruct")
        expect(page.locator("#findings img")).to_have_count(2, timeout=SLOW)
        seen, made = (
            png_pixels(base64.b64decode(src.partition(",")[2]), "found")
            for src in (one.get_attribute("src") for one in page.locator("#findings img").all())
        )
        codes = open_space(mnist).codes()
        latent = codes.encode(seen[None], np.array([7]))
        assert_same(made, codes.decode(latent, np.array([7]))[0])
        page.select_option("#model", "cvae-digits")
        page.click("#tab-generate")
        expect(page.locator("#used")).to_have_text(GENERATED, timeout=SLOW)
        assert shown(page).shape[1:] == (8, 8, 1)


def test_files_that_a_site_saves_hold_what_it_shows(browser, diffusion_site, tmp_path):
    with opened(browser, diffusion_site) as (page, _):
        page.fill("#seed", str(SEED))
        page.click("#classes button:has-text('bee')")
        expect(page.locator("#used")).to_have_text(GENERATED, timeout=SLOW)
        pixels = shown(page)
        page.locator(".tile").nth(1).click()
        page.locator(".tile").nth(3).click()
        with zipfile.ZipFile(io.BytesIO(saved(page, "#save-zip"))) as archive:
            assert archive.testzip() is None
            assert archive.namelist() == [f"seed{SEED}-00000{i}-class2.png" for i in (1, 3)]
            content = [archive.read(name) for name in archive.namelist()]
        assert np.array_equal([png_pixels(data, "of the archive") for data in content], pixels[[1, 3]])
        with Image.open(io.BytesIO(saved(page, "#save-gif"))) as moving:
            moving.seek(moving.n_frames - 1)
            last = np.asarray(moving.convert("RGB")).astype(int)
        assert np.abs(last - grid(pixels[[1, 3]])).mean() < 3  # 256 colours for both
        page.locator(".tile").nth(1).click()
        (tmp_path / "one.png").write_bytes(saved(page, "#save-png"))
        page.locator(".tile").nth(3).click()
        (tmp_path / "all.png").write_bytes(saved(page, "#save-png"))
    made = {"seed": SEED, "label": 2, "guidance": 1.5, "plan": {"sampler": "ddim", "steps": 8, "eta": 0.5}}
    for name, want, index, count in (("one", pixels[3], 3, 1), ("all", grid(pixels), 0, 5)):
        assert np.array_equal(read_png(tmp_path / f"{name}.png"), want)
        said = read_provenance(tmp_path / f"{name}.png")
        assert {**said, "model": None} == {"model": None, "index": index, "count": count, **made}


def test_site_has_no_tab_for_what_its_model_cannot_do(browser, diffusion_site):
    with served(diffusion_site) as (url, _), visiting(browser, f"{url}#map") as page:
        expect(page.locator("#panel-generate")).to_be_visible()
        for panel in ("map", "hand", "gallery"):
            expect(page.locator(f"#tab-{panel}")).to_be_hidden()
            page.keyboard.press(panel[0])
            expect(page.locator(f"#panel-{panel}")).to_be_hidden()


def test_switch_of_a_servers_page_samples_the_servers_images_here(browser, conditional, tmp_path):
    with serving(conditional.onnx, data=tmp_path) as server, visiting(browser, f"{server.url}/app/") as page:
        expect(page.locator("#used")).to_have_text(GENERATED, timeout=SLOW)  # the visit's own is over
        page.fill("#seed", str(SEED))
        asked = []
        page.on("request", lambda request: asked.append(urlsplit(request.url).path))
        page.click("#go")
        expect(page.locator("#used")).to_have_text(re.compile(rf"{SEED}.*\d (ms|s)\b"), timeout=SLOW)
        there = shown(page)
        assert "/stream" in asked
        asked.clear()
        page.set_checked("#device", True)
        page.click("#go")
        expect(page.locator("#used")).to_contain_text("on this device", timeout=SLOW)
        assert "/model-file" in asked
        assert "/stream" not in asked
        assert_same(shown(page), there)
        assert_same(png_pixels(saved(page, "#save-png"), "the server's sheet"), grid(there))


def shown(page) -> np.ndarray:
    """The images that a page shows."""
    found = [image.get_attribute("src").partition(",")[2] for image in page.locator(".tile img").all()]
    return np.stack([png_pixels(base64.b64decode(text), "an image") for text in found])
