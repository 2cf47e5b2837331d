"""One set of images in every form: each is written by a library that is not ours, read by jaxgen, and compared.

    python experiments/data/forms.py ~/mnist

The images are the first 2,000 of MNIST's test set, read here by NumPy from its two files in the folder that is named.
Pixels must be equal, labels too, and the seconds are those of reading everything.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import pickle
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import parquet

from jaxgen import data

COUNT = 2000
Array = np.ndarray


def mnist(folder: Path) -> tuple[Array, Array]:
    """The first images [N, 28, 28] and labels [N] of the test split."""
    pixels, labels = (
        gzip.decompress((folder / f"t10k-{name}-ubyte.gz").read_bytes()) for name in ("images-idx3", "labels-idx1")
    )
    images = np.frombuffer(pixels, np.uint8, offset=16).reshape(-1, 28, 28)
    return images[:COUNT], np.frombuffer(labels, np.uint8, offset=8)[:COUNT]


def png(image: Array) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def folder(place: Path, images: Array, labels: Array) -> str:
    for row, (image, label) in enumerate(zip(images, labels, strict=True)):
        (place / str(label)).mkdir(parents=True, exist_ok=True)
        (place / str(label) / f"{row:05}.png").write_bytes(png(image))
    return f"folder:{place}"


def zipped(place: Path, images: Array, labels: Array) -> str:
    with zipfile.ZipFile(place, "w") as archive:
        for row, (image, label) in enumerate(zip(images, labels, strict=True)):
            archive.writestr(f"digits/{label}/{row:05}.png", png(image))
    return f"zip:{place}"


def tarred(place: Path, images: Array, labels: Array) -> str:
    with tarfile.open(place, "w") as archive:
        for row, (image, label) in enumerate(zip(images, labels, strict=True)):
            for name, content in ((f"{row:05}.png", png(image)), (f"{row:05}.cls", str(label).encode())):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return f"tar:{place}"


def npz(place: Path, images: Array, labels: Array) -> str:
    np.savez_compressed(place.with_suffix(".npz"), images=images, labels=labels[:, None])
    return f"npz:{place}.npz"


def npy(place: Path, images: Array, labels: Array) -> str:
    place.mkdir()
    np.save(place / "X.npy", images[:, None].astype(np.float32) / 255)
    np.save(place / "y.npy", labels)
    return f"npy:{place}/X.npy"


def csv_table(place: Path, images: Array, labels: Array) -> str:
    with place.with_suffix(".csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([label, *image.ravel()] for image, label in zip(images, labels, strict=True))
    return f"csv:{place}.csv"


def idx(place: Path, images: Array, labels: Array) -> str:
    place.mkdir()
    for name, array in (("images-idx3", images), ("labels-idx1", labels)):
        header = bytes([0, 0, 8, array.ndim]) + b"".join(side.to_bytes(4, "big") for side in array.shape)
        (place / f"train-{name}-ubyte.gz").write_bytes(gzip.compress(header + array.tobytes()))
    return f"idx:{place}"


def hugging_face(place: Path, images: Array, labels: Array) -> str:
    table = pa.table({"image": [{"bytes": png(image), "path": None} for image in images], "label": labels})
    names = {"label": {"names": [str(n) for n in range(10)], "_type": "ClassLabel"}, "image": {"_type": "Image"}}
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": names}})})
    parquet.write_table(table, place.with_suffix(".parquet"))
    return f"parquet:{place}.parquet"


def sheet(place: Path, images: Array, labels: Array) -> str:
    rows = images.reshape(-1, 50, 28, 28).swapaxes(1, 2).reshape(-1, 50 * 28)
    place.with_suffix(".png").write_bytes(png(rows))
    return f"sheet:{place}.png?tile=28x28"


def cifar(place: Path, images: Array, labels: Array) -> str:
    """The images in the middle of 32x32 red, green and blue ones, as the files for Python have them."""
    place.mkdir()
    planes = np.pad(images, ((0, 0), (2, 2), (2, 2)))[:, None].repeat(3, 1).reshape(len(images), -1)
    values = {"data": planes, "labels": labels.tolist()}
    (place / "data_batch_1").write_bytes(pickle.dumps(values, 2))
    (place / "batches.meta").write_bytes(pickle.dumps({"label_names": [str(n) for n in range(10)]}, 2))
    return f"cifar:{place}"


FORMS: dict[str, Callable[[Path, Array, Array], str]] = {
    "folder": folder, "zip": zipped, "tar": tarred, "npz": npz, "npy": npy, "csv": csv_table, "idx": idx,
    "parquet": hugging_face, "sheet": sheet, "cifar": cifar,
}  # fmt: skip


def pairs(images: Array, labels: Array | None) -> list[tuple[bytes, int]]:
    """Images and labels in an order of their own, so that the order of files does not count."""
    numbers = [-1] * len(images) if labels is None else labels.tolist()
    return sorted((image.tobytes(), label) for image, label in zip(images, numbers, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="with t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz")
    images, labels = mnist(parser.parse_args().folder)
    print("| form | train | test | pixels and labels | seconds |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        for form, write in FORMS.items():
            name = write(Path(scratch) / form, images, labels)
            begin = time.perf_counter()
            parts = [data.load(name, split, size=None, channels=1) for split in ("train", "test")]
            seconds = time.perf_counter() - begin
            found = np.concatenate([part.images[..., 0] for part in parts])
            found = found[:, 2:-2, 2:-2] if form == "cifar" else found
            classes = np.concatenate([part.labels for part in parts])
            same = pairs(found, None if form == "sheet" else classes) == pairs(
                images, None if form == "sheet" else labels
            )
            print(
                f"| {form} | {len(parts[0]):,} | {len(parts[1]):,} | {'equal' if same else 'DIFFER'} | {seconds:.1f} |"
            )


if __name__ == "__main__":
    main()
