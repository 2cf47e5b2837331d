"""Images of every page, to be looked at: the panels of /app, and the dashboard's pages on a folder of runs.

    python experiments/serving/screens.py --runs runs --out experiments/serving/screens cvae.onnx plane.onnx cddpm.onnx

Needs Chromium and jaxgen[dev,dashboard]; a VAE of two latents among the models, for the map.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright
from server import serving

SIZE = {"width": 1280, "height": 900}
ARGUMENTS = ["--no-sandbox", "--disable-background-networking"]


def draw_a_seven(page: Page) -> None:
    """With the pointer, on the canvas of 'By hand'."""
    box = page.locator("#panel-hand canvas").first.bounding_box()
    assert box is not None
    left, top, side = box["x"], box["y"], box["width"]
    page.mouse.move(left + 0.3 * side, top + 0.25 * side)
    page.mouse.down()
    for x, y in ((0.7, 0.25), (0.5, 0.78)):
        page.mouse.move(left + x * side, top + y * side, steps=12)
    page.mouse.up()


def page_of_the_server(browser: Browser, url: str, models: list[str], out: Path) -> None:
    page = browser.new_page(viewport=SIZE, locale="en-GB")
    page.goto(f"{url}/app/")
    names = [Path(model).stem for model in models]
    for tab in ("generate", "blend", "hand", "map", "gallery"):
        page.locator("#model").select_option(names[1] if tab == "map" else names[0])
        page.locator(f"#tab-{tab}").click()
        if tab == "generate":
            page.locator("#seed").fill("12")
            page.get_by_role("button", name="7", exact=True).click()
            page.wait_for_timeout(2000)
            page.get_by_role("button", name="Keep", exact=True).click()
        if tab == "blend":
            page.get_by_role("button", name="Two new images").click()
            page.wait_for_timeout(1000)
            page.get_by_role("button", name="Blend", exact=True).click()
        if tab == "hand":
            draw_a_seven(page)
            page.get_by_role("button", name="Reconstruct").click()
        page.wait_for_timeout(2500)
        page.screenshot(path=out / f"page-{tab}.png")


def pages_of_the_dashboard(browser: Browser, runs: Path, out: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "jaxgen", "dashboard", "--runs", runs, "--port", str(port)])
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1).close()
                break
            except OSError:
                time.sleep(0.5)
        page = browser.new_page(viewport=SIZE)
        for name in ("train", "runs", "generate", "explore"):
            page.goto(f"http://127.0.0.1:{port}/{'' if name == 'train' else name}")
            page.wait_for_timeout(7000)
            page.screenshot(path=out / f"dashboard-{name}.png")
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+")
    parser.add_argument("--runs", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        with serving(given.models) as server:
            page_of_the_server(browser, server.url, given.models, given.out)
        if given.runs:
            pages_of_the_dashboard(browser, given.runs, given.out)


if __name__ == "__main__":
    main()
