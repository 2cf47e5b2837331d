"""The dashboard in a browser, as a person uses it: train on the digits, watch, stop, export, draw."""

import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NO_BROWSER = "DID NOT RUN: no Chromium on this machine; on Debian and Ubuntu: apt-get install chromium"
ASKED: list[str] = []  # every address that the browser asks for
STEP = re.compile(r"step ([\d,]+) of")


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("dashboard") / "runs"


@pytest.fixture(scope="module")
def address(runs):
    """A dashboard of its own, by the command."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jaxgen", "dashboard", "--runs", str(runs), "--port", str(port)]
    with (runs.parent / "dashboard.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait(lambda: answer(f"http://127.0.0.1:{port}/_stcore/health") == 200, "the dashboard", 60)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def page(address):
    if CHROMIUM is None:
        pytest.skip(NO_BROWSER)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(60_000)
        page.on("request", lambda request: ASKED.append(request.url))
        yield page
        browser.close()


def wait(condition, what: str, seconds: float):
    end = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.05)
    return result


def answer(url: str, **headers: str) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5) as response:
            return response.status
    except urllib.error.HTTPError as err:
        return err.code
    except OSError:
        return 0


def upgrade(address: str, **headers: str) -> bytes:
    """The first line that the dashboard's WebSocket answers."""
    host, port = address.removeprefix("http://").split(":")
    sent = {
        "Host": f"{host}:{port}", "Connection": "Upgrade", "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", **headers,
    }  # fmt: skip
    lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(f"GET /_stcore/stream HTTP/1.1\r\n{lines}\r\n".encode())
        return connection.recv(4096).split(b"\r\n")[0]


def newest_step(metrics: Path) -> int:
    lines = metrics.read_text().splitlines() if metrics.exists() else []
    return max((json.loads(line)["step"] for line in lines if line.endswith("}")), default=0)


def shown_step(page) -> int:
    found = STEP.search(page.locator("[data-testid=stProgress]").inner_text())
    return int(found[1].replace(",", "")) if found else 0


def set_number(page, label: str, value: int) -> None:
    field = page.get_by_label(label, exact=True)
    field.fill(str(value))
    field.press("Enter")


def test_dashboard_answers_its_own_pages_alone(address):
    assert b" 101 " in upgrade(address)
    assert b" 403 " in upgrade(address, Origin="http://evil.example")
    assert b" 403 " in upgrade(address, Host="evil.example")  # a name that was rebound to this machine


def test_person_trains_watches_stops_exports_and_draws(page, address, runs):
    page.goto(address)
    preset = page.get_by_role("combobox", name=re.compile("Preset"))
    preset.click()
    preset.fill("vae-digits")
    preset.press("Enter")
    page.get_by_text("All other settings").click()
    page.get_by_role("tab", name="Training").click()
    set_number(page, "Log every", 100)
    set_number(page, "Sample every", 500)
    set_number(page, "Steps", 2_000_000)
    page.get_by_role("button", name="Start training").click()

    metrics = runs / "vae-digits/metrics.jsonl"
    wait(lambda: newest_step(metrics) > 0, "the first metrics", 120)
    page.locator("[data-testid=stVegaLiteChart] canvas, [data-testid=stVegaLiteChart] svg").first.wait_for()
    page.get_by_text("drawn at step").wait_for()
    lags = []
    for _ in range(4):
        written, start = newest_step(metrics), time.monotonic()
        wait(lambda written=written: shown_step(page) >= written, "the page to catch up", 20)
        lags.append(time.monotonic() - start)
        time.sleep(0.5)
    assert min(lags) <= 1.0, lags

    page.reload()  # a tab that is opened again finds the run, and it goes on
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("interrupted, saved at step").wait_for()
    saved = [int(path.name) for path in (runs / "vae-digits/checkpoints").glob("[0-9]*")]
    assert max(saved) >= written
    page.get_by_role("button", name="Resume").wait_for()

    page.get_by_role("link", name="Runs").click()
    page.get_by_role("button", name="Export", exact=True).click()
    page.get_by_text("Certificate").wait_for(timeout=240_000)
    assert (runs / "vae-digits/model.onnx").exists()

    page.get_by_role("link", name="Generate").click()
    page.get_by_role("button", name="Generate 5 images").click()
    pictures = page.locator("[data-testid=stImage] img")
    wait(lambda: pictures.count() == 5, "five pictures", 60)
    widths = "images => images.map(image => image.complete && image.naturalWidth)"
    wait(lambda: min(pictures.evaluate_all(widths)) >= 112, "pictures that are whole", 20)
    assert {url for url in ASKED if not url.startswith((address, "data:", "blob:"))} == set()
