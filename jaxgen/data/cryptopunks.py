"""CryptoPunks: 10,000 faces of 24 x 24 pixels, cut from the published sheet."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen.data import idx
from jaxgen.data.cache import find_prepared, user_folder, writable_root
from jaxgen.data.dataset import Dataset, DatasetInfo, found_here
from jaxgen.data.decode import decode
from jaxgen.data.forms.tile_sheet import cut
from jaxgen.data.tfds import TfdsImages
from jaxgen.data.tfds_writer import Examples, png, prepare
from jaxgen.data.transforms import compose
from jaxgen.errors import JaxgenError, extra, lookup

SHEET = "punks.png"
SHEET_SHA256 = "ac39af4793119ee46bbff351d8cb6b5f23da60222126add4268e261199a2921b"
TILE = 24
BACKGROUND = (0x63, 0x85, 0x96)  # the blue-grey of the marketplace
SPLITS = ("train", "test")
TEST_EVERY = 10  # punks 9, 19, 29, ... are for testing


class CryptoPunks:
    """Prepared as RGBA tiles with their numbers; loaded as RGB on the background colour, whose border fills larger
    sizes."""

    def __init__(self, sheet_sha256: str = SHEET_SHA256) -> None:
        self._sha256 = sheet_sha256

    def info(self, data_dir: Path | None) -> DatasetInfo:
        ready, problem = found_here(lambda: any(found is not None for found in self._find(data_dir)))
        return DatasetInfo(
            name="cryptopunks",
            title="24x24 pixel-art faces",
            source="Larva Labs, repository larvalabs/cryptopunks; artwork copyright Yuga Labs",
            shape=(TILE, TILE, 3),
            splits={"train": 9_000, "test": 1_000},
            ready=ready,
            problem=problem,
        )

    def get(self, data_dir: Path | None) -> Path:
        content, folder = self._find(data_dir)
        if folder is not None:
            return folder
        if content is None:
            raise JaxgenError(
                f"cryptopunks needs {SHEET} (in the repository larvalabs/cryptopunks); "
                "put it in a folder and pass --data-dir FOLDER"
            )
        root = writable_root("cryptopunks", data_dir)
        print(f"preparing cryptopunks in {root} (once)", file=sys.stderr)
        tiles = cut(decode(content, SHEET), TILE, TILE)
        return prepare(_builder_class(), {split: _examples(tiles, split) for split in SPLITS}, root)

    def _find(self, data_dir: Path | None) -> tuple[bytes | None, Path | None]:
        """The sheet, checked each time (1 ms), and the folder of the prepared dataset, if they are here."""
        sheet = _find_sheet(data_dir)
        content = None if sheet is None else _read_checked(sheet, self._sha256)
        return content, find_prepared("cryptopunks", data_dir)

    def open(self, split: str, data_dir: Path | None) -> Dataset:
        lookup(dict.fromkeys(SPLITS), split, "split of cryptopunks")
        images = TfdsImages(self.get(data_dir), split)
        order = np.argsort(images.column("id"))  # TFDS stores records shuffled
        tiles = np.stack([image for image, _ in images.read(order.tolist())])
        return Dataset(compose(tiles, BACKGROUND), np.full(len(tiles), -1, np.int32), border=BACKGROUND)


def _find_sheet(data_dir: Path | None) -> Path | None:
    named = user_folder(data_dir)
    places = [named / SHEET, named / "cryptopunks" / SHEET] if named else []
    return next((path for path in places if path.is_file()), None)


def _read_checked(path: Path, sha256: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as err:
        raise JaxgenError(f"{path}: cannot be read: {err.strerror}") from err
    if idx.sha256(content) != sha256:
        raise JaxgenError(f"{path}: expected SHA-256 {sha256}, got {idx.sha256(content)}; replace the file")
    return content


def _is_test(number: int) -> bool:
    return number % TEST_EVERY == TEST_EVERY - 1


def _examples(tiles: np.ndarray, split: str) -> Examples:
    for number, tile in enumerate(tiles):
        if _is_test(number) == (split == "test"):
            yield number, {"id": number, "image": png(tile)}


def _builder_class() -> type:
    """The TFDS builder of the dataset, defined here because its base class is in an optional package."""
    with extra("train"):
        import tensorflow_datasets as tfds
    with tfds.core.registered.skip_registration():

        class Builder(tfds.core.GeneratorBasedBuilder):
            name = "cryptopunks"
            VERSION = tfds.core.Version("1.0.0")

            def _info(self) -> Any:
                features = {"id": np.int64, "image": tfds.features.Image(shape=(TILE, TILE, 4))}
                return tfds.core.DatasetInfo(
                    builder=self,
                    description="The 10,000 CryptoPunks, RGBA with alpha in {0, 128, 255}; id is the punk's number.",
                    features=tfds.features.FeaturesDict(features),
                )

    return Builder
