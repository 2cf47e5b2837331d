"""Who may ask, and for how much: token, origin, host; images, steps, frames, bytes, pixels, seconds."""

import io
import socket
import struct
import time
import zlib
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from servers import TOKEN

from jaxgen_serve.app import create_app
from jaxgen_serve.engine import Engine
from jaxgen_serve.library import Library
from jaxgen_serve.metrics import Metrics
from jaxgen_serve.settings import Settings

MEGABYTE = 2**20
OPEN = {"/health", "/app/"}
GUARDED = ("/", "/ready", "/metrics", "/models", "/model-info", "/model-file", "/plan", "/gallery", "/docs",
           "/openapi.json", "/latent-map", "/stream", "/nothing")  # fmt: skip


def memory(process) -> int:
    """Bytes that a process has in memory."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    (kilobytes,) = (line.split()[1] for line in lines if line.startswith("VmRSS"))
    return int(kilobytes) * 1024


def inside(settings: Settings, model: Path, port: int = 8000) -> TestClient:
    """A client of an application in this process."""
    app = create_app(settings, Library([model]), Engine(), Metrics())
    return TestClient(app, base_url=f"http://localhost:{port}")


# --- token


@pytest.fixture(scope="module")
def stranger(strict):
    with strict.client(headers={}) as client:
        yield client


def test_only_life_the_page_and_logging_in_need_no_token(stranger, insider):
    for path in OPEN:
        assert stranger.get(path).status_code == 200, path
    for path in GUARDED:
        answer = stranger.get(path)
        assert answer.status_code == 401 and "token" in answer.json()["detail"], path
        assert answer.headers["www-authenticate"] == "Bearer"
        assert insider.get(path).status_code != 401, path
    for path in ("/generate", "/generate-batch", "/interpolate", "/reconstruct", "/inpaint", "/models", "/gallery"):
        assert stranger.post(path).status_code == 401, path


@pytest.mark.parametrize(
    "value", ["Bearer", "", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer \xff"]
)
def test_wrong_token_is_none(stranger, value):
    answer = stranger.get("/models", headers=[(b"authorization", value.encode("latin-1"))])
    assert answer.status_code == 401


def test_cookie_from_logging_in_opens_what_the_token_opens(strict):
    with strict.client(headers={}) as browser:
        assert browser.post("/login", json={"token": "open-says-me"}).status_code == 401
        assert browser.get("/models").status_code == 401
        answer = browser.post("/login", json={"token": TOKEN})
        cookie = answer.headers["set-cookie"]
        assert answer.status_code == 204 and TOKEN not in cookie
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie
        name = f"jaxgen-{strict.url.rpartition(':')[2]}"
        assert cookie.startswith(f"{name}=")
        assert browser.get("/models").status_code == 200
    for value in ("0" * 64, TOKEN):
        with strict.client(headers={"cookie": f"{name}={value}"}) as forger:
            assert forger.get("/models").status_code == 401


def test_two_servers_of_one_host_do_not_log_each_other_out(model_files, tmp_path):
    jar: dict[str, str] = {}  # as a browser has it: one cookie of a name for all ports of a host
    with ExitStack() as stack:
        clients = []
        for port in (8001, 8002):
            settings = Settings(data=tmp_path / str(port), token=f"{TOKEN}-{port}")
            clients.append(stack.enter_context(inside(settings, model_files["plane"], port=port)))
            jar |= dict(clients[-1].post("/login", json={"token": f"{TOKEN}-{port}"}).cookies)
            clients[-1].cookies.clear()
        sent = {"cookie": "; ".join(f"{name}={value}" for name, value in jar.items())}
        for client in clients:
            assert client.get("/models").status_code == 401
            assert client.get("/models", headers=sent).status_code == 200


def test_wrong_token_takes_its_time_and_the_right_one_does_not(strict):
    with strict.client(headers={}) as browser:
        for token in ("x", TOKEN[:-1], "x" * 1000):
            begin = time.monotonic()
            assert browser.post("/login", json={"token": token}).status_code == 401
            assert time.monotonic() - begin >= 0.3
        assert min(_seconds(lambda: browser.post("/login", json={"token": TOKEN})) for _ in range(3)) < 0.3


def _seconds(deed) -> float:
    begin = time.monotonic()
    deed()
    return time.monotonic() - begin


def test_login_takes_no_more_than_a_token_and_waits_for_none(server):
    with server.client() as browser:
        answer = browser.post("/login", json={"token": "x" * 5000})
        assert answer.status_code == 413 and "4096 bytes" in answer.json()["detail"]
        assert browser.post("/login", json={"token": "x" * 900}).status_code == 204  # this server has none
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        head = f"POST /login HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{{"
        connection.sendall(head.encode())
        begin = time.monotonic()
        assert connection.recv(1000).startswith(b"HTTP/1.1 408")
    assert time.monotonic() - begin < 20  # of the 60 that others have


def test_browser_without_the_token_is_led_to_the_page_that_asks_for_it(stranger):
    answer = stranger.get("/docs", headers={"accept": "text/html"}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/app/")


# --- origin and host


def test_page_of_another_site_may_not_ask_and_a_friend_may(strict, insider):
    for origin in ("https://evil.example", "null", "https://friend.example.evil.example", "http://127.0.0.1:1"):
        for method, path in (
            ("POST", "/generate"), ("DELETE", "/gallery/1"), ("POST", "/login"),
            ("GET", "/models"), ("GET", "/stream"), ("GET", "/app/"), ("HEAD", "/"), ("GET", "/health"),
        ):  # fmt: skip
            answer = insider.request(method, path, headers={"origin": origin})
            assert answer.status_code == 403, (origin, path)
            assert "access-control-allow-origin" not in answer.headers
    for origin in (strict.url, "https://friend.example"):
        assert insider.post("/generate", headers={"origin": origin}).status_code == 200, origin
        assert insider.get("/models", headers={"origin": origin}).status_code == 200, origin


IMAGE = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}
LINK = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


def test_picture_in_the_page_of_another_site_draws_nothing(client):
    """What <img src=...> there sends has no Origin, and its answer would not matter: asking is the harm."""
    for path in ("/stream?num_images=64", "/latent-map?model=plane", "/model-file", "/app/", "/health", "/"):
        answer = client.get(path, headers=IMAGE)
        assert answer.status_code == 403 and "another site" in answer.json()["detail"], path
        assert "\n" not in answer.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {**LINK, "accept": "text/html"}, 307),
        ("GET", "/app", LINK, 307),
        ("GET", "/app/", LINK, 200),
        ("GET", "/docs", LINK, 200),
        ("GET", "/app/", LINK | {"sec-fetch-dest": "iframe"}, 403),
        ("GET", "/app/", LINK | {"sec-fetch-mode": "cors"}, 403),
        ("POST", "/", LINK, 403),
        ("GET", "/stream?model=plane", LINK, 403),
        ("GET", "/model-file", LINK, 403),
        ("GET", "/models", IMAGE | {"sec-fetch-site": "same-origin"}, 200),
        ("GET", "/models", IMAGE | {"sec-fetch-site": "none"}, 200),
    ],
)
def test_link_of_another_site_leads_to_the_pages_alone(client, method, path, headers, status):
    assert client.request(method, path, headers=headers, follow_redirects=False).status_code == status


def test_friends_page_may_ask_across_sites_if_it_says_who_it_is(insider):
    sent = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty"}
    friend = insider.get("/models", headers={**sent, "origin": "https://friend.example"})
    assert friend.status_code == 200
    assert friend.headers["access-control-allow-origin"] == "https://friend.example"
    assert insider.get("/models", headers=sent).status_code == 403


def test_cors_names_the_friend_alone(insider):
    ask = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
    friend = insider.options("/generate", headers={"origin": "https://friend.example", **ask})
    assert friend.headers["access-control-allow-origin"] == "https://friend.example"
    assert "access-control-allow-credentials" not in friend.headers
    evil = insider.options("/generate", headers={"origin": "https://evil.example", **ask})
    assert "access-control-allow-origin" not in evil.headers


def test_cors_is_off_unless_asked_for(client):
    answer = client.get("/models", headers={"origin": "https://friend.example"})
    assert answer.status_code == 403 and "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "", "[::2]"]
)
def test_another_name_for_this_machine_is_refused(client, host):
    answer = client.get("/health", headers={"host": host})
    assert answer.status_code == 403 and "another name" in answer.json()["detail"]


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "LOCALHOST:80", "127.0.0.1", "[::1]:8000"])
def test_own_names_are_answered(client, host):
    assert client.get("/health", headers={"host": host}).status_code == 200


def test_every_answer_has_the_headers_that_browsers_go_by(client, insider):
    answers = [client.get("/models"), client.post("/generate"), client.get("/nothing"), client.get("/app/")]
    for answer in [*answers, client.get("/health", headers={"host": "evil.example"}), insider.get("/models")]:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "server" not in answer.headers


# --- how much


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/generate-batch?num_images=257", {}, "at most 256 pictures"),
        ("/generate", {"steps": 1001}, "at most 1000 steps"),
        ("/interpolate", {"seeds": [1, 2, 3], "frames": 501}, "at most 1000 frames"),
        ("/gallery?num_images=257", {}, "at most 256 pictures"),
    ],
)
def test_more_than_the_server_gives_is_refused(client, path, body, says):
    answer = client.post(path, json=body)
    assert answer.status_code == 400 and says in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/generate-batch?num_images=0", {}),
        ("/generate-batch?num_images=99999999999999999999", {}),
        ("/generate", {"steps": 10**30}),
        ("/generate", {"seed": 2**32}),
        ("/generate", {"index": -1}),
        ("/generate", {"guidance": 101}),
        ("/generate", {"latent": [0.0] * 4097}),
        ("/generate", {"model": "m" * 201}),
        ("/interpolate", {"seeds": [1] * 65}),
        ("/interpolate", {"seeds": [1, 2], "frames": 1}),
    ],
)
def test_value_out_of_all_range_is_refused(client, path, body):
    assert client.post(path, json=body).status_code == 422


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_number_that_is_none_is_refused(client, number):
    for path, body in (("/generate", '{"guidance": %s}'), ("/interpolate", '{"latents": [[%s, 0], [0, 0]]}')):
        answer = client.post(path, content=body % number, headers={"content-type": "application/json"})
        assert answer.status_code == 422


def test_picture_that_lies_beyond_the_last_index_is_refused(client):
    answer = client.post("/generate-batch?num_images=2", json={"index": 2**32 - 1})
    assert answer.status_code == 400


def test_pictures_that_would_not_fit_into_memory_are_refused(model_files, tmp_path):
    """Of 64 bytes each: the models of these tests are too small for the server's own limit."""
    with inside(Settings(data=tmp_path, max_bytes=640), model_files["plane"]) as client:
        walk = {"seeds": [1, 2], "frames": 11}
        for answer in (
            client.post("/generate-batch?num_images=11"),
            client.post("/interpolate", json=walk),
            client.get("/latent-map?size=4"),
            client.get("/stream?num_images=11"),
        ):
            assert answer.status_code == 400 and "at most 10 pictures of this size" in answer.json()["detail"]
        assert client.post("/generate-batch?num_images=10").status_code == 200


