"""Images for the gallery's tests, and what lies in its folder."""

import itertools
from pathlib import Path

import numpy as np

from jaxgen.images import png_bytes
from jaxgen_serve.gallery.store import Gallery

INDEX = itertools.count()


def used(**changed) -> dict:
    """What an image was sampled from."""
    return {
        "model": "digits", "sha256": "a" * 64, "seed": 7, "index": 0, "label": None, "class_name": None,
        "guidance": None, "sampler": "ddim", "steps": 20, "eta": 0.0, "untrained": False,
    } | changed  # fmt: skip


def png(shade: int = 0) -> bytes:
    return png_bytes(np.full((4, 4, 1), shade, np.uint8))


def keep(gallery: Gallery, count: int = 1, **changed) -> list[str]:
    """Keep images that are kept nowhere yet: each has an index of its own."""
    images = [(used(**changed) | {"index": next(INDEX)}, png(shade)) for shade in range(count)]
    return [image.id for image in gallery.add(images)[0]]


def ids(gallery: Gallery, **query) -> list[str]:
    return [image.id for image in gallery.search(**query).images]


def files(folder: Path) -> set[str]:
    return {path.name for path in (folder / "pictures").iterdir()}
