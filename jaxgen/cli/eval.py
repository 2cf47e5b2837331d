"""The command jaxgen eval: scores of generated images against real ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jaxgen.cli.options import (
    MODEL,
    ModelPath,
    TableOption,
    data_dir_option,
    json_option,
    runtime_options,
    spacing_option,
)
from jaxgen.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from jaxgen.evaluation.report import Report
    from jaxgen.inference.runtime import How


@click.command("eval")
@click.argument("target", metavar=f"{MODEL}|IMAGES.npy|FOLDER", type=ModelPath(path_type=Path))
@click.option("--dataset", metavar="NAME", required=True, help="The real images: digits, mnist, ..., folder:PATH.")
@click.option(
    "--extractor", type=click.Path(path_type=Path), metavar="FILE.onnx",
    help="A classifier of that dataset, whose features are compared.  [default: the one that comes with jaxgen]",
)  # fmt: skip
@click.option("-n", "--count", type=click.IntRange(2), default=10_000, help="Most images to compare.")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    help="Seed of the generated images, and of the sample of real ones.",
)
@click.option("--sampler", cls=TableOption, metavar="NAME", help="{samplers}.  [default: the model's]")
@click.option("--steps", type=click.IntRange(1), help="Network evaluations.  [default: the model's]")
@spacing_option
@click.option("--guidance", type=click.FloatRange(0, 100), help="Pull towards the label.  [default: the model's]")
@click.option("--batch-size", type=click.IntRange(1, 4096), default=256, help="Images per call.")
@data_dir_option
@runtime_options
@json_option
def eval_(
    target: Path, dataset: str, extractor: Path | None, count: int, seed: int, sampler: str | None, steps: int | None,
    spacing: str | None, guidance: float | None, batch_size: int, data_dir: Path | None, how: How, as_json: bool,
) -> None:  # fmt: skip
    """Score generated images against real ones.

    Every score stands beside its floor: what the test images of the dataset score against its training images. As many
    real images are compared as generated ones, a sample by --seed; memorisation looks at all training images. A score
    depends on the extractor and on the number of images, so it is comparable with the same of both alone.

    \b
    jaxgen eval cddpm-digits --dataset digits -n 300
    jaxgen eval model.onnx --dataset mnist --extractor classifier.onnx --steps 8 --json
    jaxgen eval images.npy --dataset digits --extractor classifier.onnx
    """
    import json

    from jaxgen import data, shipped
    from jaxgen.evaluation.features import Extractor
    from jaxgen.evaluation.report import evaluate

    reader = Extractor.open(extractor or shipped.extractor(dataset), threads=how["threads"])
    size, channels = reader.shape[0], reader.shape[2]
    real = data.load(dataset, data_dir=data_dir, size=size, channels=channels)
    splits = data.info(dataset, data_dir=data_dir).splits
    test = data.load(dataset, "test", data_dir=data_dir, size=size, channels=channels) if "test" in splits else None

    def say(line: str) -> None:
        click.echo(f"{line} ...", err=True)

    plan = {"sampler": sampler, "steps": steps, "spacing": spacing, "guidance": guidance}
    images, labels = _images(target, count, seed, plan, batch_size, how, reader.shape, say)
    report = evaluate(
        images, real.images, None if test is None else (test.images, test.labels), reader,
        labels=labels, seed=seed, say=say,
    )  # fmt: skip
    click.echo(json.dumps(report.to_dict(), allow_nan=False) if as_json else _table(report))


def _images(
    target: Path, count: int, seed: int, plan: dict[str, Any], batch_size: int, how: How,
    shape: tuple[int, int, int], say: Any,
) -> tuple[np.ndarray, np.ndarray | None]:  # fmt: skip
    """The images to score, uint8 [N, H, W, C], and the class that each was conditioned on, if any."""
    import numpy as np

    from jaxgen.evaluation.report import sampled
    from jaxgen.inference.model import Model
    from jaxgen.inference.request import Request
    from jaxgen.latent.inputs import Images

    if target.suffix.lower() != ".onnx":
        if any(value is not None for value in plan.values()):
            raise UsageError("--sampler, --steps, --spacing and --guidance are for a model, and images are named")
        images = Images.from_files([target], shape).images
        return images[sampled(len(images), count, seed)], None
    model = Model.open(target, **how)
    label = "all" if model.classes else None
    request = Request.checked(model, seed=seed, first=0, count=count, label=label, eta=None, **plan)
    say(f"{count} images of {target}")
    generated = np.concatenate(list(request.batches(model, batch_size)))
    return generated, np.arange(count) % len(model.classes) if model.classes else None


def _table(report: Report) -> str:
    lines = [f"{'':16} {'value':>10}   {'95 %':>8}   {'floor':>10}"]
    for name, score in report.scores.items():
        floor = "" if score.floor is None else f"{score.floor:10.4g}"
        lines.append(f"{name:16} {score.value:10.4g} ± {score.margin:8.2g}   {floor}")
    lines.append(f"{'fid_infinity':16} {report.fid_infinity:10.4g}")
    real = f"{report.real} training images; floor: {report.floor_n} test images" if report.floor_n else "no test images"
    lines.append(f"{report.n} images against {real}; extractor {report.extractor[:12]}")
    return "\n".join(lines)
