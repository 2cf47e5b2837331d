"""Writers of what commands make: sheets, folders, arrays and GIFs, with their provenance where the format has room."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Unpack

import numpy as np

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.files import check_writable, write_atomically
from jaxgen.images import Target, grid, read_png, save_gif, save_jpeg, save_png
from jaxgen.inference import sheets
from jaxgen.inference.model import Model
from jaxgen.inference.provenance import provenance_text
from jaxgen.inference.request import Request as Request
from jaxgen.inference.runtime import How
from jaxgen.inference.sheets import Layout as Layout
from jaxgen.inference.verify import compare_images, same_images, scheme_of

MAX_MOVING = 256  # images in a GIF
FRAMES = 40  # of the way from noise to images
FRAME_MS = 90  # of a walk

Writer = Callable[[Model, Request, int, str], None]


def writer_for(output: str, count: int) -> Writer:
    """The function that writes what the ending of `output` means; refuses early what cannot be written.

    Raises UsageError for an ending that means nothing or too many images for it, JaxgenError for a bad place.
    """
    if output == "-":
        if sys.stdout.isatty():
            raise UsageError("-o - writes a PNG to stdout, which is a terminal; redirect it: > grid.png")
        return _limited(_write_stdout, count, sheets.MAX_IMAGES, "a sheet")
    kinds: dict[str, tuple[Writer, int, str]] = {
        ".png": (_write_sheet, sheets.MAX_IMAGES, "a sheet"),
        ".npy": (_write_images, sys.maxsize, "an array"),
        ".gif": (_write_gif, MAX_MOVING, "a GIF"),
        ".jpg": (_write_jpeg, sheets.MAX_IMAGES, "a sheet"),
        ".jpeg": (_write_jpeg, sheets.MAX_IMAGES, "a sheet"),
    }
    path, ending = Path(output), Path(output).suffix.lower()
    if output.endswith(("/", os.sep)) or (output and path.is_dir() and ending not in kinds):
        _check_folder(path)
        return _write_folder
    if ending not in kinds:
        raise UsageError(f"-o takes FILE.png, FILE.jpg, FOLDER/, FILE.npy, FILE.gif or -, got {output!r}")
    check_writable(path)
    return _limited(kinds[ending][0], count, *kinds[ending][1:])


def replay(image: Path, provenance: Mapping[str, Any], model_path: Path, **how: Unpack[How]) -> tuple[np.ndarray, str]:
    """Sample again what a PNG says it shows: the image [H, W, C], and a sentence on how the two compare.

    The PNG may be of a file that this one was made from, and that samples the same images. Raises JaxgenError if it is
    of another model, its provenance is not understood, or the images differ.
    """
    before = read_png(image)
    model = Model.open(model_path, **how)
    sampled_by, sha256 = provenance.get("model"), model.artifact.sha256
    if sampled_by not in (sha256, *model.artifact.forebears):
        raise JaxgenError(
            f"{image} was sampled from model {str(sampled_by)[:12]!a}..., not from {model_path} ({sha256[:12]}...)"
        )
    try:
        request = Request.from_provenance(model, provenance)
        sheets.require_capacity(model.shape, request.count, layout=request.layout)
    except JaxgenError as err:
        raise JaxgenError(f"{image}: its provenance is not understood: {err}") from err
    again = sheets.sheet(_images(model, request, 64), layout=request.layout)
    if not same_images(again, before, scheme_of(model.artifact)):
        raise JaxgenError(
            f"{image} is not what {model_path} samples here: either it was changed after it was sampled, "
            "or this machine samples differently ('jaxgen verify' tells)"
        )
    result = compare_images(again, before)
    if result["off_by"] == 0:
        return again, "identical: every pixel"
    line = f"{result['identical']:.3%} of pixels identical, the largest difference is {result['off_by']}"
    return again, f"the same: {line}"


def _images(model: Model, request: Request, batch_size: int) -> np.ndarray:
    """All images of a request: uint8 [N, H, W, C]."""
    return np.concatenate(list(request.batches(model, batch_size)))


def _limited(writer: Writer, count: int, most: int, what: str) -> Writer:
    if count > most:
        raise UsageError(f"{what} holds at most {most} images, got -n {count}; write to FOLDER/ or FILE.npy")
    return writer


def _check_folder(folder: Path) -> None:
    """Raise JaxgenError if `folder` is not there and cannot be made, or is there and cannot be written to."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir():
        raise JaxgenError(f"{folder}: cannot be written: {there} is no folder")
    if not os.access(there, os.W_OK):
        raise JaxgenError(f"{folder}: cannot be written: no permission in {there}")


def _sheet(model: Model, request: Request, batch_size: int) -> np.ndarray:
    sheets.require_capacity(model.shape, request.count, layout=request.layout)
    images = _images(model, request, batch_size)
    return sheets.sheet(images, untrained=model.untrained, layout=request.layout)


def _write_sheet(model: Model, request: Request, batch_size: int, output: str | BinaryIO) -> None:
    request = request.on_a_sheet(model)
    image = _sheet(model, request, batch_size)
    save_png(output, image, provenance_text(request.provenance(model, request.first, request.count).record()))


def _write_jpeg(model: Model, request: Request, batch_size: int, output: str) -> None:
    save_jpeg(output, _sheet(model, request.on_a_sheet(model), batch_size))


