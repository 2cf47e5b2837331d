"""What `jaxgen eval` scores (a model file, a run or images), and the extractor of its dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from jaxgen.cli.progress import current
from jaxgen.errors import UsageError, extra

if TYPE_CHECKING:
    import numpy as np

    from jaxgen.evaluation.generators import Generator, Settings
    from jaxgen.evaluation.likelihood import Autoencoder
    from jaxgen.inference.runtime import How

Shape = tuple[int, int, int]
Say = Callable[[str], None]


@dataclass(frozen=True)
class GivenImages:
    """Images of a file or folder in place of a model: see `jaxgen.evaluation.generators.Generator`."""

    path: Path
    images: np.ndarray  # uint8 [N, H, W, C]

    @property
    def name(self) -> str:
        return str(self.path)

    @property
    def shape(self) -> Shape:
        height, width, channels = self.images.shape[1:]
        return height, width, channels

    @property
    def classes(self) -> tuple[str, ...]:
        return ()

    def count(self, wanted: int) -> int:
        return min(wanted, len(self.images))

    def evaluations(self, settings: Settings) -> int:
        if any(value is not None for value in settings):
            raise UsageError("--sampler, --steps, --spacing and --guidance are for a model, and images are named")
        return 0

    def batches(self, count: int, *, seed: int, settings: Settings, batch_size: int) -> Iterator[np.ndarray]:
        from jaxgen.evaluation.report import sampled

        yield self.images[sampled(len(self.images), count, seed)]

    def autoencoder(self) -> Autoencoder:
        raise UsageError("images are given, and no model")

    def shapes(self) -> list[Shape]:
        """Their shape, and the same with as many channels as they can have as well: three equal ones are grey."""
        height, width, channels = self.shape
        other = (height, width, 4 - channels)
        return [self.shape, other] if self.with_shape(other) else [self.shape]

    def with_shape(self, shape: Shape) -> GivenImages | None:
        """The same images if they are of this shape, or can be without losing anything."""
        from jaxgen.data.image_files import with_channels

        images = with_channels(self.images, shape[2]) if self.shape[:2] == shape[:2] else None
        return None if images is None else replace(self, images=images)


def opened(target: Path, how: How, say: Say) -> Generator:
    """A model file, a run folder, or else images. Raises JaxgenError for what is none of these."""
    from jaxgen.runs.folder import RunFolder

    if target.suffix.lower() == ".onnx":
        from jaxgen.evaluation.generators import FileGenerator

        return FileGenerator.open(target, **how)
    if RunFolder(target).exists():
        with extra("train"):
            from jaxgen.training.environment import keep_compiled
            from jaxgen.training.run_generator import RunGenerator

        keep_compiled()
        return RunGenerator.open(target, say)
    from jaxgen.data.image_files import read_unchanged

    return GivenImages(target, read_unchanged(target))


def as_read(target: Generator, shape: Shape) -> Generator:
    """The target for an extractor that reads images of this shape. Raises UsageError if it makes others."""
    fitting = target.with_shape(shape) if isinstance(target, GivenImages) else target
    if fitting is None or fitting.shape != shape:
        _refuse(target, shape)
    return fitting


def _refuse(target: Generator, shape: Shape) -> NoReturn:
    ours, reads = ("x".join(map(str, each)) for each in (target.shape, shape))
    raise UsageError(
        f"{target.name}: images of {ours}, and the extractor reads {reads}; resized ones would be scored for the "
        "resizing, too: name another --extractor, or make one by --fit-extractor"
    )


def extractor(dataset: str, target: Generator | None, fit: bool, data_dir: Path | None, say: Say) -> Path:
    """The extractor's file for a dataset and a target: one that is there, or if `fit` a new one.

    Raises UsageError if there is none and none is to be made, MissingExtra if making one needs more than is installed.
    """
    from jaxgen.evaluation import extractors

    shape = target.shape if target else None
    shapes = target.shapes() if isinstance(target, GivenImages) else [shape]
    for each in shapes:
        if path := extractors.existing(dataset, each):
            return path
    return _fitted(dataset, shape, data_dir, say) if fit else extractors.located(dataset, shape)


def _fitted(dataset: str, shape: Shape | None, data_dir: Path | None, say: Say) -> Path:
    """Train an extractor, export a classifier's file or a VAE's encoder, and put it into the cache."""
    import shutil
    import tempfile

    with extra("export"):  # all of it, before minutes of training and not after
        from jaxgen.training.environment import keep_compiled
        from jaxgen.training.extractor import fit, recipe
        from jaxgen_export.export import OutputPaths, export_model
    from jaxgen.evaluation import extractors

    keep_compiled()
    config = recipe(extractors.canonical(dataset), shape=shape, data_dir=data_dir)
    what = "a VAE, as the dataset has no classes" if config.is_generator else "a classifier"
    say(f"no extractor of {dataset} yet: training {what}")
    with current().paused():  # training has its own bar
        trained, run = fit(config, extractors.folder(), data_dir=data_dir)
    with tempfile.TemporaryDirectory() as folder:
        model, encoder = Path(folder) / "model.onnx", Path(folder) / "model.encoder.onnx"
        beside = OutputPaths(encoder=encoder if config.is_generator else None)
        export_model(
            config, trained.params, model, classes=trained.classes, training=trained.facts, beside=beside, say=say
        )
        path = extractors.keep((encoder if config.is_generator else model).read_bytes(), dataset)
    shutil.rmtree(run)
    say(f"{path}: the extractor of {dataset} from now on")
    return path