def test_server_that_takes_no_more_requests_still_says_that_it_lives(model_files, tmp_path):
    with inside(Settings(data=tmp_path, max_open=0), model_files["plane"]) as client:
        for method in ("GET", "HEAD"):
            assert client.request(method, "/health").status_code == 200
        answer = client.get("/models")
        assert answer.status_code == 503 and answer.headers["retry-after"] == "1"


def test_short_queue_limits_what_one_request_may_ask_for(insider):
    answer = insider.post("/generate-batch?num_images=17", json={"model": "plane"})
    assert answer.status_code == 400 and "at most 16" in answer.json()["detail"]


def test_body_that_is_too_large_is_refused_by_its_length_and_by_its_bytes(server):
    """Without a length the server has to count, and stops long before the end."""
    sent = 0

    def endless():
        nonlocal sent
        while sent < 1024 * MEGABYTE:
            sent += MEGABYTE
            yield bytes(MEGABYTE)

    before = memory(server.process)
    for path, kind in (("/generate", "application/json"), ("/reconstruct", "multipart/form-data; boundary=b")):
        with server.client() as own:
            answer = own.post(path, content=bytes(5 * MEGABYTE), headers={"content-type": kind})
            assert answer.status_code == 413 and "4194304 bytes" in answer.json()["detail"]
        with server.client() as own:
            try:
                answer = own.post(path, content=endless(), headers={"content-type": kind})
                assert answer.status_code in (413, 400)
            except httpx.TransportError:
                pass  # the server has hung up, which it may
            assert sent < 256 * MEGABYTE
    assert memory(server.process) - before < 64 * MEGABYTE


