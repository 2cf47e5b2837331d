"""The command jaxgen export: write a run's model as ONNX and in other formats, or an exported file as a site."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import click

from jaxgen.cli.help import command
from jaxgen.cli.types import ONNX, PATH, FloatRange, IntRange


@command(doing="exporting")
@click.argument("run", metavar="RUN|MODEL.onnx", type=PATH)
@click.option("-o", "--output", type=ONNX, help="The model's file.  [default: model.onnx; none with --web alone]")
@click.option("--encoder", type=ONNX, help="The file of a VAE's encoder.  [default: beside the model, .encoder.onnx]")
@click.option("--network", type=ONNX, help="Also write the network alone, one evaluation, as an ONNX file.")
@click.option("--network-batch", type=IntRange(1, 4096), help="Give --network a fixed batch size.  [default: any]")
@click.option("--torchscript", type=PATH, help="Also write a TorchScript file.")
@click.option("--safetensors", type=PATH, help="Also write the weights by PyTorch's names.")
@click.option("--torch", type=PATH, help="Also write them as a PyTorch state dict.")
@click.option("--web", type=PATH, metavar="DIR", help="Also write a static site that samples in the browser.")
@click.option(
    "--inputs",
    type=click.Choice(["optional", "required"]),
    default="optional",
    help="Whether inputs have defaults; required: none has, for clients that cannot override them (docs/file.md).",
)
@click.option(
    "--quantize",
    type=click.Choice(["fp16", "int8"]),
    help="Make a smaller file: float16 weights, or 8-bit integers in its convolutions.  [default: float32]",
)
@click.option(
    "--min-psnr", type=FloatRange(0), metavar="DB",
    help="Refuse --quantize below this PSNR to the float32 file's images.  [default: 40 for fp16, 30 for int8]",
)  # fmt: skip
@click.option(
    "--checkpoint",
    metavar="last|best|STEP",
    help="Take these weights; best: lowest FID or test loss.  [default: last]",
)
def export(
    run: Path,
    output: Path | None,
    encoder: Path | None,
    network: Path | None,
    network_batch: int | None,
    torchscript: Path | None,
    safetensors: Path | None,
    torch: Path | None,
    web: Path | None,
    inputs: str,
    quantize: str | None,
    min_psnr: float | None,
    checkpoint: str | None,
) -> None:
    """Turn a run into one ONNX file: seed in, images out (or images in, for a classifier).

    The certificate in the file records the differences between JAX, PyTorch, TorchScript and onnxruntime on this
    model; if they do not sample the same images, no file is written. A VAE's encoder is a second file beside it.
    The paths of the ONNX file and of a site go to stdout, those of other files to stderr.
    --network writes a file for other tools to quantise, convert and run: the denoiser, decoder or generator in float
    operators, without the loop and the noise; 'jaxgen compose' puts it back.
    --quantize fp16 halves the file, which computes in float32 as before, from rounded weights: a seed gives the same
    images everywhere. With int8 it is a little smaller and faster, but an image may change slightly with the machine
    and the size of its batch, and 'jaxgen verify' asks for a PSNR of 35 dB. The distance from the images of the float32
    file is printed and recorded. A VAE's encoder gets fp16 weights, too, but no int8.
    --web needs npm once, for onnxruntime's WebAssembly build. Instead of a run, an exported .onnx, or a folder of them,
    can be turned into a site by --web, or an .onnx into a file without defaults by --inputs required.

    \b
    jaxgen export runs/ddpm-digits -o model.onnx
    jaxgen export runs/ddpm-digits -o model.onnx --torchscript model.ts --safetensors weights.safetensors
    jaxgen export runs/ddpm-digits --network net.onnx
    jaxgen export runs/ddpm-digits --web site
    jaxgen export models/ --web site
    jaxgen export runs/ddpm-digits --quantize fp16 -o small.onnx
    jaxgen export model.onnx --inputs required -o required.onnx
    """
    from jaxgen.errors import UsageError, extra

    def say(line: str) -> None:
        click.echo(line, err=True)

    beside = {
        "--encoder": encoder, "--network": network, "--torchscript": torchscript, "--safetensors": safetensors,
        "--torch": torch,
    }  # fmt: skip
    if network_batch and not network:
        raise UsageError("--network-batch is the batch of --network, which is not given")
    _check_quantized(quantize, min_psnr, run, beside)
    if web:
        _check_site(web, beside | {"-o": output}, say)  # before minutes of work, not after
    if run.suffix == ".onnx" and run.is_file():
        _from_file(run, web, output, inputs, checkpoint, beside, say)
        return
    if web and not output and (files := _models_in(run)):
        _write_site(files, web, say)
        return
    if output is None and web is None:
        output = Path("model.onnx")
    _check_places({"-o": output} | beside)
    # Let PyTorch's idle threads sleep: on a busy machine the certificate then takes seconds instead of minutes.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with extra("export"):
        from jaxgen.training.environment import keep_compiled
        from jaxgen.training.restore import load_trained
        from jaxgen_export.export import OutputPaths, export_model
        from jaxgen_export.quantization import Quantize
        from jaxgen_export.torch_models import encoder_core

    keep_compiled()
    trained = load_trained(run, "last" if checkpoint is None else checkpoint, say)
    config = trained.config
    if web and not config.is_generator:
        raise UsageError(f"--web: {run} is a {config.family}, which generates no images")
    if quantize and not config.is_generator:
        raise UsageError(f"--quantize: {run} is a {config.family}; only models that generate images are quantised")
    if network and not config.is_generator:
        raise UsageError(f"--network: {run} is a {config.family}, whose file is one evaluation already")
    if encoder_core(config):
        encoder = encoder or (output.with_suffix(".encoder.onnx") if output else None)
        _check_places({"-o": output} | beside | {"--encoder": encoder})
    elif encoder:
        raise UsageError(f"--encoder: {run} is a {config.family} and has no encoder")
    places = OutputPaths(
        encoder=encoder, torchscript=torchscript, safetensors=safetensors, torch=torch, network=network,
        network_batch=network_batch,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as temporary:
        path = output or Path(temporary) / "model.onnx"
        if encoder_core(config) and not output:  # a site's page draws by hand with it
            places = replace(places, encoder=places.encoder or path.with_suffix(".encoder.onnx"))
        export_model(
            config, trained.params, path, classes=trained.classes, training=trained.facts, beside=places,
            required_inputs=inputs == "required", palette=trained.palette,
            quantize=Quantize(scheme=quantize, min_psnr=min_psnr) if quantize else None,
            say=lambda line: None if temporary in line else say(line),
        )  # fmt: skip
        if output:
            click.echo(output)
        if web:
            _write_site({run.resolve().name: path}, web, say)


def _check_quantized(
    quantize: str | None, min_psnr: float | None, run: Path, beside: Mapping[str, Path | None]
) -> None:  # fmt: skip
    """Raise UsageError for options that do not go with --quantize."""
    from jaxgen.errors import UsageError

    if quantize is None:
        if min_psnr is not None:
            raise UsageError("--min-psnr is a bound of --quantize, which is not given")
        return
    if run.suffix == ".onnx" and run.is_file():
        raise UsageError(f"--quantize: {run} is a model file; give the run: jaxgen export RUN --quantize {quantize}")
    in_float32 = ("--network",) if quantize == "fp16" else ("--network", "--torchscript", "--safetensors", "--torch")
    for option in in_float32:
        if beside[option]:
            raise UsageError(f"{option} is written in float32; export it without --quantize {quantize}")


def _check_site(web: Path, places: Mapping[str, Path | None], say: Callable[[str], None]) -> None:
    """Raise the errors that would stop a site from being written, and fetch its npm packages."""
    from jaxgen.errors import UsageError
    from jaxgen_serve.web import npm_packages, static_site

    for option, path in places.items():
        if path and path.resolve().is_relative_to(web.resolve()):
            raise UsageError(f"{option}: {path} would be inside --web, whose folder is the site's alone")
    static_site.check_folder(web)
    for package in npm_packages.SITE:
        package.fetch(say)


def _from_file(
    model: Path,
    web: Path | None,
    output: Path | None,
    inputs: str,
    checkpoint: str | None,
    beside: Mapping[str, Path | None],
    say: Callable[[str], None],
) -> None:
    """Write a site or a file without defaults from an exported file, without JAX."""
    from jaxgen.errors import UsageError
    from jaxgen.files import write_atomically
    from jaxgen.inference import model_file as artifacts
    from jaxgen.inference.required_inputs import with_required_inputs

    for option, path in beside.items():
        if path:
            raise UsageError(
                f"{option}: {model} is a model file, and {path} is exported from a run folder: "
                f"jaxgen export RUN {option} {path}"
            )
    if checkpoint is not None:
        raise UsageError(f"--checkpoint: {model} is a model file, with the weights of one checkpoint")
    if (output is not None) != (inputs == "required") or not (web or output):
        raise UsageError(f"{model} is exported already: give --web DIR, or --inputs required with -o FILE")
    if output:
        if output.resolve() == model.resolve():
            raise UsageError(f"-o: {output} is the file that it is made from")
        _check_places({"-o": output})
        write_atomically(output, with_required_inputs(artifacts.read(model)).data)
        click.echo(output)
    if web:
        _write_site({model.stem: model}, web, say)


def _models_in(folder: Path) -> dict[str, Path]:
    """The exported models of a folder that is no run, by name."""
    if not folder.is_dir() or (folder / "config.toml").exists():
        return {}
    return {path.stem: path for path in sorted(folder.glob("*.onnx")) if not path.name.endswith(".encoder.onnx")}


def _write_site(models: Mapping[str, Path], web: Path, say: Callable[[str], None]) -> None:
    from jaxgen_serve.web.static_site import write_site

    write_site(models, web, say=say)
    say(f"serve {web} with any web server: python -m http.server -d {web}")
    click.echo(web)


def _check_places(places: Mapping[str, Path | None]) -> None:
    """Raise UsageError if two paths are the same file, JaxgenError if one cannot be written."""
    from jaxgen.errors import UsageError
    from jaxgen.files import check_writable

    options: dict[Path, str] = {}
    for option, path in places.items():
        if path is None:
            continue
        if other := options.get(path.resolve()):
            raise UsageError(f"{other} and {option} name the same file, {path}")
        options[path.resolve()] = option
        check_writable(path)
