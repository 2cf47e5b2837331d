"""Clients that leave, too many of them, and models that change under them."""

import asyncio
import base64
import json
import os
import socket
import threading
import time
from collections import Counter

import httpx
import numpy as np
from servers import TOKEN, forged, until

from jaxgen.images import png_pixels
from jaxgen.inference.model import Model
from jaxgen.inference.model_file import parse

LEAVING = 500
OVERLOAD_SECONDS = float(os.environ.get("JAXGEN_OVERLOAD_SECONDS", "5"))  # 60 in experiments/serving


def test_server_answers_at_once_after_five_hundred_clients_have_left(server):
    """Each asks for much, and hangs up: some at once, some in the middle of it."""
    host, port = server.url.removeprefix("http://").split(":")
    body = json.dumps({"model": "classes", "steps": 50, "label": 1}).encode()
    request = (
        f"POST /generate-batch?num_images=8 HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body

    async def leave(number: int) -> None:
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(request if number % 5 else request[:-10])  # every fifth not even says what it wants
        await writer.drain()
        await asyncio.sleep(number % 7 * 0.03)
        if number % 2:
            writer.transport.abort()
        else:
            writer.close()

    async def all_leave() -> None:
        gate = asyncio.Semaphore(100)

        async def one(number: int) -> None:
            async with gate:
                await leave(number)

        await asyncio.gather(*map(one, range(LEAVING)))

    with server.client() as client:
        begin = time.monotonic()
        client.post("/generate-batch?num_images=8", content=body, headers={"content-type": "application/json"})
        alone = time.monotonic() - begin
        asyncio.run(all_leave())
        begin = time.monotonic()
        assert client.post("/generate", json={"model": "vae", "label": 1}).status_code == 200
        assert time.monotonic() - begin < max(2, LEAVING * alone / 20)  # a fraction of what they asked for
    assert until(lambda: server.queue() == 0, 5)


def test_walks_that_nobody_waits_for_give_their_threads_back(server):
    """Each would take a minute, and there are fewer threads than walks."""
    body = {"model": "classes", "seeds": [1, 2, 3], "frames": 500, "steps": 50, "label": 1}

    async def leave() -> None:
        async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=0.7) as client:
            answers = (client.post("/interpolate", json=body) for _ in range(24))
            found = await asyncio.gather(*answers, return_exceptions=True)
        left = [answer for answer in found if isinstance(answer, httpx.TimeoutException)]
        told = [answer.status_code for answer in found if isinstance(answer, httpx.Response)]
        assert left and set(told) <= {503}, found

    asyncio.run(leave())
    with server.client() as client:
        short = {"model": "plane", "seeds": [1, 2], "frames": 2}
        assert until(lambda: client.post("/interpolate", json=short).status_code == 200, 10)
    assert until(lambda: server.queue() == 0, 10)


def test_ten_times_too_many_requests_get_images_or_the_time_to_come_back(server):
    """As many images at a time as ten queues hold; what is sampled is right."""
    body = {"model": "classes", "seed": 3, "label": 0, "steps": 10}
    statuses: Counter[int] = Counter()
    images: set[str] = set()
    waits: set[str] = set()

    async def ask(end: float) -> None:
        async with httpx.AsyncClient(base_url=server.url, timeout=120, trust_env=False) as client:
            while time.monotonic() < end:
                answer = await client.post("/generate-batch?num_images=64", json=body)
                statuses[answer.status_code] += 1
                if answer.status_code == 200:
                    images.update(one["image"] for one in answer.json()["images"])
                else:
                    waits.add(answer.headers["retry-after"])
                    assert "\n" not in answer.json()["detail"]
                    await asyncio.sleep(0.05)

    async def flood() -> None:
        end = time.monotonic() + OVERLOAD_SECONDS
        await asyncio.gather(*(ask(end) for _ in range(40)))

    asyncio.run(flood())
    assert set(statuses) == {200, 503} and statuses[503] > statuses[200] > 0, statuses
    assert all(1 <= int(wait) <= 60 for wait in waits)
    with server.client() as client:
        calm = client.post("/generate-batch?num_images=64", json=body).json()["images"]
    found, want = (
        np.array([png_pixels(base64.b64decode(text), "it") for text in sorted(texts, key=provenance_index)])
        for texts in (images, {one["image"] for one in calm})
    )
    assert np.abs(found.astype(int) - want).max() <= 2
    assert until(lambda: server.queue() == 0, 10)


