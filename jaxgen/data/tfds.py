"""Datasets of TFDS, prepared if necessary, and read without TensorFlow."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen.data import download
from jaxgen.data.cache import PREPARED, file_format, roots, writable_root
from jaxgen.data.dataset import DatasetInfo, Shape
from jaxgen.data.decode import decode
from jaxgen.data.tfds_writer import build
from jaxgen.errors import JaxgenError, UsageError, extra, nearest


class TfdsImages:
    """One split of a prepared array_record dataset; Pillow decodes images when they are read."""

    labels: np.ndarray | None = None  # known when they are read

    def __init__(self, folder: Path, split: str) -> None:
        with extra("train"):
            import tensorflow_datasets as tfds
        self._folder = folder
        with _damage_named(folder):
            builder = tfds.builder_from_directory(str(folder))
        if split not in builder.info.splits:
            have = ", ".join(builder.info.splits)
            raise UsageError(f"{builder.info.name} has no split {split!r}; it has {have}")
        self._name = f"{builder.info.name}/{split}"
        self._image, self._label = image_and_label(builder.info)
        feature = builder.info.features[self._image]
        self.shape: Shape = feature.shape
        self.classes = class_names(builder.info)
        with _damage_named(folder):
            self._records = builder.as_data_source(split, decoders={self._image: tfds.decode.SkipDecoding()})

    def __len__(self) -> int:
        return len(self._records)

    def read(self, rows: Sequence[int]) -> list[tuple[np.ndarray, int]]:
        return [self._decoded_image(record, row) for record, row in zip(self._read_records(rows), rows, strict=True)]

    def column(self, feature: str) -> np.ndarray:
        """One scalar feature of every record: int64 [N]."""
        return np.array([record[feature] for record in self._read_records(range(len(self)))], np.int64)

    def _read_records(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        with _damage_named(self._folder):
            records = self._records.__getitems__([int(row) for row in rows])
            if any(record[self._image] is None for record in records):  # a torn file reads as empty records
                raise ValueError("a record has no image")
            return records

    def _decoded_image(self, record: dict[str, Any], row: int) -> tuple[np.ndarray, int]:
        image = decode(record[self._image], f"image {row} of {self._name}")
        return image, int(record[self._label]) if self._label else -1


@contextmanager
def _damage_named(folder: Path) -> Iterator[None]:
    """Turn the record reader's errors on damaged files into a JaxgenError that names the folder."""
    try:
        yield
    except JaxgenError:
        raise
    except (RuntimeError, ValueError, KeyError, OSError) as err:
        line = f"{folder}: damaged ({_first_line(err)}); remove the folder and get the dataset again"
        raise JaxgenError(line) from err


def image_and_label(info: Any) -> tuple[str, str | None]:
    """The names of the first uint8 image and the class label (the supervised one, else the first) of a TFDS dataset.

    Raises JaxgenError if it has no images.
    """
    with extra("train"):
        import tensorflow_datasets as tfds
    features = dict(info.features.items())
    images = [name for name, kind in features.items() if isinstance(kind, tfds.features.Image)]
    images = [name for name in images if np.dtype(features[name].np_dtype) == np.uint8]
    if not images:
        raise JaxgenError(f"{info.name} has no 8-bit images; its features are {', '.join(features)}")
    labels = [name for name, kind in features.items() if isinstance(kind, tfds.features.ClassLabel)]
    supervised = [name for name in (info.supervised_keys or ()) if name in labels]
    return images[0], next(iter(supervised + labels), None)


def class_names(info: Any) -> tuple[str, ...]:
    """The class names of the label of `image_and_label`; () without a label."""
    label = image_and_label(info)[1]
    return tuple(info.features[label].names) if label else ()


