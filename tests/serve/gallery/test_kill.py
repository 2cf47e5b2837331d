"""kill -9 of a process that writes to the gallery, a hundred times, at moments that nobody chose."""

import hashlib
import io
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from PIL import Image

from jaxgen_serve.gallery.store import Gallery

# It opens the gallery and changes it without end. What it has done it says, and is held to.
WRITER = """
import hashlib, json, random, sys
from pathlib import Path
from jaxgen_serve.gallery.store import Gallery
rng = random.Random(int(sys.argv[2]))
pngs = [path.read_bytes() for path in sorted(Path(sys.argv[3]).iterdir())]
used = {"model": "digits", "sha256": "a" * 64, "seed": 7, "index": 0, "label": None, "class_name": None,
        "guidance": None, "sampler": None, "steps": None, "eta": None, "untrained": False}
say = lambda *words: print(*words, flush=True)
gallery = Gallery(Path(sys.argv[1]), keep_deleted=0.02)
say("open")
mine = []
while True:
    chosen = rng.choices(pngs, k=rng.randint(1, 4))
    kept, _ = gallery.add([(used | {"index": rng.getrandbits(32)}, png) for png in chosen])
    say("add", *(f"{one.id}:{hashlib.sha256(png).hexdigest()}" for one, png in zip(kept, chosen)))
    mine += [one.id for one in kept]
    name = rng.choice(mine)
    gallery.set_favourite(name, True)
    say("favourite", name)
    if len(mine) > 3:
        name = mine.pop(rng.randrange(len(mine)))
        say("deleting", name)
        gallery.delete(name)
        say("deleted", name)
"""


class Promises:
    """What the writers said they did."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}  # id -> the digest of its file
        self.favourites: set[str] = set()
        self.deleting: set[str] = set()
        self.deleted: set[str] = set()

    def hear(self, lines: list[str]) -> None:
        for line in lines:
            said, *words = line.split()
            if said == "add":
                self.kept |= dict(word.split(":") for word in words)
            elif said != "open":
                {"favourite": self.favourites, "deleting": self.deleting, "deleted": self.deleted}[said].update(words)


def images(folder: Path) -> None:
    """Some PNGs of some kilobytes, written without the code under test."""
    folder.mkdir()
    for i in range(4):
        Image.effect_noise((32 + 16 * i, 64), 80).save(folder / f"{i}.png")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("pictures/*")}


def killed_writer(folder: Path, luck: int, after: str, delay: float) -> list[str]:
    """What a writer said until it was killed, `delay` seconds after it said `after`, or after its start."""
    command = [sys.executable, "-c", WRITER, str(folder), str(luck), str(folder.parent / "png")]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    heard = [writer.stdout.readline()] if after else []
    assert heard == [f"{after}\n"] * len(heard)
    time.sleep(delay)
    writer.kill()
    heard += writer.communicate(timeout=30)[0].splitlines()
    assert writer.returncode == -signal.SIGKILL
    return heard


def rows_of(database_file: Path) -> dict[str, tuple[bool, bool]]:
    """id -> (favourite, deleted), of a database that is in order."""
    database = sqlite3.connect(database_file)
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    rows = database.execute("SELECT id, favourite, deleted_at IS NOT NULL FROM pictures").fetchall()
    database.close()
    return {name: (bool(favourite), bool(gone)) for name, favourite, gone in rows}


def require_a_file_for_each_row(folder: Path) -> None:
    """As the kill left them: of a copy, since whoever opens the database itself mends it."""
    with tempfile.TemporaryDirectory() as copy:
        for path in folder.glob("gallery.sqlite3*"):
            if not path.name.endswith("-shm"):
                shutil.copy(path, copy)
        rows = rows_of(Path(copy, "gallery.sqlite3"))
    assert {f"{name}.png" for name in rows} <= names(folder)


def check(folder: Path, promises: Promises, since: str) -> str:
    """Open the gallery as it was left and hold it to all promises; files of images after `since` are decoded.

    Gives the newest id.
    """
    gallery = Gallery(folder)
    rows = rows_of(folder / "gallery.sqlite3")
    assert names(folder) == {f"{name}.png" for name in rows}
    assert promises.kept.keys() - promises.deleting <= rows.keys()
    assert all(rows[name][0] for name in promises.favourites & rows.keys())
    deleted = {name for name, (_, gone) in rows.items() if gone}
    assert promises.deleted & rows.keys() <= deleted <= promises.deleting
    for name in (name for name in rows if name > since):
        data = (folder / "pictures" / f"{name}.png").read_bytes()
        Image.open(io.BytesIO(data)).load()
        assert hashlib.sha256(data).hexdigest() == promises.kept.get(name, hashlib.sha256(data).hexdigest())
    assert gallery.search().total == len(rows) - len(deleted)
    gallery.close()
    return max(rows, default="")


def test_gallery_survives_ninety_kills_with_all_that_it_promised(tmp_path):
    images(tmp_path / "png")
    folder, promises, rng, newest, torn = tmp_path / "gallery", Promises(), random.Random(0), "", 0
    for i in range(90):
        promises.hear(killed_writer(folder, i, "open", rng.uniform(0, 0.06)))
        require_a_file_for_each_row(folder)
        left = names(folder)
        newest = check(folder, promises, newest)
        torn += left != names(folder)
    assert len(promises.kept) > 90  # they did write
    assert torn > 0  # and some were killed between a file and its row


def test_gallery_survives_ten_kills_while_it_is_made(tmp_path):
    images(tmp_path / "png")
    for i in range(10):
        folder, promises = tmp_path / str(i), Promises()
        promises.hear(killed_writer(folder, i, "", 0.03 + i * 0.01))
        check(folder, promises, "")


@pytest.mark.parametrize("kills", [3, pytest.param(100, marks=pytest.mark.slow)])
def test_server_that_is_killed_loses_no_image_that_it_answered_with(kills, conditional, tmp_path):
    answered: list[dict] = []
    for i in range(kills):
        command = [sys.executable, "-m", "jaxgen", "serve", conditional.onnx, "--port", "0", "--data", tmp_path]
        server = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        address = server.stdout.readline().split()[-1]
        clients = [threading.Thread(target=keep_asking, args=(address, answered)) for _ in range(4)]
        before = len(answered)
        for client in clients:
            client.start()
        while len(answered) < before + 8:
            assert all(client.is_alive() for client in clients)
            time.sleep(0.005)
        time.sleep(0.013 * (i % 10))
        server.kill()
        for client in clients:
            client.join()
        server.communicate(timeout=30)
        require_a_file_for_each_row(tmp_path / "gallery")
    gallery = Gallery(tmp_path / "gallery")
    rows = rows_of(tmp_path / "gallery" / "gallery.sqlite3")
    assert names(tmp_path / "gallery") == {f"{name}.png" for name in rows}
    assert {row["id"] for row in answered} <= rows.keys()
    for row in answered:
        Image.open(io.BytesIO(gallery.png(row["id"]))).load()
    gallery.close()


def keep_asking(address: str, answered: list[dict]) -> None:
    """Have images kept until the server is gone; those that were answered with go to `answered`."""
    with httpx.Client(base_url=address) as client, suppress(httpx.TransportError):
        while True:
            reply = client.post("/gallery?num_images=2", json={"steps": 1})
            assert reply.status_code == 200, reply.text
            answered += reply.json()["images"]
