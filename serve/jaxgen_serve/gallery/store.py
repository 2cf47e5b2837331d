"""Images that were kept: a row each in SQLite, with how it was sampled, and a PNG file each beside it.

A row is never without its file: the file is on the disk before its row is, and leaves after it. What a crash may leave
of files without rows is removed at the next opening. SQLite's write lock is held from before the first file is written
until the rows are committed, so that another process that opens the folder takes none of them for a leftover.
"""

from __future__ import annotations

import re
import secrets
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, astuple
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.files import sync, write_atomically
from jaxgen_serve.gallery.database import Database, Unavailable
from jaxgen_serve.gallery.records import COLUMNS, NAMES, SAME, USED, GalleryImage, Page

Key = tuple[Any, ...]  # the values of SAME

MAX_IMAGES = 100_000
MAX_LIMIT = 200  # images of one answer
KEEP_DELETED = 24 * 3600.0  # seconds
WAIT = 30.0  # seconds

ID = re.compile(r"[0-9a-f]{28}")
OURS = re.compile(r"[0-9a-f]{28}\.png|\.[0-9a-f]+\.tmp")  # names of what `add` writes; other files are left alone


class NotKept(UsageError):
    """There is no such image in the gallery. The API's 404."""


class Gallery:
    """The images kept in a folder, for any thread, and for several processes at a time.

    Raises Unavailable, here and in every method, where the folder or its database cannot be used. No message holds a
    path, since clients see them.
    """

    def __init__(
        self, folder: Path, *, max_images: int = MAX_IMAGES, keep_deleted: float = KEEP_DELETED, wait: float = WAIT
    ) -> None:
        """keep_deleted: for how many seconds an image can be restored; wait: seconds for another process's write."""
        self._max_images, self._keep_deleted = max_images, keep_deleted
        self._images = folder / "pictures"
        try:
            self._images.mkdir(parents=True, exist_ok=True)
            sync(folder)
        except OSError as err:
            raise Unavailable(f"the gallery's folder cannot be made: {err.strerror}; choose another --data") from err
        self._database = Database(folder / "gallery.sqlite3", wait=wait)
        try:
            self._tidy()
        except BaseException:
            self._database.close()
            raise

    def add(self, images: Sequence[tuple[Mapping[str, Any], bytes]]) -> tuple[list[GalleryImage], int]:
        """Keep images, each what it was sampled from (the names in USED) and its PNG file: all of them or none.

        Returns the row of each, and how many are new: what is kept already stays one row, and comes back if it was
        deleted. They are on the disk when this returns. Raises UsageError if the gallery is full.
        """
        asked = {_key(used): (used, png) for used, png in images}
        new: list[GalleryImage] = []
        try:
            with self._database.write() as database:
                rows = self._kept(database, asked)
                fresh = [item for key, item in asked.items() if key not in rows]
                purged = self._make_room(database, len(fresh))
                (last,) = database.execute("SELECT max(id) FROM pictures").fetchone()
                for name, (used, png) in zip(_new_ids(last, len(fresh)), fresh, strict=True):
                    values = {key: used[key] for key in USED}
                    new.append(GalleryImage(id=name, favourite=False, created=_now(), **values))
                    self._write(name, png)
                marks = ", ".join("?" * len(NAMES))
                database.executemany(f"INSERT INTO pictures ({COLUMNS}) VALUES ({marks})", map(astuple, new))
        except Exception:  # on KeyboardInterrupt the rows may just have been committed: leftovers wait for an opening
            self._unlink(f"{image.id}.png" for image in new)
            raise
        self._unlink(purged)
        rows |= {_key(asdict(image)): image for image in new}
        return [rows[_key(used)] for used, _ in images], len(new)

    def search(
        self,
        *,
        model: str | None = None,
        label: str | int | None = None,
        seed: int | None = None,
        favourite: bool | None = None,
        limit: int = 60,
        before: str | None = None,
    ) -> Page:
        """Images for which all of these hold, newest first: at most `limit` of those kept before image `before`.

        label: a class's name or number, -1 for images sampled without one. Raises UsageError on values out of range.
        """
        if not 1 <= limit <= MAX_LIMIT:
            raise UsageError(f"limit must be from 1 to {MAX_LIMIT}, got {limit}")
        if seed is not None and not 0 <= seed < 2**32:
            raise UsageError(f"seed must be from 0 to 2^32 - 1, got {seed}")
        if before is not None and not ID.fullmatch(before):
            raise UsageError(f"before must be the id of an image, got {before[:60]!a}")
        equal = {"model": model, "seed": seed, "favourite": favourite}
        values: list[Any] = [value for value in equal.values() if value is not None]
        wanted = [f"{name} = ?" for name, value in equal.items() if value is not None]
        if label is not None:
            condition, labels = _of_label(str(label))
            wanted.append(condition)
            values += labels
        where = " AND ".join(["deleted_at IS NULL", *wanted])
        with self._database.read() as database:
            (total,) = database.execute(f"SELECT count(*) FROM pictures WHERE {where}", values).fetchone()
            rows = database.execute(
                f"SELECT {COLUMNS} FROM pictures WHERE {where} AND id < ? ORDER BY id DESC LIMIT ?",
                [*values, before or "~", limit + 1],  # "~" is after every id
            ).fetchall()
        found = [GalleryImage.of_row(row) for row in rows[:limit]]
        return Page(images=found, next=found[-1].id if len(rows) > limit else None, total=total)

    def get(self, name: str) -> GalleryImage:
        """The image of this id. Raises NotKept if there is none, or it was deleted."""
        row = None
        if ID.fullmatch(name):
            with self._database.read() as database:
                query = f"SELECT {COLUMNS} FROM pictures WHERE id = ? AND deleted_at IS NULL"
                row = database.execute(query, (name,)).fetchone()
        if row is None:
            raise NotKept(f"the gallery has no image {name[:60]!a}; it may have been deleted")
        return GalleryImage.of_row(row)

    def png(self, name: str) -> bytes:
        """An image's PNG file. Raises NotKept if there is none; a row whose file somebody took away goes, too."""
        self.get(name)
        try:
            return self._path(name).read_bytes()
        except FileNotFoundError as err:
            with self._database.write() as database:
                database.execute("DELETE FROM pictures WHERE id = ?", (name,))
            raise NotKept(f"the gallery's file of image {name!r} is gone") from err
        except OSError as err:
            raise Unavailable(f"the gallery's file of image {name!r} cannot be read: {err.strerror}") from err

    def set_favourite(self, name: str, favourite: bool) -> GalleryImage:
        """Mark an image, or take the mark away. Raises NotKept if there is no such image."""
        return self._change(name, "favourite", favourite)

    def delete(self, name: str) -> GalleryImage:
        """Take an image out; `restore` can bring it back for a while. Raises NotKept if there is no such image."""
        return self._change(name, "deleted_at", time.time())

    def restore(self, name: str) -> GalleryImage:
        """Bring a deleted image back; one that was not deleted stays. Raises NotKept if it is gone for good."""
        with self._database.write() as database:
            database.execute("UPDATE pictures SET deleted_at = NULL WHERE id = ?", (name,))
        return self.get(name)

    def close(self) -> None:
        """Wait for what is under way, then let go of the files."""
        self._database.close()

    def _tidy(self) -> None:
        """Purge what was deleted long ago; remove files without a row and rows without a file."""
        with self._database.opening() as (database, fresh):
            purged = self._purge(database, time.time() - self._keep_deleted)
            files = {entry.name for entry in self._images.iterdir() if OURS.fullmatch(entry.name)}
            if fresh and files:
                raise Unavailable(
                    "the gallery's folder holds images but no database; put gallery.sqlite3 back, or move the folder "
                    "'gallery' out of the data folder, and a new one is made"
                )
            rows = {f"{name}.png" for (name,) in database.execute("SELECT id FROM pictures")}
            gone = [(name.removesuffix(".png"),) for name in rows - files]
            database.executemany("DELETE FROM pictures WHERE id = ?", gone)
        self._unlink({*purged, *(files - rows)})

    def _kept(self, database: sqlite3.Connection, asked: Mapping[Key, Any]) -> dict[Key, GalleryImage]:
        """The rows of these images that are there, or were deleted a moment ago: those are brought back."""
        there = "sha256 = ? AND seed = ? AND (deleted_at IS NULL OR deleted_at > ?)"
        query, since = f"SELECT {COLUMNS} FROM pictures WHERE {there}", time.time() - self._keep_deleted
        found = (
            GalleryImage.of_row(row)
            for sha256, seed in {(key[0], key[1]) for key in asked}
            for row in database.execute(query, (sha256, seed, since)).fetchall()
        )
        rows = {key: image for image in found if (key := _key(asdict(image))) in asked}
        rows = {key: image for key, image in rows.items() if self._path(image.id).exists()}
        database.executemany("UPDATE pictures SET deleted_at = NULL WHERE id = ?", [(one.id,) for one in rows.values()])
        return rows

    def _make_room(self, database: sqlite3.Connection, count: int) -> list[str]:
        """Purge what was deleted long ago, or all that was deleted if room is wanted for `count` more."""
        purged = self._purge(database, time.time() - self._keep_deleted)
        query = "SELECT count(*) FROM pictures"
        if database.execute(query).fetchone()[0] + count > self._max_images:
            purged += self._purge(database, time.time())
            (held,) = database.execute(query).fetchone()
            if held + count > self._max_images:
                raise UsageError(f"the gallery holds {held} of at most {self._max_images} images; delete some")
        return purged

    def _purge(self, database: sqlite3.Connection, until: float) -> list[str]:
        """Remove the rows of images deleted by then; the names of their files, to be removed after the commit."""
        rows = database.execute("DELETE FROM pictures WHERE deleted_at <= ? RETURNING id", (until,)).fetchall()
        return [f"{name}.png" for (name,) in rows]

    def _change(self, name: str, column: str, value: object) -> GalleryImage:
        image = self.get(name)
        with self._database.write() as database:
            database.execute(f"UPDATE pictures SET {column} = ? WHERE id = ? AND deleted_at IS NULL", (value, name))
            purged = self._purge(database, time.time() - self._keep_deleted)
        self._unlink(purged)
        return image if column == "deleted_at" else self.get(name)

    def _write(self, name: str, png: bytes) -> None:
        try:
            write_atomically(self._path(name), png)
        except JaxgenError as err:  # whose message holds the path
            reason = getattr(err.__cause__, "strerror", None) or "its folder is gone"
            raise Unavailable(f"the gallery's folder cannot be written: {reason}") from err

    def _unlink(self, names: Iterable[str]) -> None:
        for name in names:
            with suppress(OSError):  # what stays now is a leftover for the next opening
                (self._images / name).unlink()

    def _path(self, name: str) -> Path:
        return self._images / f"{name}.png"


def _key(used: Mapping[str, Any]) -> Key:
    """Equal for images that are the same."""
    return tuple(used[name] for name in SAME)


def _new_ids(last: str | None, count: int) -> Iterator[str]:
    """Ids after every other one, whatever the clock says: 12 hex digits of milliseconds, and 16 random ones."""
    start = time.time_ns() // 1_000_000
    if last is not None:
        start = max(start, int(last[:12], 16) + 1)
    return (f"{start + i:012x}{secrets.token_hex(8)}" for i in range(count))


def _of_label(text: str) -> tuple[str, list[Any]]:
    """The condition that a label is `text`, and its values."""
    if text == "-1":
        return "label IS NULL", []
    if text.isdecimal() and len(text) <= 9:
        return "(class_name = ? OR label = ?)", [text, int(text)]
    return "class_name = ?", [text]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
