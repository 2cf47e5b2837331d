"""Reading files with a size limit, and writing files atomically."""

from __future__ import annotations

import io
import os
import secrets
import stat
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from jaxgen.errors import JaxgenError

Content = bytes | Callable[[BinaryIO], object]


def cache_folder() -> Path:
    """The user's own cache, XDG_CACHE_HOME/jaxgen or ~/.cache/jaxgen; it need not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jaxgen"


def read_bytes(path: str | os.PathLike[str], limit: int) -> bytes:
    """All bytes of a regular file of at most `limit` bytes.

    Raises JaxgenError if there is no such file, if it is a folder, pipe or device, too large, or unreadable.
    """
    try:
        # Checked before opening, because opening a pipe would wait for a writer.
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise JaxgenError(f"{path}: expected a file, got a folder, pipe or device")
        with Path(path).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(limit + 1) if size <= limit else b""
    except FileNotFoundError as err:
        raise JaxgenError(f"{path}: no such file") from err
    except (OSError, ValueError) as err:  # ValueError: a NUL in the name
        raise JaxgenError(f"{path}: cannot be read: {_reason(err)}") from err
    if max(size, len(data)) > limit:
        raise JaxgenError(f"{path}: expected at most {limit} bytes, got {max(size, len(data))}")
    return data


def write_atomically(path: str | os.PathLike[str], content: Content) -> None:
    """Write bytes, or the output of `content(stream)`, so that `path` holds all of it or its old content.

    The bytes go to a temporary file in the same folder, which is synced to the disk and renamed. A symbolic link is
    kept (its target is replaced); a pipe or device such as /dev/null is written directly.
    Raises JaxgenError if the path cannot be written; errors of `content` propagate, and no file is left.
    """
    try:
        if _is_stream(Path(path)):
            with Path(path).open("wb") as stream:
                _write(stream, content)
        else:
            _replace(Path(os.path.realpath(path)), content)
    except (OSError, ValueError) as err:
        raise JaxgenError(f"{path}: cannot be written: {_reason(err)}") from err


def zipped(files: Iterable[tuple[str, bytes]]) -> bytes:
    """A ZIP of files, (name, content) each, stored: PNGs are deflated already. Equal files give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files:
            archive.writestr(zipfile.ZipInfo(name), content)  # with the earliest date that a ZIP can hold
    return buffer.getvalue()


def check_writable(path: Path) -> None:
    """Raise JaxgenError if `write_atomically(path, ...)` would fail for a foreseeable reason."""
    folder = Path(os.path.realpath(path)).parent
    if path.is_dir():
        raise JaxgenError(f"{path}: cannot be written: it is a folder")
    if not folder.is_dir():
        raise JaxgenError(f"{path}: cannot be written: there is no folder {folder}; create it first")
    if not os.access(folder, os.W_OK):
        raise JaxgenError(f"{path}: cannot be written: no permission in {folder}")


def _is_stream(path: Path) -> bool:
    """Whether `path` is a pipe or a device, which a rename would replace by a plain file."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _replace(target: Path, content: Content) -> None:
    if target.is_dir():
        raise IsADirectoryError("it is a folder")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {target.parent}; create it first")
    temporary = target.parent / f".{secrets.token_hex(8)}.tmp"
    try:
        with temporary.open("xb") as stream:  # not tempfile, whose files only their owner may read
            _write(stream, content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
    except BaseException:  # also on KeyboardInterrupt
        temporary.unlink(missing_ok=True)
        raise
    sync(target.parent)  # the rename itself survives a power cut


def _write(stream: BinaryIO, content: Content) -> None:
    if callable(content):
        content(stream)
    else:
        stream.write(content)


def sync(path: Path) -> None:
    """Sync a file or folder to the disk (not on Windows)."""
    if os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _reason(err: Exception) -> str:
    return getattr(err, "strerror", None) or str(err)
