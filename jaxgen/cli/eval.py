"""The command jaxgen eval: scores of generated images against real ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jaxgen.cli.help import command
from jaxgen.cli.options import (
    MODEL,
    data_dir_option,
    dataset_names,
    json_option,
    runtime_options,
    sampler_option,
    spacing_option,
)
from jaxgen.cli.progress import current
from jaxgen.cli.types import PATH, SEED, FloatRange, IntRange, ModelPath, completes
from jaxgen.errors import UsageError

if TYPE_CHECKING:
    from jaxgen.evaluation.features import Extractor
    from jaxgen.evaluation.generators import Generator
    from jaxgen.evaluation.scoring import Real
    from jaxgen.inference.runtime import How

MOST_STEPS = 20  # different numbers of them


class Numbers(click.ParamType):
    """Whole numbers from 1 on, separated by commas: '8' or '1,2,4'."""

    name = "N,N,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, tuple):
            return value
        words = [word.strip() for word in str(value).split(",")]
        if not all(word.isdecimal() and 0 < int(word) <= 10**6 for word in words if len(word) < 9):
            self.fail(f"{value!r} is no list of numbers >= 1, such as 8 or 1,2,4", param, ctx)
        numbers = tuple(int(word) for word in words)
        if len(set(numbers)) < len(numbers) or len(numbers) > MOST_STEPS:
            self.fail(f"at most {MOST_STEPS} numbers that differ, got {value!r}", param, ctx)
        return numbers


@command("eval", doing="loading")
@click.argument(
    "target", metavar=f"{MODEL}|RUN|IMAGES.npy|FOLDER", required=False, type=ModelPath()
)  # fmt: skip
@click.option(
    "--dataset", metavar="NAME", required=True, shell_complete=completes(dataset_names),
    help="The real images to compare with: digits, mnist, ..., folder:PATH.",
)  # fmt: skip
@click.option(
    "--extractor", type=PATH, metavar="FILE.onnx",
    help="A classifier or a VAE's encoder, whose features are compared.  [default: the dataset's own]",
)  # fmt: skip
@click.option(
    "--fit-extractor", is_flag=True,
    help="Train one if the dataset has none, and keep it in the user's cache. Needs jaxgen[export].",
)  # fmt: skip
@click.option("-n", "--count", type=IntRange(2), default=10_000, help="Compare this many images at most.")
@click.option(
    "--seed",
    type=SEED,
    default=0,
    help="The same seed generates the same images and compares them with the same real ones.",
)
@sampler_option
@click.option("--steps", type=Numbers(), help="Network evaluations an image; several: 1,2,4.  [default: the model's]")
@spacing_option
@click.option("--guidance", type=FloatRange(0, 100), help="Pull images towards their class.  [default: the model's]")
@click.option("--batch-size", type=IntRange(1, 4096), default=256, help="How many images are sampled at a time.")
@click.option("--metrics", metavar="NAME,...", help="Which scores to compute: fid,label_accuracy, say.  [default: all]")
@click.option("--samples", type=IntRange(1, 100_000), default=64, help="How many samples estimate a VAE's NLL.")
@click.option("--sheet", type=PATH, metavar="FILE.png", help="Write a sheet of the best and worst images.")
@click.option("--plot", type=PATH, metavar="FILE.png", help="Write a plot of the FID of several --steps.")
@click.option(
    "--compare", type=PATH, metavar="REPORT.json",
    help="Compare with an earlier report by --json: refuse what is not comparable, and print its values, too.",
)  # fmt: skip
@data_dir_option
@runtime_options
@json_option
def eval_(
    target: Path | None, dataset: str, extractor: Path | None, fit_extractor: bool, data_dir: Path | None, how: How,
    **options: Any,
) -> None:  # fmt: skip
    """Score generated images against real ones.

    Every score stands beside its floor: what the test images of the dataset score against its training images. As many
    real images are compared as generated ones, a sample by --seed; memorisation looks at all training images. A score
    depends on the extractor and on the number of images, so it is comparable with the same of both alone.

    A RUN is sampled by the averaged weights of its last checkpoint. VAEs, as a run or as a file with its encoder beside
    it, also get the ELBO and the importance-weighted likelihood of test images. Without a target, --fit-extractor makes
    the extractor alone.

    \b
    jaxgen eval cvae-digits --dataset digits -n 300
    jaxgen eval runs/mine --dataset mnist --sheet sheet.png
    jaxgen eval model.onnx --dataset mnist --steps 1,2,4,8,16,50 --plot steps.png --json
    jaxgen eval images.npy --dataset folder:~/images --fit-extractor
    """
    from jaxgen.cli import eval_targets
    from jaxgen.cli.eval_output import check_places
    from jaxgen.data.catalog import absolute
    from jaxgen.evaluation.features import Extractor

    def say(line: str) -> None:
        click.echo(line, err=True)

    if target is None and not fit_extractor:
        raise UsageError(f"give what to score: {MODEL}, RUN, IMAGES.npy or FOLDER")
    if fit_extractor and extractor:
        raise UsageError("--fit-extractor makes an extractor, and --extractor names one: give one of them")
    check_places(options["sheet"], options["plot"])
    _check(options)
    dataset = absolute(dataset)  # by which its extractor is known
    subject = eval_targets.opened(target, how, say) if target else None
    file = extractor or eval_targets.extractor(dataset, subject, fit_extractor, data_dir, say)
    if subject is None:
        click.echo(file)
        return
    reader = Extractor.open(file, threads=how["threads"])
    _score(eval_targets.as_read(subject, reader.shape), reader, dataset, data_dir, options)


def _check(options: dict[str, Any]) -> None:
    """Raise UsageError for options that do not go together, and MissingExtra for a plot without matplotlib."""
    from jaxgen.evaluation.scoring import chosen
    from jaxgen.plots import figure

    several = len(options["steps"] or ()) > 1
    metrics = chosen(options["metrics"])
    if options["plot"]:
        if not several:
            raise UsageError("--plot draws FID against network evaluations: give several --steps, such as 1,2,4,8")
        if "fid" not in metrics:
            raise UsageError("--plot draws FID, which --metrics leaves out")
        figure(1, 1)  # before anything is sampled, not after
    for option in ("sheet", "compare"):
        if several and options[option]:
            raise UsageError(f"--{option} is of one set of images: give one number of --steps")


def _score(subject: Generator, reader: Extractor, dataset: str, data_dir: Path | None, options: dict[str, Any]) -> None:
    """Sample, compare, print and draw."""
    from jaxgen.cli import eval_output
    from jaxgen.data.identity import Identity
    from jaxgen.evaluation import earlier as reports_before, scoring
    from jaxgen.evaluation.generators import Settings
    from jaxgen.evaluation.metrics import require_covariance
    from jaxgen.evaluation.report import Reference
    from jaxgen.evaluation.sheet import order

    names, seed = options["metrics"], options["seed"]
    metrics, count = scoring.chosen(names), subject.count(options["count"])
    how = [options[name] for name in ("guidance", "spacing")]
    plans = [Settings(options["sampler"], steps, *how) for steps in options["steps"] or (None,)]
    steps = [subject.evaluations(plan) for plan in plans]  # raises for what the model cannot do
    before = reports_before.read(options["compare"]) if options["compare"] else None
    if before:
        reports_before.require_comparable(options["compare"], before, extractor=reader.sha256, n=count)
    train, test = _real(dataset, data_dir, reader.shape)
    identity = Identity.of(lambda rows: (train.images[rows], train.labels[rows]), len(train.images), train.classes)
    if before:  # by the images, wherever they lie, or by the name in a report that does not tell them
        known = {"data": identity.digest} if "data" in before else {"dataset": dataset}
        reports_before.require_comparable(options["compare"], before, **known)
    scoring.require_possible(names, subject, reader, test)
    if "fid" in metrics:
        require_covariance(min(count, len(train.images)), reader.width)
    context = {"target": subject.name, "dataset": dataset, "data": identity.digest, "seed": seed}
    tell = current()
    reference = Reference.of(
        train.images, test and (test.images, test.labels), reader, count=count, seed=seed, tell=tell
    )  # fmt: skip
    reports = []
    for plan in plans:
        images = scoring.generated(
            subject, count, seed=seed, settings=plan, batch_size=options["batch_size"], tell=tell
        )  # fmt: skip
        reports.append(scoring.scored(subject, images, reference, reader, metrics, tell))
    if len(plans) == 1 and scoring.has_likelihood(names):
        reports = [
            scoring.with_likelihood(
                reports[0], subject, test, samples=options["samples"], seed=seed, tell=tell
            )
        ]  # fmt: skip
    if options["sheet"]:
        ranks = order(reader(images).features, reference.real)
        eval_output.draw_sheet(options["sheet"], images, ranks, context | {"extractor": reader.sha256})
    if options["plot"]:
        eval_output.draw_plot(options["plot"], steps, reports, f"{subject.name} on {dataset}, {count:,} images")
    if options["as_json"]:
        click.echo(eval_output.as_json(context, steps, reports, before))
    else:
        click.echo(eval_output.steps_table(steps, reports) if len(steps) > 1 else eval_output.table(reports[0], before))


def _real(dataset: str, data_dir: Path | None, shape: tuple[int, int, int]) -> tuple[Real, Real | None]:
    """The training and the test images of a dataset; None where it has none for testing."""
    from jaxgen import data
    from jaxgen.evaluation.scoring import Real

    def split(name: str) -> Real:
        loaded = data.load(dataset, name, data_dir=data_dir, size=shape[0], channels=shape[2])
        return Real(loaded.images, loaded.labels, tuple(loaded.classes))

    train = split("train")
    return train, split("test") if data.info(dataset, data_dir=data_dir).splits.get("test") else None
