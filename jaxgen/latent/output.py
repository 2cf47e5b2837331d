"""What the commands write: rows of pictures as a sheet, a GIF or an array, latents as an array, tables as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from jaxgen.errors import UsageError
from jaxgen.files import check_writable, write_atomically
from jaxgen.images import grid, provenance_text, save_gif, save_png

MAX_SHEET = 4096  # pictures on one
FRAME_MS = 90


def checked(output: Path, *endings: str) -> Path:
    """`output`, if it ends in one of these and can be written; UsageError or JaxgenError otherwise."""
    if output.suffix.lower() not in endings:
        raise UsageError(f"-o takes {' or '.join(f'FILE{ending}' for ending in endings)}, got '{output}'")
    check_writable(output)
    return output


def require_room(pictures: int) -> None:
    """Raise UsageError, before anything is drawn, for more pictures than a sheet holds."""
    if pictures > MAX_SHEET:
        raise UsageError(f"a sheet holds at most {MAX_SHEET} pictures, this would be {pictures}; ask for fewer")


def write_rows(output: Path, rows: np.ndarray, provenance: Mapping[str, Any]) -> None:
    """uint8 [R, K, H, W, C] as the ending says: R rows of K pictures (.png); K frames of R pictures each (.gif);
    all of them one after the other (.npy)."""
    flat = rows.reshape(-1, *rows.shape[2:])
    if output.suffix.lower() == ".npy":
        write_array(output, flat)
    elif output.suffix.lower() == ".gif":
        save_gif(output, np.stack([grid(frame) for frame in rows.swapaxes(0, 1)]), duration_ms=FRAME_MS)
    else:
        save_png(output, grid(flat, columns=rows.shape[1]), provenance_text(provenance))


def write_array(output: Path, array: np.ndarray) -> None:
    def write(stream: BinaryIO) -> None:
        np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)

    write_atomically(output, write)


def aligned(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table as text: the first column to the left, the others to the right."""
    lines = [[*head], *([cell if isinstance(cell, str) else f"{cell:g}" for cell in row] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "  ".join(
            [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        )
        for line in lines
    )
