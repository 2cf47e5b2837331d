"""The dashboard in a browser, as a person uses it: train on the digits, watch, stop, export, sample."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from statistics import median

import pytest
from browser import visiting

STEP = re.compile(r"step ([\d,]+) of")


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("dashboard") / "runs"


@pytest.fixture(scope="module")
def outside():
    """All there is to the dashboard of the world outside: a proxy, which hears of whatever it asks there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


@pytest.fixture(scope="module")
def log(runs) -> Path:
    """What the command prints."""
    return runs.parent / "dashboard.log"


@pytest.fixture(scope="module")
def address(runs, log, outside):
    """A dashboard of its own, by the command."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jaxgen", "dashboard", "--runs", str(runs), "--port", str(port)]
    proxy = "http://{}:{}".format(*outside.getsockname())
    environment = {**os.environ, "http_proxy": proxy, "https_proxy": proxy, "no_proxy": ""}
    with log.open("w") as printed:
        process = subprocess.Popen(command, stdout=printed, stderr=printed, env=environment)
    try:
        wait(lambda: answer(f"http://127.0.0.1:{port}/_stcore/health") == 200, "the dashboard", 60)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def wait(condition, what: str, seconds: float):
    end = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.05)
    return result


# Not urlopen's own: that keeps for good the proxies of whatever test asked first.
directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def answer(url: str, **headers: str) -> int:
    try:
        with directly.open(urllib.request.Request(url, headers=headers), timeout=5) as response:
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


def heard(outside: socket.socket) -> list[bytes]:
    """The first line of each request to the outside so far."""
    lines = []
    with suppress(BlockingIOError):
        while True:
            with outside.accept()[0] as connection:
                lines.append(connection.recv(4096).split(b"\r\n")[0])
    return lines


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


def test_dashboard_answers_its_own_pages_alone_and_requests_nothing_from_outside(address, log, outside):
    assert b" 101 " in upgrade(address)
    assert b" 403 " in upgrade(address, Origin="http://evil.example")
    assert b" 403 " in upgrade(address, Host="evil.example")  # a name that was rebound to this machine
    assert heard(outside) == []
    said, *warnings = log.read_text().splitlines()
    assert said == f"jaxgen dashboard: {address}"
    assert ["evil.example" in line for line in warnings] == [True, True]


def test_person_trains_watches_stops_exports_and_samples(browser, address, runs, outside):
    with visiting(browser, address) as page:
        page.set_default_timeout(60_000)
        start_training(page)
        watch_it(page, runs / "vae-digits/metrics.jsonl")
        stop_it(page, runs / "vae-digits")
        export_it(page, runs / "vae-digits")
        sample(page)
    assert heard(outside) == []


def start_training(page) -> None:
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


def watch_it(page, metrics: Path) -> None:
    """What is written is shown within a second."""
    wait(lambda: newest_step(metrics) > 0, "the first metrics", 120)
    page.locator("[data-testid=stVegaLiteChart] canvas, [data-testid=stVegaLiteChart] svg").first.wait_for()
    page.get_by_text("sampled at step").wait_for()
    lags, written = [], newest_step(metrics)
    for _ in range(5):
        written = wait(lambda before=written: (now := newest_step(metrics)) > before and now, "more metrics", 20)
        start = time.monotonic()
        wait(lambda written=written: shown_step(page) >= written, "the page to catch up", 20)
        lags.append(time.monotonic() - start)
    assert median(lags) <= 1.0, lags


def stop_it(page, run: Path) -> None:
    """In a tab that is opened again, which finds the run going on."""
    written = newest_step(run / "metrics.jsonl")
    page.reload()
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("interrupted, saved at step").wait_for()
    saved = [int(path.name) for path in (run / "checkpoints").glob("[0-9]*")]
    assert max(saved) >= written
    page.get_by_role("button", name="Resume").wait_for()


def export_it(page, run: Path) -> None:
    page.get_by_role("link", name="Runs").click()
    page.get_by_role("button", name="Export", exact=True).click()
    page.get_by_text("Certificate").wait_for(timeout=240_000)
    assert (run / "model.onnx").exists()


def sample(page) -> None:
    page.get_by_role("link", name="Generate").click()
    page.get_by_role("button", name="Generate 5 images").click()
    images = page.locator("[data-testid=stImage] img")
    wait(lambda: images.count() == 5, "five images", 60)
    widths = "images => images.map(image => image.complete && image.naturalWidth)"
    wait(lambda: min(images.evaluate_all(widths)) >= 112, "images that are whole", 20)
