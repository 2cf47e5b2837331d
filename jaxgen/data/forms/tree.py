"""Image files in folders, wherever these are (on the disk, in a ZIP, in a tar): splits and classes by the folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from jaxgen.data.forms import splits
from jaxgen.errors import UsageError

SHOWN = 3  # files in a message


@dataclass(frozen=True, kw_only=True)
class Tree:
    """splits: the paths of each; labels: of each path its class's number, -1 where there are no classes; passed_over:
    images that are left out, with the reason."""

    splits: dict[str, list[PurePath]]
    labels: dict[PurePath, int]
    classes: tuple[str, ...]
    passed_over: dict[str, str]


def arrange(paths: Sequence[PurePath], where: str, loose: str) -> Tree:
    """Divide the paths of images, relative to `where` and in a fixed order.

    Folders called train and test (or val, ...) are splits, if there is nothing else; else the first folder of a path is
    its class. loose: 'refuse' raises UsageError for images that lie beside the folders of classes or splits, and have
    none; 'ignore' passes over them.
    """
    below = dict(zip(paths, _unwrapped(paths), strict=True))
    divided, outside = _divided(below)
    inside = [inner for part in divided.values() for inner in part.values()]
    has_classes = any(len(inner.parts) > 1 for inner in inside)
    classless = [path for part in divided.values() for path, inner in part.items() if len(inner.parts) == 1]
    beside = [*outside, *(classless if has_classes else [])]
    if beside and loose == "refuse":
        raise _refused(beside, where, "splits" if outside else "classes")
    left_out = set(beside)
    kept = {
        split: {path: inner for path, inner in part.items() if path not in left_out} for split, part in divided.items()
    }
    inside = [inner for part in kept.values() for inner in part.values()]
    classes = splits.in_order({inner.parts[0] for inner in inside}) if has_classes else ()
    number = {name: place for place, name in enumerate(classes)}
    labels = {path: number.get(inner.parts[0], -1) for part in kept.values() for path, inner in part.items()}
    divided_paths = {split: list(part) for split, part in kept.items() if part}
    if set(divided_paths) == {"train"}:
        whole = divided_paths["train"]
        divided_paths = {split: [whole[row] for row in rows] for split, rows in splits.every_tenth(len(whole)).items()}
    why = "beside the folders of classes or splits"
    return Tree(
        splits=splits.completed(divided_paths), labels=labels, classes=classes,
        passed_over={str(path): why for path in beside},
    )  # fmt: skip


def _unwrapped(paths: Sequence[PurePath]) -> list[PurePath]:
    """The paths below the one folder that holds all folders, such as 'pets' in pets/cat/1.png, pets/dog/2.png."""
    inner = list(paths)
    while inner and len({path.parts[0] for path in inner}) == 1 and all(len(path.parts) > 2 for path in inner):
        if inner[0].parts[0].lower() in splits.WORDS:
            break
        inner = [PurePath(*path.parts[1:]) for path in inner]
    return inner


def _divided(below: dict[PurePath, PurePath]) -> tuple[dict[str, dict[PurePath, PurePath]], list[PurePath]]:
    """The paths of each split, each with what is below the split's folder, and the paths outside of all splits."""
    folders = {inner.parts[0] for inner in below.values() if len(inner.parts) > 1}
    words = {folder: splits.WORDS[folder.lower()] for folder in folders if folder.lower() in splits.WORDS}
    chosen = set(words.values())
    if "train" not in chosen or (len(chosen) == 1 and set(words) != folders):
        return {"train": below}, []
    divided: dict[str, dict[PurePath, PurePath]] = {split: {} for split in chosen}
    outside = []
    for path, inner in below.items():
        if len(inner.parts) > 1 and inner.parts[0] in words:
            divided[words[inner.parts[0]]][path] = PurePath(*inner.parts[1:])
        else:
            outside.append(path)
    return divided, outside


def _refused(beside: Sequence[PurePath], where: str, what: str) -> UsageError:
    few = ", ".join(map(str, beside[:SHOWN])) + (", ..." if len(beside) > SHOWN else "")
    some = "1 image lies" if len(beside) == 1 else f"{len(beside):,} images lie"
    return UsageError(
        f"{where}: {some} beside the folders of {what} and would have none ({few}); move them into a folder, or leave "
        "them out: --set data.loose=ignore, or ?loose=ignore after the path"
    )
