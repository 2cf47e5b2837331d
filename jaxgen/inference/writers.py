"""From a request to a file: sheets, folders, arrays and GIFs, each of which can say how it was drawn."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.files import check_writable, write_atomically
from jaxgen.images import MAX_PIXELS, captioned, grid, read_png, save_gif, save_jpeg, save_png
from jaxgen.inference.provenance import provenance_text
from jaxgen.inference.request import Request
from jaxgen.inference.sampler import Model
from jaxgen.inference.verify import compare_images, same_images

MAX_SHEET = 4096  # images on one PNG
MAX_MOVING = 256  # images in a GIF
FRAMES = 40

Writer = Callable[[Model, Request, int, str], None]


def writer_for(output: str, count: int) -> Writer:
    """The function that writes what the ending of `output` means; refuses early what cannot be written.

    Raises UsageError for an ending that means nothing or too many images for it, JaxgenError for a bad place.
    """
    if output == "-":
        if sys.stdout.isatty():
            raise UsageError("-o - writes a PNG to stdout, which is a terminal; redirect it: > grid.png")
        return _limited(_write_stdout, count, MAX_SHEET, "a sheet")
    kinds: dict[str, tuple[Writer, int, str]] = {
        ".png": (_write_sheet, MAX_SHEET, "a sheet"),
        ".npy": (_write_array, sys.maxsize, "an array"),
        ".gif": (_write_gif, MAX_MOVING, "a GIF"),
        ".jpg": (_write_jpeg, MAX_SHEET, "a sheet"),
        ".jpeg": (_write_jpeg, MAX_SHEET, "a sheet"),
    }
    path, ending = Path(output), Path(output).suffix.lower()
    if output.endswith(("/", os.sep)) or (output and path.is_dir() and ending not in kinds):
        _check_folder(path)
        return _write_folder
    if ending not in kinds:
        raise UsageError(f"-o takes FILE.png, FILE.jpg, FOLDER/, FILE.npy, FILE.gif or -, got {output!r}")
    check_writable(path)
    return _limited(kinds[ending][0], count, *kinds[ending][1:])


def replay(image: Path, provenance: Mapping[str, Any], model_path: Path, threads: int | None) -> tuple[np.ndarray, str]:
    """Draw again what a PNG says it shows: the image [H, W, C], and a sentence on how the two compare.

    The PNG may be of the file that this one was made from, which draws the same. Raises JaxgenError if it is of another
    model, its provenance is not understood, or the images differ.
    """
    before = read_png(image)
    model = Model.open(model_path, threads=threads)
    sampled_by, sha256 = provenance.get("model"), model.artifact.sha256
    if sampled_by not in (sha256, model.artifact.manifest.get("made_from", sha256)):
        raise JaxgenError(
            f"{image} was drawn by model {str(sampled_by)[:12]!a}..., not by {model_path} ({sha256[:12]}...)"
        )
    try:
        request = Request.from_provenance(model, provenance)
        _require_sheet(model, request.count)
    except JaxgenError as err:
        raise JaxgenError(f"{image}: its provenance is not understood: {err}") from err
    again = sheet(model, request, 64)
    if not same_images(again, before):
        raise JaxgenError(
            f"{image} is not what {model_path} draws here: either it was changed after it was drawn, "
            "or this machine draws differently ('jaxgen verify' tells)"
        )
    result = compare_images(again, before)
    if result["off_by"] == 0:
        return again, "identical: every pixel"
    line = f"{result['identical']:.3%} of pixels identical, the largest difference is {result['off_by']}"
    return again, f"the same: {line}"


def sheet(model: Model, request: Request, batch_size: int) -> np.ndarray:
    """All images of a request on one, [H, W, C]; a single one is itself, not magnified."""
    images = np.concatenate(list(request.batches(model, batch_size)))
    return images[0] if request.count == 1 else grid(images)


def _limited(writer: Writer, count: int, most: int, what: str) -> Writer:
    if count > most:
        raise UsageError(f"{what} holds at most {most} images, got -n {count}; write to FOLDER/ or FILE.npy")
    return writer


def _require_sheet(model: Model, count: int) -> None:
    """Raise UsageError for a sheet that could not be read back, before anything is drawn."""
    height, width, _ = grid(np.zeros((1, *model.shape), np.uint8)).shape  # of an image, magnified, with its frame
    most = min(MAX_SHEET, math.isqrt(MAX_PIXELS // (height * width)) ** 2)
    _limited(_write_sheet, count, most, "a sheet of this model")


def _check_folder(folder: Path) -> None:
    """Raise JaxgenError if `folder` is not there and cannot be made, or is there and cannot be written to."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir():
        raise JaxgenError(f"{folder}: cannot be written: {there} is no folder")
    if not os.access(there, os.W_OK):
        raise JaxgenError(f"{folder}: cannot be written: no permission in {there}")


def _write_sheet(model: Model, request: Request, batch_size: int, output: str | BinaryIO) -> None:
    _require_sheet(model, request.count)
    text = provenance_text(request.provenance(model, request.first, request.count))
    save_png(output, _marked(sheet(model, request, batch_size), model), text)


def _write_jpeg(model: Model, request: Request, batch_size: int, output: str) -> None:
    _require_sheet(model, request.count)
    save_jpeg(output, _marked(sheet(model, request, batch_size), model))


def _marked(image: np.ndarray, model: Model) -> np.ndarray:
    """As it is, or saying so where the weights that drew it have learned nothing."""
    return captioned(image, "untrained weights") if model.untrained else image


def _write_stdout(model: Model, request: Request, batch_size: int, output: str) -> None:
    _write_sheet(model, request, batch_size, sys.stdout.buffer)
    sys.stdout.buffer.flush()  # now, while a reader that has gone or a full disk can still be told


def _write_folder(model: Model, request: Request, batch_size: int, output: str) -> None:
    """Batch by batch; each file appears whole, and the folder with the first of them."""
    folder = Path(output)
    index = request.first
    for images in request.batches(model, batch_size):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as err:
            raise JaxgenError(f"{output}: cannot be written: {err.strerror}") from err
        for image in images:
            made = request.provenance(model, index)
            label = f"-class{made['label']}" if made["label"] != -1 else ""
            name = f"{'untrained-' if model.untrained else ''}seed{request.seed}-{index:06d}{label}.png"
            save_png(folder / name, image, provenance_text(made))
            index += 1


def _write_array(model: Model, request: Request, batch_size: int, output: str) -> None:
    """Batch by batch, so that a million images need no more memory than one batch."""
    header = {"descr": "|u1", "fortran_order": False, "shape": (request.count, *model.shape)}

    def write(stream: BinaryIO) -> None:
        np.lib.format.write_array_header_1_0(stream, header)
        for images in request.batches(model, batch_size):
            stream.write(images.tobytes())

    write_atomically(output, write)


def _write_gif(model: Model, request: Request, batch_size: int, output: str) -> None:
    _require_sheet(model, request.count)
    plan = request.plan(model)
    if plan is None:
        raise UsageError(
            f"{model.artifact.path} draws in one evaluation, so there is no way from noise to images to show; "
            "for a walk between two images: jaxgen latent interpolate -o walk.gif"
        )
    frames = model.frames(
        request.count, FRAMES, seed=request.seed, first=request.first, label=request.label,
        guidance=request.guidance, plan=plan,
    )  # fmt: skip
    save_gif(output, np.stack([_marked(grid(images), model) for images in frames]))
