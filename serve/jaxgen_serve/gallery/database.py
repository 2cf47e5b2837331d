"""The gallery's SQLite database: its schema and how that changes, transactions, and what can go wrong, in one line."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jaxgen.errors import JaxgenError, one_line

# Entry n brings a database from version n to n + 1. What was released is never changed; a change is another entry.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE pictures (
            id TEXT PRIMARY KEY, model TEXT NOT NULL, sha256 TEXT NOT NULL, seed INTEGER NOT NULL,
            "index" INTEGER NOT NULL, label INTEGER, class_name TEXT, guidance REAL, sampler TEXT, steps INTEGER,
            eta REAL, untrained INTEGER NOT NULL, favourite INTEGER NOT NULL, created TEXT NOT NULL, deleted_at REAL
        ) WITHOUT ROWID""",
        "CREATE INDEX by_deleted ON pictures (deleted_at) WHERE deleted_at IS NOT NULL",
    ),
)


class Unavailable(JaxgenError):
    """The gallery cannot be used, or not now: its folder, its database or its disk. The API's 503."""


class Database:
    """A connection that writes and one that reads, so that a search need not wait while images are written.

    Usable from any thread and by several processes at a time. Raises Unavailable, here and in every block, if the file
    cannot be opened or written, is damaged, or is of a newer version than MIGRATIONS.
    """

    def __init__(self, file: Path, *, wait: float) -> None:
        """wait: seconds for another process that writes."""
        self._file, self._wait = file, wait
        self._writing, self._reading = threading.Lock(), threading.Lock()  # one thread at a time on a connection
        with _explained():
            self._writer = self._connect()
            self._reader = self._connect()

    @contextmanager
    def opening(self) -> Iterator[tuple[sqlite3.Connection, bool]]:
        """A transaction at the end of which the schema is up to date; and whether the database was made by it."""
        with self.write() as database:
            (version,) = database.execute("PRAGMA user_version").fetchone()
            if version > len(MIGRATIONS):
                raise Unavailable(
                    f"the gallery is of version {version}, made by a newer jaxgen than this one, which knows "
                    f"{len(MIGRATIONS)}; update jaxgen, or choose another data folder"
                )
            (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise sqlite3.DatabaseError(found)
            for statement in (line for script in MIGRATIONS[version:] for line in script):
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
            yield database, version == 0

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction, which no other thread or process writes during; rolled back if the block raises."""
        with self._writing, _explained():
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # a failed COMMIT may have rolled back already
                    self._writer.execute("ROLLBACK")
                raise

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Queries that all see the same state."""
        with self._reading, _explained():
            self._reader.execute("BEGIN")
            try:
                yield self._reader
            finally:
                self._reader.execute("ROLLBACK")

    def close(self) -> None:
        """Wait for what is under way, then let go of the file."""
        with self._writing, self._reading:
            self._writer.close()
            self._reader.close()

    def _connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._file, timeout=self._wait, isolation_level=None, check_same_thread=False)
        try:
            # On a file system that cannot do WAL this gives another mode, which is as safe and slower.
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")  # a row outlives a power cut, too, as its file does
        except BaseException:
            database.close()
            raise
        return database


@contextmanager
def _explained() -> Iterator[None]:
    """SQLite's errors as Unavailable."""
    try:
        yield
    except sqlite3.ProgrammingError as err:
        if "closed" not in str(err):
            raise  # our own bug
        raise Unavailable("the gallery is closed") from err
    except sqlite3.OperationalError as err:
        if "locked" in str(err) or "busy" in str(err):
            raise Unavailable("the gallery is being written by another process; try again later") from err
        raise Unavailable(f"the gallery cannot be used: {one_line(err)}; see to its folder and disk") from err
    except sqlite3.DatabaseError as err:
        raise Unavailable(
            f"the gallery's database is damaged ({one_line(err)}); move the folder 'gallery' out of the data folder, "
            "and a new one is made"
        ) from err
