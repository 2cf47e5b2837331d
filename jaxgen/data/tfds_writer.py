"""Writing datasets in the TFDS array_record format, atomically and without TensorFlow."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from jaxgen.data.cache import PREPARED
from jaxgen.errors import extra

Examples = Iterator[tuple[int, dict[str, Any]]]  # key, features; images as `png`


def prepare(base: type, examples: Mapping[str, Examples], root: Path) -> Path:
    """Write `examples`, by split, as the dataset of the TFDS builder class `base`; returns its folder under `root`."""
    return build(lambda data_dir: _builder_of(base)(examples, data_dir=data_dir, file_format="array_record"), root)


def build(builder_at: Callable[[Path], Any], root: Path) -> Path:
    """Prepare the dataset of the TFDS builder from builder_at(data_dir); returns its folder under `root`.

    The folder appears there complete or not at all; if several processes prepare it at once, the first one wins.
    """
    with tempfile.TemporaryDirectory(prefix=".preparing-", dir=root) as scratch, _quiet_tfds() as tfds:
        builder = builder_at(Path(scratch))
        builder.download_and_prepare(
            file_format="array_record",
            download_dir=Path(scratch) / "downloads",
            download_config=tfds.download.DownloadConfig(try_download_gcs=False),
        )
        made = Path(builder.data_dir)
        return move_into_place(made, root / made.relative_to(scratch))


def move_into_place(made: Path, place: Path) -> Path:
    """Rename a finished folder to `place`, or keep the one that another process put there first."""
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        made.rename(place)
    except OSError:  # a folder is never renamed onto one that is not empty
        if not (place / PREPARED).is_file():
            raise
    return place


def png(image: np.ndarray) -> io.BytesIO:
    """uint8 [H, W, C] as a PNG file: TFDS stores files unchanged, but encodes arrays by TensorFlow."""
    stream = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(stream, "PNG")
    stream.seek(0)
    return stream


def _builder_of(base: Any) -> Any:
    """A subclass of `base` that takes its examples as an argument instead of downloading them.

    TFDS does not list it. The stock builders decompress and encode by TensorFlow.
    """
    with extra("train"):
        import tensorflow_datasets as tfds
    with tfds.core.registered.skip_registration():

        class Given(base):
            name = base.name

            def __init__(self, examples: Mapping[str, Examples], **options: Any) -> None:
                self._examples = examples
                super().__init__(**options)

            def _split_generators(self, dl_manager: Any) -> Mapping[str, Examples]:
                return self._examples

            def _generate_examples(self, *args: Any) -> Examples:
                raise NotImplementedError  # _split_generators returns the examples

    return Given


@contextlib.contextmanager
def _quiet_tfds() -> Iterator[Any]:
    """The tensorflow_datasets module without its progress bars and its output on stdout, which is for data."""
    with extra("train"):
        import tensorflow_datasets as tfds
    tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield tfds
    finally:
        tfds.enable_progress_bar()