def _write_stdout(model: Model, request: Request, batch_size: int, output: str) -> None:
    _write_sheet(model, request, batch_size, sys.stdout.buffer)
    sys.stdout.buffer.flush()  # now, while the error of a closed pipe or a full disk can still be reported


def _write_folder(model: Model, request: Request, batch_size: int, output: str) -> None:
    """Write a PNG of each image, batch by batch; each appears whole, and the folder with the first of them."""
    _refuse_layout(request, "columns")
    folder = Path(output)
    index = request.first
    for images in request.batches(model, batch_size):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as err:
            raise JaxgenError(f"{output}: cannot be written: {err.strerror}") from err
        for image in images:
            provenance = request.provenance(model, index)
            single = sheets.sheet(image[None], layout=request.layout)
            save_png(folder / provenance.file_name, single, provenance_text(provenance.record()))
            index += 1


def _write_images(model: Model, request: Request, batch_size: int, output: str) -> None:
    """Write an array batch by batch, so that a million images need no more memory than one batch."""
    _refuse_layout(request, "columns", "scale")
    header = {"descr": "|u1", "fortran_order": False, "shape": (request.count, *model.shape)}

    def write(stream: BinaryIO) -> None:
        np.lib.format.write_array_header_1_0(stream, header)
        for images in request.batches(model, batch_size):
            stream.write(images.tobytes())

    write_atomically(output, write)


def _write_gif(model: Model, request: Request, batch_size: int, output: str) -> None:
    request = request.on_a_sheet(model)
    sheets.require_capacity(model.shape, request.count, layout=request.layout)
    plan = request.plan(model)
    if plan is None:
        raise UsageError(
            f"{model.artifact.path} samples in one evaluation, so there is no way from noise to images to show; "
            "for a walk between two images: jaxgen latent interpolate -o walk.gif"
        )
    total, frames = min(FRAMES, len(plan) + 1), []
    for images in model.frames(
        request.count, FRAMES, seed=request.seed, first=request.first, label=request.label,
        guidance=request.guidance, plan=plan,
    ):  # fmt: skip
        frames.append(images)
        request.progress(len(frames), total)
    frames[-1] = request.snapped(frames[-1])  # what comes before is noise, of every colour
    save_gif(output, np.stack([_page(images, request, model) for images in frames]))


def _page(images: np.ndarray, request: Request, model: Model) -> np.ndarray:
    columns, scale = request.layout
    return sheets.marked(grid(images, columns=columns, scale=scale), untrained=model.untrained)


def _refuse_layout(request: Request, *names: str) -> None:
    """Raise UsageError for a layout of what is no sheet."""
    for name in names:
        if getattr(request.layout, name) is not None:
            raise UsageError(f"--{name} lays out a sheet: give it with -o FILE.png, .jpg or .gif")


# --- rows of images, which latent tools make


def checked(output: Path, *endings: str) -> Path:
    """`output`, if it ends in one of these and can be written; UsageError or JaxgenError otherwise."""
    if output.suffix.lower() not in endings:
        raise UsageError(f"-o takes {' or '.join(f'FILE{ending}' for ending in endings)}, got '{output}'")
    check_writable(output)
    return output


def require_room(output: Path, rows: int, columns: int) -> None:
    """Raise UsageError, before anything is sampled, for more images than a file holds."""
    most, widest = sheets.MAX_IMAGES, sheets.MAX_COLUMNS
    if rows * columns > most:
        raise UsageError(f"a file holds at most {most} images, this would be {rows * columns}; ask for fewer")
    if output.suffix.lower() == ".png" and columns > widest:
        raise UsageError(
            f"rows of {columns} images are too wide for a PNG (at most {widest}); write to FILE.gif or FILE.npy"
        )


def write_rows(
    output: Path,
    rows: np.ndarray,
    provenance: Mapping[str, Any],
    titles: Sequence[str] | None = None,
    *,
    untrained: bool = False,
) -> None:
    """Write uint8 [R, K, H, W, C] as the ending says: R rows of K images, below the row's title if it has one (.png); K
    frames of R images each, there and back again (.gif); all of them one after the other (.npy).

    untrained: whether untrained weights made them, which a PNG and a GIF then say.
    """
    if output.suffix.lower() == ".npy":
        write_array(output, rows.reshape(-1, *rows.shape[2:]))
    elif output.suffix.lower() == ".gif":
        save_walk(output, rows.swapaxes(0, 1), untrained=untrained)
    else:
        sheet = sheets.marked(sheets.sheet_of_rows(rows, titles), untrained=untrained)
        save_png(output, sheet, provenance_text(provenance))


def save_walk(target: Target, frames: np.ndarray, *, untrained: bool = False) -> None:
    """Write a GIF of frames of images, uint8 [K, N, H, W, C], there and back again: it is shown again and again, and
    must not jump."""
    pages = np.stack([sheets.marked(grid(images), untrained=untrained) for images in frames])
    there_and_back = np.concatenate([pages, pages[-2:0:-1]])
    save_gif(target, there_and_back, duration_ms=FRAME_MS, hold_last_ms=FRAME_MS)


def write_array(output: Path, array: np.ndarray) -> None:
    def write(stream: BinaryIO) -> None:
        np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)

    write_atomically(output, write)
