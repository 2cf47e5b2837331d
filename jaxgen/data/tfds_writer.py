"""Datasets written as TFDS array_record sets, without TensorFlow, all or nothing."""

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
    """Write `examples`, by split, as the set that the TFDS builder class `base` describes; its folder under `root`."""
    return build(lambda data_dir: _builder_of(base)(examples, data_dir=data_dir, file_format="array_record"), root)


def build(builder_at: Callable[[Path], Any], root: Path) -> Path:
    """Let the TFDS builder that builder_at(data_dir) makes prepare its set; the set's folder under `root`.

    It appears there whole or not at all, and of several processes that prepare it at once the first one wins.
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
    """Rename a finished folder to `place`, or leave the one that another process put there first."""
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        made.rename(place)
    except OSError:  # a folder is never renamed onto one that is not empty
        if not (place / PREPARED).is_file():
            raise
    return place


def png(image: np.ndarray) -> io.BytesIO:
    """uint8 [H, W, C] as a PNG file. TFDS stores files as they are; only arrays would it encode by TensorFlow."""
    stream = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(stream, "PNG")
    stream.seek(0)
    return stream


def _builder_of(base: Any) -> Any:
    """`base`, but with examples that are given and not downloaded.

    A subclass that TFDS does not list: the stock builders decompress and encode by TensorFlow.
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
                raise NotImplementedError  # _split_generators has them already

    return Given


@contextlib.contextmanager
def _quiet_tfds() -> Iterator[Any]:
    """The tensorflow_datasets module, its progress bars off and what it prints swallowed: stdout is for data."""
    with extra("train"):
        import tensorflow_datasets as tfds
    tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield tfds
    finally:
        tfds.enable_progress_bar()
