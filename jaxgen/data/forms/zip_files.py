"""zip:PATH, image files in a ZIP, which is read where it lies; folders are classes or splits, as on the disk."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath, PurePosixPath

from jaxgen.data.forms.encoded import of_tree
from jaxgen.data.forms.form import Form, Opened, Options
from jaxgen.data.forms.tree import arrange
from jaxgen.data.image_files import endings, is_shown, not_read
from jaxgen.errors import JaxgenError, UsageError, one_line

MAX_BYTES = 1 << 28  # of one file, unpacked


def opened(path: Path, options: Options) -> Opened:
    if not path.is_file():
        raise UsageError(f"zip:{path}: there is no such file")
    try:
        archive = zipfile.ZipFile(path)
        entries = {PurePosixPath(info.filename): info for info in archive.infolist() if not info.is_dir()}
    except (OSError, zipfile.BadZipFile) as err:
        raise JaxgenError(f"{path}: cannot be read as a ZIP ({one_line(err)})") from err

    def read(name: PurePath) -> bytes:
        info = entries[PurePosixPath(name)]
        if info.file_size > MAX_BYTES:
            raise JaxgenError(f"{path}/{name}: {info.file_size:,} bytes are too many; the limit is {MAX_BYTES:,}")
        try:
            return archive.read(info)  # ZipFile has a lock of its own
        except (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as err:
            raise JaxgenError(f"{path}/{name}: cannot be read ({one_line(err)})") from err

    return of_entries(path, list(entries), read, options)


def of_entries(
    path: Path, entries: Sequence[PurePosixPath], read: Callable[[PurePath], bytes], options: Options
) -> Opened:
    """The images of an archive by their folders. read: the content of an entry."""
    shown = sorted((name for name in entries if is_shown(name)), key=lambda name: name.parts)
    images = [name for name in shown if name.suffix.lower() in endings()]
    if not images:
        raise JaxgenError(f"{path}: no images in this archive (looked for {', '.join(sorted(endings()))})")
    others = {f"{path}/{name}": not_read(name) for name in shown if name.suffix.lower() not in endings()}
    return of_tree(arrange(images, str(path), options.loose), str(path), read, options, others)


FORM = Form(words="a ZIP of image files", open=opened, options=frozenset({"loose", "white"}))
