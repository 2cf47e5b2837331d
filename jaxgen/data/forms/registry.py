"""The table of forms, and which of them a name or a path means."""

from __future__ import annotations

import functools
import re
import sys
import tarfile
import zipfile
from pathlib import Path
from urllib.parse import parse_qsl

from jaxgen.data.forms import (
    arrays,
    cifar,
    csv_files,
    folder,
    idx_files,
    parquet_files,
    tar_files,
    tile_sheet,
    zip_files,
)
from jaxgen.data.forms.form import Form, Options
from jaxgen.data.forms.own_data import OwnData
from jaxgen.data.image_files import below, endings
from jaxgen.errors import UsageError

FORMS: dict[str, Form] = {
    "folder": folder.FORM,
    "npz": arrays.NPZ,
    "npy": arrays.NPY,
    "csv": csv_files.FORM,
    "idx": idx_files.FORM,
    "zip": zip_files.FORM,
    "tar": tar_files.FORM,
    "parquet": parquet_files.FORM,
    "sheet": tile_sheet.FORM,
    "cifar": cifar.FORM,
}
STARTS = ("/", "./", "../", "~")  # of what is no dataset's name
QUERY = re.compile(r"(.+?)\?(\w+=[^?]*)", re.DOTALL)


def found(name: str) -> OwnData | None:
    """The data that a name means: FORM:PATH, or the path of something here, which stderr then says; None: neither.

    Raises UsageError for what can only be a path and is of no form or not there, and for options that its form does not
    take.
    """
    if not name:
        return None
    kind, colon, rest = name.partition(":")
    prefixed = bool(colon) and kind in FORMS
    path, query = _divided(rest if prefixed else name)
    if not prefixed:
        form = recognised(path) if _exists(path) else None
        if form is None:
            _require_no_path(name, path)
            return None
        _say(str(path), form)
        name, kind = f"{form}:{name}", form
    options = Options.parse(dict(parse_qsl(query, keep_blank_values=True)), name, FORMS[kind].options)
    return OwnData(name, kind, path, FORMS[kind], options)


def absolute(name: str, folder: Path | None = None) -> str:
    """The name of a dataset with its path made absolute, so that it is the same from anywhere; any other name as it is.

    folder: what a relative path is relative to, None: the present one. A path alone gets its form's name before it.
    """
    kind, colon, rest = name.partition(":")
    prefixed = bool(colon) and kind in FORMS
    base = (folder or Path()).absolute()
    path, query = _divided(rest if prefixed else name, base)
    form = kind if prefixed else recognised(path) if _exists(path) else None
    return f"{form}:{path}{'?' * bool(query)}{query}" if form else name


def _divided(text: str, base: Path | None = None) -> tuple[Path, str]:
    """The path and the options of PATH?key=value; a '?' that is in the name of what is there divides nothing."""
    base = base or Path()
    whole = base / Path(text).expanduser()
    match = QUERY.fullmatch(text)
    if match is None or _exists(whole):
        return whole, ""
    return base / Path(match[1]).expanduser(), match[2]


def _require_no_path(name: str, path: Path) -> None:
    """Raise UsageError for a name that can only be meant as a path."""
    if not _exists(path):
        if name.startswith(STARTS):
            raise UsageError(f"{path}: there is no such file or folder")
        return
    if path.is_file() and path.suffix.lower() in endings():
        raise UsageError(f"{path}: one image; of many tiles it is sheet:{path}?tile=WIDTHxHEIGHT")
    if path.is_file() or name.startswith(STARTS):
        raise UsageError(f"{path}: its content is of no form that is known; name it: {', '.join(FORMS)}, as FORM:PATH")


def _exists(path: Path) -> bool:
    """Whether a path is there; False for one that cannot be, such as one that is too long."""
    try:
        return path.exists()
    except OSError:
        return False


def recognised(path: Path) -> str | None:
    """The form of a file or a folder that is there, by its content; None if it is of none."""
    return _of_folder(path) if path.is_dir() else _of_file(path)


def _of_folder(path: Path) -> str | None:
    if cifar.version_of(path):
        return "cifar"
    if idx_files.is_idx(path):
        return "idx"
    if below(path, "**/*"):
        return "folder"
    tests = {"parquet": lambda file: file.suffix == ".parquet", "tar": tar_files.is_tar, "csv": csv_files.is_csv}
    for form, matches in tests.items():
        if any(matches(file) for file in (path.rglob("*") if form == "parquet" else path.iterdir())):
            return form
    return None


def _of_file(path: Path) -> str | None:
    head = idx_files.unpacked_head(path, 8)
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if head.startswith(b"PAR1"):
        return "parquet"
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return "npz" if all(name.endswith(".npy") for name in archive.namelist()) else "zip"
    if idx_files.is_idx(path):
        return "idx"
    if tarfile.is_tarfile(path):
        return "tar"
    if csv_files.is_csv(path):
        return "csv"
    return None


@functools.cache
def _say(path: str, form: str) -> None:
    """Once for each path: one command opens its data several times."""
    print(f"{path} is taken for {form}:PATH, {FORMS[form].words}", file=sys.stderr)
