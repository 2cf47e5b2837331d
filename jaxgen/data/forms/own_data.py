"""People's own data as a source of datasets, whatever their form."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path

from jaxgen.data.dataset import Dataset, DatasetInfo, Images, Shape
from jaxgen.data.forms.form import Form, Opened, Options
from jaxgen.errors import JaxgenError, lookup

Stamp = tuple[tuple[str, int, int], ...]  # name, time and size of files


@dataclass(frozen=True)
class OwnData:
    """name: FORM:PATH with its options; kind: the form's; form: how it is opened."""

    name: str
    kind: str
    path: Path
    form: Form = field(compare=False)
    options: Options

    def info(self, data_dir: Path | None) -> DatasetInfo:
        opened = self.opened()
        first = next(iter(opened.splits.values()))
        return DatasetInfo(
            name=self.name,
            title=f"{self.form.words}: {self.path}",
            source="your own",
            shape=shape_of(first),
            classes=opened.classes,
            splits={split: len(images) for split, images in opened.splits.items()},
            ready=True,
        )

    def get(self, data_dir: Path | None) -> Path:
        self.opened()
        return self.path

    def open(self, split: str, data_dir: Path | None) -> Dataset | Images:
        splits = self.opened().splits
        images = lookup(splits, split, f"split of {self.name}")
        if not len(images):
            count = sum(map(len, splits.values()))
            raise JaxgenError(f"{self.path}: {count} images leave none for {split!r}; every tenth is for testing")
        return images

    def opened(self) -> Opened:
        """What lies there now; the same files are not read twice in a row."""
        return _opened(self, _stamp(self.path) if self.kind != "folder" else ())


@functools.lru_cache(maxsize=1)
def _kept(data: OwnData, stamp: Stamp) -> Opened:
    return data.form.open(data.path, data.options)


def _opened(data: OwnData, stamp: Stamp) -> Opened:
    return _kept(data, stamp) if stamp else data.form.open(data.path, data.options)


def _stamp(path: Path) -> Stamp:
    """What changes with the files of a path; () if they cannot be seen."""
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        stats = [(file.name, file.stat()) for file in files]
    except OSError:
        return ()
    return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)


def shape_of(images: Dataset | Images) -> Shape:
    """Height, width and channels; None for what differs among the images."""
    return images.images.shape[1:] if isinstance(images, Dataset) else images.shape
