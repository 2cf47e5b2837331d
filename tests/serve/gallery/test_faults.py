"""The gallery and what befalls it: leftovers, other processes, other versions, damage, a full disk."""

import json
import sqlite3
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from kept import files, ids, keep, png, used

from jaxgen_serve.gallery.database import Unavailable
from jaxgen_serve.gallery.store import Gallery

NOWHERE = "0" * 28
# The database as version 1 writes it, by hand: galleries of that version must open for ever.
VERSION_1 = """
CREATE TABLE pictures (
    id TEXT PRIMARY KEY, model TEXT NOT NULL, sha256 TEXT NOT NULL, seed INTEGER NOT NULL,
    "index" INTEGER NOT NULL, label INTEGER, class_name TEXT, guidance REAL, sampler TEXT, steps INTEGER,
    eta REAL, untrained INTEGER NOT NULL, favourite INTEGER NOT NULL, created TEXT NOT NULL, deleted_at REAL
) WITHOUT ROWID;
CREATE INDEX by_deleted ON pictures (deleted_at) WHERE deleted_at IS NOT NULL;
INSERT INTO pictures VALUES ('01a1fe99765abdb43a17358ef6ea', 'digits', 'ab', 7, 2, 3, 'three', 1.5, 'ddim', 20, 0.5,
    0, 1, '2026-11-21T14:53:52.649+00:00', NULL);
PRAGMA user_version = 1;
"""


def test_opening_removes_files_without_rows_and_rows_without_files_and_nothing_else(tmp_path):
    gallery = Gallery(tmp_path)
    kept, lost = keep(gallery, 2)
    gallery.close()
    (tmp_path / "pictures" / f"{lost}.png").unlink()
    for name in (f"{NOWHERE}.png", ".0123abcd.tmp", "holiday.png", "notes.txt"):
        (tmp_path / "pictures" / name).write_bytes(b"")
    gallery = Gallery(tmp_path)
    assert ids(gallery) == [kept]
    assert files(tmp_path) == {f"{kept}.png", "holiday.png", "notes.txt"}
    gallery.close()


WRITER = """
import json, random, sys
from pathlib import Path
from jaxgen_serve.gallery.store import Gallery
folder, used = Path(sys.argv[1]), json.loads(sys.argv[2])
gallery = Gallery(folder)
for _ in range(20):
    images = [(used | {"index": random.getrandbits(32)}, b"png") for _ in range(3)]
    print(*(image.id for image in gallery.add(images)[0]))
"""


def test_galleries_that_open_meanwhile_take_no_file_of_another_process(tmp_path):
    command = [sys.executable, "-c", WRITER, str(tmp_path), json.dumps(used())]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    opened = 0
    while any(writer.poll() is None for writer in writers):
        Gallery(tmp_path).close()
        opened += 1
    kept = [name for writer in writers for name in writer.communicate()[0].split()]
    assert opened > 3
    assert len(kept) == 120
    gallery = Gallery(tmp_path)
    assert set(ids(gallery, limit=200)) == set(kept)
    assert files(tmp_path) == {f"{name}.png" for name in kept}
    gallery.close()


def test_gallery_of_version_1_opens(tmp_path):
    (tmp_path / "pictures").mkdir()
    name = "01a1fe99765abdb43a17358ef6ea"
    (tmp_path / "pictures" / f"{name}.png").write_bytes(png())
    with sqlite3.connect(tmp_path / "gallery.sqlite3") as database:
        database.executescript(VERSION_1)
    gallery = Gallery(tmp_path)
    image = asdict(gallery.get(name))
    assert image == {
        "id": name, "model": "digits", "sha256": "ab", "seed": 7, "index": 2, "label": 3, "class_name": "three",
        "guidance": 1.5, "sampler": "ddim", "steps": 20, "eta": 0.5, "untrained": False, "favourite": True,
        "created": "2026-11-21T14:53:52.649+00:00",
    }  # fmt: skip
    keep(gallery)
    gallery.close()