def provenance_index(text: str) -> int:
    """Which image a PNG says it is."""
    data = base64.b64decode(text)
    return int(data.split(b'"index":')[1].split(b",")[0])


def test_model_that_changes_under_its_clients_fails_none_of_them(strict, insider, model_files, tmp_path):
    """Each answer is the old file's or the new one's; a broken file changes nothing."""
    place, old = strict.folder / "swap.onnx", model_files["plane"].read_bytes()
    new = forged(model_files["plane"], manifest=lambda entries: entries.update(training={"steps": 1}))
    put(place, old)
    assert until(lambda: insider.post("/generate", json={"model": "swap"}).status_code == 200)
    hashes = [parse(data, "it").sha256 for data in (old, new)]
    want, _ = Model(parse(old, "it")).sample(np.array([7]), np.array([0]))
    failures: list[str] = []
    seen: list[str] = []
    over = threading.Event()

    def hammer() -> None:
        with strict.client() as client:
            while not over.is_set():
                answer = client.post("/generate", json={"model": "swap", "seed": 7})
                if answer.status_code != 200:
                    failures.append(answer.text)
                    continue
                found = answer.json()
                seen.append(found["sha256"])
                if not np.array_equal(png_pixels(base64.b64decode(found["image"]), "it"), want[0]):
                    failures.append("another image")

    threads = [threading.Thread(target=hammer) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        put(place, b"not a model")
        assert until(lambda: "swap.onnx" in insider.get("/models").json()["refused"])
        put(place, new)
        assert until(lambda: seen and seen[-1] == hashes[1])
        assert "swap.onnx" not in insider.get("/models").json()["refused"]
    finally:
        over.set()
        for thread in threads:
            thread.join()
        place.unlink()
    assert not failures, failures[:3]
    assert set(seen) == set(hashes) and seen[0] == hashes[0]
    assert until(lambda: insider.post("/generate", json={"model": "swap"}).status_code == 404)


def test_image_is_sampled_again_by_its_own_model_or_not_at_all(strict, insider, model_files):
    place, old = strict.folder / "again.onnx", model_files["plane"].read_bytes()
    new = forged(model_files["plane"], manifest=lambda entries: entries.update(training={"steps": 2}))
    was, now = (parse(data, "it").sha256 for data in (old, new))
    try:
        put(place, old)
        assert until(lambda: insider.post("/generate", json={"model": "again"}).status_code == 200)
        first = insider.post("/generate", json={"model": "again"}).json()
        used = {key: value for key, value in first.items() if key not in ("image", "milliseconds")}
        assert insider.post("/generate", json=used).json()["image"] == first["image"]
        put(place, new)
        assert until(lambda: insider.post("/generate", json={"model": "again"}).json()["sha256"] == now)
        answer = insider.post("/generate", json=used)
    finally:
        place.unlink()
    assert answer.status_code == 409
    assert answer.json()["detail"] == f"the model again has changed since: it was {was[:8]}..., it is {now[:8]}..."


def put(place, content: bytes) -> None:
    """As a program writes a file that others read: aside, and renamed."""
    aside = place.with_suffix(".part")
    aside.write_bytes(content)
    aside.replace(place)


def test_garbage_on_the_wire_harms_nobody(strict, insider):
    host, port = strict.url.removeprefix("http://").split(":")
    for garbage in (b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n", b"\x00" * 10_000, b"GET " + b"/" * 200_000):
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            try:
                connection.sendall(garbage)
                connection.shutdown(socket.SHUT_WR)
                assert connection.recv(100).startswith((b"HTTP/1.1 4", b""))
            except OSError:
                pass  # it has hung up already
    assert insider.get("/health", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
