"""For how much one may ask: images, steps, frames, bytes, pixels, seconds."""

import io
import resource
import socket
import struct
import time
import zlib

import httpx
import psutil
import pytest
from PIL import Image
from servers import TOKEN, inside

from jaxgen_serve.settings import Settings

MEGABYTE = 2**20


def memory(process) -> int:
    """Bytes that a process has in memory."""
    return psutil.Process(process.pid).memory_info().rss


# --- how much


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/generate-batch?num_images=257", {}, "at most 256 images"),
        ("/generate", {"steps": 1001}, "at most 1000 steps"),
        ("/interpolate", {"seeds": [1, 2, 3], "frames": 501}, "at most 1000 frames"),
        ("/gallery?num_images=257", {}, "at most 256 images"),
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


def test_image_that_lies_beyond_the_last_index_is_refused(client):
    answer = client.post("/generate-batch?num_images=2", json={"index": 2**32 - 1})
    assert answer.status_code == 400


def test_images_that_would_not_fit_into_memory_are_refused(model_files, tmp_path):
    """Of 64 bytes each: the models of these tests are too small for the server's own limit."""
    with inside(Settings(data=tmp_path, max_bytes=640), model_files["plane"]) as client:
        walk = {"seeds": [1, 2], "frames": 11}
        for answer in (
            client.post("/generate-batch?num_images=11"),
            client.post("/interpolate", json=walk),
            client.get("/latent-map?size=4"),
            client.get("/stream?num_images=11"),
        ):
            assert answer.status_code == 400 and "at most 10 images of this size" in answer.json()["detail"]
        assert client.post("/generate-batch?num_images=10").status_code == 200


def test_server_that_takes_no_more_requests_still_says_that_it_lives(model_files, tmp_path):
    with inside(Settings(data=tmp_path, max_open=0), model_files["plane"]) as client:
        for method in ("GET", "HEAD"):
            assert client.request(method, "/health").status_code == 200
        answer = client.get("/models")
        assert answer.status_code == 503 and answer.headers["retry-after"] == "1"


def test_short_queue_limits_the_images_of_one_request(insider):
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


# --- images


def bomb(width: int, height: int) -> bytes:
    """A PNG file of little that claims so many grey pixels, and has the first of them."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes((width + 1) * min(height, 100)), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def image(kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (8, 8), 200).save(buffer, kind, **options)
    return buffer.getvalue()


GIF = image("GIF")
BAD = {
    "a PNG of 900 million pixels": (bomb(30_000, 30_000), "too many pixels"),
    "a PNG of two thousand million": (bomb(2**31 - 1, 1), "too many pixels"),
    "a PNG of more than are read": (bomb(2049, 2048), "too many pixels"),
    "a GIF of four thousand million": (GIF[:6] + b"\xff\xff\xff\xff" + GIF[10:], "too many pixels"),
    "a PNG that ends too soon": (image("PNG")[:-30], "damaged"),
    "a PNG of nothing": (bomb(0, 0), "not an image"),
    "a BMP": (image("BMP"), "not an image"),
    "a TIFF": (image("TIFF"), "not an image"),
    "an icon": (image("ICO", sizes=[(8, 8)]), "not an image"),
    "an array": (b"\x93NUMPY\x01\x00v\x00{'descr': '|O'}", "not an image"),
    "SVG": (
        b"<svg xmlns:xlink='http://www.w3.org/1999/xlink'><image href='file:///etc/passwd'/></svg>",
        "not an image",
    ),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
    "nothing": (b"", "not an image"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_image_is_refused_before_it_is_decoded(client, server, name):
    content, says = BAD[name]
    before = memory(server.process)
    for path, more in (("/reconstruct", {}), ("/inpaint", {"mask": "top"})):
        form = {"model": "plane" if path == "/reconstruct" else "classes", **more}
        answer = client.post(path, data=form, files={"file": ("it.png", content)})
        assert answer.status_code == 400 and says in answer.json()["detail"], answer.text
    form = {"model": "classes"}
    answer = client.post("/inpaint", data=form, files={"file": ("a", image("PNG")), "mask_file": ("b", content)})
    assert answer.status_code == 400 and says in answer.json()["detail"]
    assert memory(server.process) - before < 32 * MEGABYTE


@pytest.mark.parametrize(
    "mask", ["/etc/passwd", "../../etc/passwd", "everything", "", "\x00"], ids=["path", "up", "word", "empty", "nul"]
)
def test_mask_is_the_name_of_a_region_and_no_file_of_the_server(client, mask):
    sent = {"data": {"model": "classes", "mask": mask}, "files": {"file": ("a", image("PNG"))}}
    answer = client.post("/inpaint", **sent)
    assert answer.status_code == 400 and "top, bottom, left, right, center" in answer.json()["detail"]


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux tells what another process may take")
def test_server_that_takes_strangers_models_cannot_take_all_memory(server):
    most, _ = resource.prlimit(server.process.pid, resource.RLIMIT_AS)
    assert 4 * 2**30 < most < 16 * 2**30
