"""The commands jaxgen latent anomaly, cluster, classify and map: analysis of images by their latents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jaxgen.cli.help import command
from jaxgen.cli.latent_options import (
    NAMED,
    OF_IMAGES,
    aligned,
    count_option,
    dataset_option,
    encoder_option,
    images_options,
    model_options,
    open_space,
    output_option,
    plan_options,
    provenance,
    read_images,
    refine_option,
    refuse,
    report,
    write,
)
from jaxgen.cli.options import data_dir_option, model_argument
from jaxgen.cli.types import SEED, FloatRange, IntRange
from jaxgen.errors import UsageError

if TYPE_CHECKING:
    from jaxgen.latent.spaces import Space


@command()
@model_argument
@images_options(None)
@click.option("--outlier", metavar="CLASS", help="The class that the model was trained without: also print the AUROC.")
@click.option("--show", type=IntRange(1, 256), default=16, help="How many of the strangest images to list and show.")
@model_options
@output_option("anomaly.png", "Images, reconstructions, and in red where they differ: FILE.png.")
def anomaly(model: Path, outlier: str | None, show: int, output: Path, **options: Any) -> None:
    """Score how strange images are to a VAE.

    In nats: how unlike its training images each is, and in an image where.

    To hold a class out: jaxgen train --model vae --dataset mnist --set data.without=[8].

    \b
    jaxgen latent anomaly model.onnx strange.png usual.png
    jaxgen latent anomaly model.onnx --dataset mnist --outlier 8
    """
    import numpy as np

    from jaxgen.evaluation import metrics
    from jaxgen.inference import writers
    from jaxgen.latent import anomaly

    writers.checked(output, ".png")
    space = open_space(model, options)
    codes = space.codes()
    codes.require_way_back()
    images = read_images(space, options)
    odd = None if outlier is None else images.number(outlier)
    scored = anomaly.score(codes, images.images, space.labels(len(images), options["label"], images))
    order = np.argsort(-scored.total, kind="stable")
    results: dict[str, Any] = {
        "scores": [
            {"image": images.names[i], "class": images.called(int(images.labels[i])),
             "score": float(scored.total[i]), "reconstruction": float(scored.reconstruction[i]),
             "kl": float(scored.kl[i])} for i in range(len(images))
        ]
    }  # fmt: skip
    if odd is not None:
        results["auroc"] = metrics.auroc(scored.total, images.labels == odd)
        held_out = space.model.artifact.fact("data.without", list)
        if held_out is not None and odd not in held_out:
            click.echo(f"note: the model was not trained without class {outlier}; see --help", err=True)
    top = order[:show]
    rows = anomaly.three_rows(images.images[top], scored.decoded[top], columns=min(16, len(top)))
    if not options["as_json"]:
        shown = [results["scores"][i] for i in top]
        rounded = [[f"{cell:.1f}" if isinstance(cell, float) else cell for cell in line.values()] for line in shown]
        click.echo(aligned(list(shown[0]), rounded))
        if odd is not None:
            click.echo(f"AUROC of class {images.called(odd)} against the rest: {results['auroc']:.4f}")
    results["shown"] = [images.names[i] for i in top]
    write(space, output, rows, options, {"shown": results["shown"][:NAMED]}, images=images, results=results)


@command()
@model_argument
@images_options(2000)
@click.option(
    "--clusters",
    type=IntRange(2, 1000),
    help="How many clusters to find.  [default: as many as classes, or 10]",
)
@click.option("--seed", type=SEED, default=0, help="The seed that k-means starts from.")
@plan_options()
@refine_option
@model_options
@output_option("clusters.png", "A cluster a row, the most typical first: FILE.png.")
def cluster(model: Path, clusters: int | None, seed: int, output: Path, **options: Any) -> None:
    """Group images by their latents.

    By k-means; needs jaxgen[train]. Purity: the share of images that are of their cluster's commonest class.

    \b
    jaxgen latent cluster model.onnx --dataset mnist
    """
    from jaxgen.inference import writers
    from jaxgen.latent import probes

    writers.checked(output, ".png")
    space = open_space(model, options)
    images = read_images(space, options)
    latents = space.encode(images.images, space.labels_to_encode(images, options["label"]))
    count = clusters or len(images.classes) or 10
    clustering = probes.k_means(latents.reshape(len(latents), -1), count, seed)
    rows = probes.majorities(clustering.of, images.labels, count)
    labelled = bool((images.labels >= 0).all())
    results: dict[str, Any] = {"sizes": [size for size, _, _ in rows]}
    table: list[list[object]] = [[str(i), size] for i, (size, _, _) in enumerate(rows)]
    if labelled:
        results["purity"] = sum(right for _, _, right in rows) / len(images)
        results["classes"] = [images.called(label) for _, label, _ in rows]
        for line, (size, label, right) in zip(table, rows, strict=True):
            line += [images.called(label), f"{right / size:.3f}" if size else "-"]
    if not options["as_json"]:
        click.echo(aligned(["cluster", "size", "class", "purity"][: 4 if labelled else 2], table))
        if labelled:
            click.echo(f"purity {results['purity']:.4f}")
    titles = [f"cluster {i}: {size} images" for i, (size, _, _) in enumerate(rows)]
    if labelled:
        titles = [f"{title}, {right} of class {images.called(label)}" if right else title
                  for title, (_, label, right) in zip(titles, rows, strict=True)]  # fmt: skip
    sheet = probes.typical(images.images, clustering, count)
    made = {"seed": seed, "clusters": count}
    write(space, output, sheet, options, made, images=images, titles=titles, results=results)
    note_if_conditional(space)


@command()
@model_argument
@dataset_option
@count_option(5000, "Read this many images of each split at most.")
@data_dir_option
@encoder_option
@click.option(
    "--shrinkage", type=FloatRange(0, 1), default=0.01, help="How far to shrink the covariance to its mean variance."
)
@plan_options()
@refine_option
@model_options
def classify(model: Path, shrinkage: float, **options: Any) -> None:
    """Tell classes apart by their latents.

    By linear discriminant analysis, fitted to the training split and measured on the test split.

    \b
    jaxgen latent classify model.onnx --dataset mnist
    """
    from jaxgen.latent import probes

    if not options["dataset"]:
        raise UsageError("a probe learns from labels: give --dataset")
    space = open_space(model, options)
    space.require_way_back()
    latents, labels, names = {}, {}, []
    for split in ("train", "test"):
        images = read_images(space, options | {"split": split, "first": 0, "images": (), "invert": False})
        encoded = space.encode(images.images, space.labels_to_encode(images, options["label"]))
        latents[split], labels[split], names = encoded.reshape(len(encoded), -1), images.labels, list(images.classes)
    probe = probes.LinearProbe.fit(latents["train"], labels["train"], shrinkage)
    right = probe.predict(latents["test"]) == labels["test"]
    each = {name: right[labels["test"] == i] for i, name in enumerate(names)}
    results: dict[str, Any] = {
        "accuracy": float(right.mean()),
        "trained_on": len(labels["train"]),
        "tested_on": len(right),
    }
    results["classes"] = {name: float(part.mean()) for name, part in each.items() if len(part)}
    note_if_conditional(space)
    if options["as_json"]:
        click.echo(json.dumps({"model": space.model.artifact.sha256, **results}))
        return
    table = [[name, len(part), f"{part.mean():.3f}"] for name, part in each.items() if len(part)]
    click.echo(aligned(["class", "images", "accuracy"], table))
    click.echo(f"accuracy {results['accuracy']:.4f}, fitted to {results['trained_on']} latents")


@command("map")
@model_argument
@images_options(2000)
@click.option(
    "--method",
    type=click.Choice(["plain", "pca", "tsne", "manifold"]),
    help="How to get to two dimensions; plain and manifold are for 2-D latents.  [default: plain or pca]",
)
@click.option("--side", type=IntRange(2, 64), default=20, help="How many images a side the manifold has.")
@click.option("--seed", type=SEED, default=0, help="The seed that t-SNE starts from.")
@plan_options()
@refine_option
@model_options
@output_option("map.png", "FILE.png; for plain, pca and tsne also FILE.npy: the points [N, 2].")
def map_(model: Path, method: str | None, side: int, seed: int, output: Path, **options: Any) -> None:
    """Draw latents in the plane.

    They are coloured by class; --method manifold shows what a plane of 2-D latents decodes to.
    Scatter plots need jaxgen[train]; --method manifold and .npy files of plain and pca do not.

    \b
    jaxgen latent map model.onnx --dataset mnist --method tsne -o map.png
    jaxgen latent map model.onnx --method manifold -o manifold.png
    """
    from jaxgen.inference import writers
    from jaxgen.latent import projection

    writers.checked(output, ".png", ".npy")
    space = open_space(model, options)
    method = method or projection.default(space)
    if method != "tsne":
        refuse("needs --method tsne", "seed")
    if method == "manifold":
        refuse("a manifold is decoded from the model alone, and reads no images", *OF_IMAGES)
        writers.require_room(output, side, side)
        rows = projection.manifold(space.codes(), side, space.labels(1, options["label"]))
        write(space, output, rows, options, {"method": method, "side": side})
        return
    refuse("needs --method manifold", "side")
    place = projection.METHODS[method]
    images = read_images(space, options)
    latents = space.encode(images.images, space.labels_to_encode(images, options["label"]))
    points, title = place(latents.reshape(len(latents), -1), seed)
    if output.suffix.lower() == ".npy":
        writers.write_array(output, points)
    else:
        projection.write_scatter(output, points, images, title, provenance(space, images, {"method": method}))
    report(
        options, output, {"model": space.model.artifact.sha256, "method": method, "points": len(points), "title": title}
    )
    note_if_conditional(space)


def note_if_conditional(space: Space) -> None:
    """Note on stderr why the clusters, maps and probes of a conditional VAE or GAN may look broken."""
    if space.model.classes and space.model.inference.process is None:
        given = "encoder and decoder are" if space.codes().takes_label else "this decoder is"
        click.echo(f"note: {given} given the class, so the latents need not hold it", err=True)