def newer(folder: Path) -> None:
    with sqlite3.connect(folder / "gallery.sqlite3") as database:
        database.execute("PRAGMA user_version = 99")


def overwritten(folder: Path) -> None:
    (folder / "gallery.sqlite3").write_bytes(b"not a database" * 1000)


def torn(folder: Path) -> None:
    data = bytearray((folder / "gallery.sqlite3").read_bytes())
    data[4096:8192] = bytes(4096)  # the page of the table
    (folder / "gallery.sqlite3").write_bytes(data)


def lost(folder: Path) -> None:
    (folder / "gallery.sqlite3").unlink()


def turned_to_a_folder(folder: Path) -> None:
    (folder / "gallery.sqlite3").unlink()
    (folder / "gallery.sqlite3").mkdir()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (newer, "the gallery is of version 99, made by a newer jaxgen"),
        (overwritten, "the gallery's database is damaged (file is not a database)"),
        (torn, "the gallery's database is damaged ("),
        (lost, "the gallery's folder holds images but no database"),
        (turned_to_a_folder, "the gallery cannot be used: unable to open database file"),
    ],
)
def test_folder_that_cannot_be_used_is_reported_in_one_line_and_no_image_is_lost(tmp_path, damage, said):
    gallery = Gallery(tmp_path)
    keep(gallery, 3)
    gallery.close()
    held = files(tmp_path)
    damage(tmp_path)
    for _ in range(2):  # to try again does no harm
        with pytest.raises(Unavailable) as caught:
            Gallery(tmp_path)
        assert str(caught.value).startswith(said)
        assert len(str(caught.value).splitlines()) == 1
        assert str(tmp_path) not in str(caught.value)
    assert files(tmp_path) == held


def test_folder_that_cannot_be_made_is_reported_in_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match=r"^the gallery's folder cannot be made: Not a directory; ") as caught:
        Gallery(tmp_path / "file" / "gallery")
    assert str(tmp_path) not in str(caught.value)


FULL_DISK = """
import json, resource, sys
from pathlib import Path
from jaxgen_serve.gallery.store import Gallery
folder, used = Path(sys.argv[1]), json.loads(sys.argv[2])
gallery = Gallery(folder)
gallery.add([(used | {"index": 1}, b"png")])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
for _ in range(2):
    try:
        gallery.add([(used | {"index": 2}, b"png"), (used | {"index": 3}, b"x" * 9000)])
    except Exception as err:
        print(f"{type(err).__name__}: {err}")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
gallery.add([(used | {"index": 4}, b"png")])
print(gallery.search().total, len(list((folder / "pictures").iterdir())))
"""


@pytest.mark.parametrize(
    ("room", "said"),
    [(8192, "the gallery's folder cannot be written: File too large"), (20_000, "the gallery cannot be used: ")],
)
def test_disk_that_is_full_keeps_nothing_and_says_so(tmp_path, room, said):
    """A limit on the size of files stands for the full disk: below the second image's, and below the database's."""
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path), json.dumps(used()), str(room)]
    *refusals, after = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(refusals) == 2
    assert all(line.startswith(f"Unavailable: {said}") for line in refusals), refusals
    assert str(tmp_path) not in "".join(refusals)
    assert after == "2 2"


def test_another_process_that_writes_for_too_long_is_reported(tmp_path):
    gallery = Gallery(tmp_path, wait=0.05)
    (name,) = keep(gallery)
    other = sqlite3.connect(tmp_path / "gallery.sqlite3")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="written by another process; try again"):
        keep(gallery)
    assert ids(gallery) == [name]  # which is read all the same
    other.close()
    assert files(tmp_path) == {f"{name}.png"}
    keep(gallery)
    gallery.close()


def test_closed_gallery_says_so(tmp_path):
    gallery = Gallery(tmp_path)
    gallery.close()
    with pytest.raises(Unavailable, match="is closed"):
        keep(gallery)
    assert files(tmp_path) == set()