class TfdsByName:
    """A dataset by its TFDS name: 'cifar10', 'emnist/letters', 'mnist:3.0.1'."""

    def __init__(self, name: str, known: Sequence[str] = ()) -> None:
        self._name = name
        self._known = known  # more names to suggest if this one is unknown

    def info(self, data_dir: Path | None) -> DatasetInfo:
        builder = self._builder(self._prepared_root(data_dir) or roots(data_dir)[0])
        about = builder.info
        image = image_and_label(about)[0]
        licence = about.redistribution_info.license or "licence not stated"
        return DatasetInfo(
            name=self._name,
            title=(about.description or self._name).strip().splitlines()[0],
            source=f"{about.homepage or 'TFDS'}; {licence}",
            shape=about.features[image].shape,
            classes=class_names(about),
            splits={name: split.num_examples for name, split in about.splits.items()},
            ready=self._prepared_root(data_dir) is not None,
        )

    def get(self, data_dir: Path | None) -> Path:
        root = self._prepared_root(data_dir)
        if root is not None:
            return Path(self._builder(root).data_dir)
        return self._prepare(data_dir)

    def open(self, split: str, data_dir: Path | None) -> TfdsImages:
        return TfdsImages(self.get(data_dir), split)

    @property
    def _base(self) -> str:
        return re.split(r"[/:]", self._name)[0]

    def _builder(self, root: Path) -> Any:
        """The TFDS builder. Raises UsageError on an unknown name, configuration or version."""
        with extra("train"):
            import tensorflow_datasets as tfds
            from google.protobuf.json_format import ParseError  # type: ignore[import-untyped]
        listed = tfds.list_builders(with_community_datasets=False)
        # A namespace ('huggingface:x') would be looked up on the web, with minutes of retries.
        if self._base not in listed and not (root / self._base).is_dir():
            choices = ", ".join(self._known)
            hint = nearest(self._base, [*self._known, *listed])
            raise UsageError(f"unknown dataset {self._name!r}{hint}; choose from {choices}, folder:PATH or a TFDS name")
        try:
            return tfds.builder(self._name, data_dir=root, file_format="array_record")
        except (json.JSONDecodeError, ParseError) as err:  # of features.json, dataset_info.json
            where = root / self._base
            raise JaxgenError(
                f"{where}: damaged ({_first_line(err)}); remove the folder and get the dataset again"
            ) from err
        except (ValueError, AssertionError, KeyError, TypeError) as err:
            raise UsageError(f"TFDS does not take {self._name!r}: {_last_clause(err)}") from err

    def _prepared_root(self, data_dir: Path | None) -> Path | None:
        for root in roots(data_dir):
            if not (root / self._base).is_dir():
                continue
            folder = Path(self._builder(root).data_dir)
            if (folder / PREPARED).is_file() and file_format(folder) == "array_record":
                return root
        return None

    def _prepare(self, data_dir: Path | None) -> Path:
        """Prepare the dataset by its TFDS builder. Raises JaxgenError, with the reason in one line, if that fails."""
        builder = self._builder(roots(data_dir)[0])
        hint = f"prepare it elsewhere (tfds build {self._name} --file_format=array_record) and pass --data-dir"
        urls = list(builder.url_infos or ())
        if urls and not download.reachable(urls[0]):  # TFDS itself would try for minutes
            raise JaxgenError(f"{self._name} is not prepared and {urls[0]} does not answer; {hint}")
        folder = Path(builder.data_dir).parent.relative_to(roots(data_dir)[0])
        try:
            return build(self._builder, writable_root(str(folder), data_dir))
        except JaxgenError:
            raise
        except Exception as err:  # other people's builders raise anything
            raise JaxgenError(f"TFDS cannot prepare {self._name}: {_first_line(err)}; {hint}") from err


def _first_line(err: BaseException) -> str:
    return (str(err).strip() or type(err).__name__).splitlines()[0]


def _last_clause(err: BaseException) -> str:
    """The reason in a TFDS error, without the arguments before it."""
    return _first_line(err).rpartition('}": ')[2].partition(" Here are")[0]