def test_body_that_is_never_sent_does_not_wait_for_ever(strict):
    host, port = strict.url.removeprefix("http://").split(":")
    head = f"POST /generate HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\n"
    begin = time.monotonic()
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{{".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 408")
    assert 2 < time.monotonic() - begin < 20


# --- pictures


def bomb(width: int, height: int) -> bytes:
    """A PNG file of little that claims so many grey pixels, and has the first of them."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes((width + 1) * min(height, 100)), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def picture(kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (8, 8), 200).save(buffer, kind, **options)
    return buffer.getvalue()


GIF = picture("GIF")
BAD = {
    "a PNG of 900 million pixels": (bomb(30_000, 30_000), "too many pixels"),
    "a PNG of two thousand million": (bomb(2**31 - 1, 1), "too many pixels"),
    "a PNG of more than are read": (bomb(2049, 2048), "too many pixels"),
    "a GIF of four thousand million": (GIF[:6] + b"\xff\xff\xff\xff" + GIF[10:], "too many pixels"),
    "a PNG that ends too soon": (picture("PNG")[:-30], "damaged"),
    "a PNG of nothing": (bomb(0, 0), "not a picture"),
    "a BMP": (picture("BMP"), "not a picture"),
    "a TIFF": (picture("TIFF"), "not a picture"),
    "an icon": (picture("ICO", sizes=[(8, 8)]), "not a picture"),
    "an array": (b"\x93NUMPY\x01\x00v\x00{'descr': '|O'}", "not a picture"),
    "SVG": (b"<svg xmlns:xlink='http://www.w3.org/1999/xlink'><image href='file:///etc/passwd'/></svg>", "not a pict"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
    "nothing": (b"", "not a picture"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_picture_is_refused_before_it_is_decoded(client, server, name):
    content, says = BAD[name]
    before = memory(server.process)
    for path, more in (("/reconstruct", {}), ("/inpaint", {"mask": "top"})):
        form = {"model": "plane" if path == "/reconstruct" else "classes", **more}
        answer = client.post(path, data=form, files={"file": ("it.png", content)})
        assert answer.status_code == 400 and says in answer.json()["detail"], answer.text
    form = {"model": "classes"}
    answer = client.post("/inpaint", data=form, files={"file": ("a", picture("PNG")), "mask_file": ("b", content)})
    assert answer.status_code == 400 and says in answer.json()["detail"]
    assert memory(server.process) - before < 32 * MEGABYTE


@pytest.mark.parametrize(
    "mask", ["/etc/passwd", "../../etc/passwd", "everything", "", "\x00"], ids=["path", "up", "word", "empty", "nul"]
)
def test_mask_is_the_name_of_a_region_and_no_file_of_the_server(client, mask):
    sent = {"data": {"model": "classes", "mask": mask}, "files": {"file": ("a", picture("PNG"))}}
    answer = client.post("/inpaint", **sent)
    assert answer.status_code == 400 and "top, bottom, left, right, center" in answer.json()["detail"]
