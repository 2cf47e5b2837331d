"""Write a trained model as checked and certified files."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxgen import config as configs
from jaxgen.config import Config
from jaxgen.errors import JaxgenError, UsageError
from jaxgen.files import write_atomically
from jaxgen.inference import model_file
from jaxgen.inference.manifest import Inference, Likelihood
from jaxgen.inference.network import Network, output_name
from jaxgen.inference.predictor import Predictor
from jaxgen.inference.runtimes.onnxruntime import OPTIMIZATION
from jaxgen.inference.sampler import Model
from jaxgen.inference.verify import worst
from jaxgen.sampling import sampler_spec
from jaxgen_export import bundle, certificate, runtimes, torch_models, torchscript, weight_files, weight_mapping
from jaxgen_export.bundle import Bundle
from jaxgen_export.comparison import PROBE
from jaxgen_export.graphs import compose
from jaxgen_export.network_file import network_model
from jaxgen_export.stamping import stamped
from jaxgen_export.weight_mapping import Weights


@dataclass(frozen=True, kw_only=True)
class OutputPaths:
    """The paths of the files beside the model's own; None: not written."""

    encoder: Path | None = None  # ONNX, of models that have an encoder
    torchscript: Path | None = None
    safetensors: Path | None = None  # the weights alone, by PyTorch's names
    torch: Path | None = None  # the same as a pickled state dict
    network: Path | None = None  # ONNX: one evaluation of the network alone
    network_batch: int | None = None  # the one size of a batch that it takes; None: any


def export_model(
    config: Config,
    params: Weights,
    path: Path,
    *,
    classes: Sequence[str] = (),
    training: Mapping[str, Any] | None = None,
    beside: OutputPaths | None = None,
    required_inputs: bool = False,
    certify: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Write the ONNX file, and those beside it; returns the manifest.

    params: the weights to sample with, as jaxgen.models names them; classes: their names; training: how they
    were trained, for the manifest; required_inputs: give no input of the graph a default, see
    `jaxgen.inference.required_inputs`; certify: compare the runtimes, and put the certificate in.
    Raises UsageError if the model has no encoder or no network to write; JaxgenError, and nothing is written, if the
    weights or class names do not fit the config or the backends disagree.
    """
    if len(classes) != config.classes:
        raise JaxgenError(f"expected the names of {config.classes} classes (model.classes), got {len(classes)}")
    beside = beside or OutputPaths()
    if beside.encoder and not torch_models.encoder_core(config):
        raise UsageError(f"a model of family {config.family!r} has no encoder to write")
    if beside.network and not config.is_generator:
        raise UsageError(f"a model of family {config.family!r} has no network apart from its file")
    torch_model = torch_models.build(config)
    weight_mapping.load_into(torch_model, params)
    facts = _facts(config, params) | {"training": dict(training or {})}
    contents: dict[Path, bytes] = {}
    for core, place in zip(torch_model.cores, (path, beside.encoder), strict=False):
        if place:
            say(f"tracing the {'network' if place is path else core.kind}")
            made = bundle.build(torch_model, core, config)
            made = replace(made, model=compose.without_defaults(made.model)) if required_inputs else made
            entries = _kind(made, classes) | facts
            contents[place] = _file(made, params, entries, place, certify, say)
            if place is path:
                whole = model_file.parse(contents[path], path)
                manifest = whole.manifest
                if beside.network:
                    contents[beside.network] = _network(made, params, whole, beside, certify, say)
                if beside.torchscript:
                    contents[beside.torchscript] = torchscript.dump(made.scripted, manifest)
    state = weight_mapping.torch_state(torch_model, params)
    if beside.safetensors:
        contents[beside.safetensors] = weight_files.safetensors_bytes(state, manifest)
    if beside.torch:
        contents[beside.torch] = weight_files.torch_bytes(state)
    _write(contents)
    for place in contents:
        if place != path:
            say(f"wrote {place}")
    return manifest


def _file(
    made: Bundle, params: Weights, manifest: Mapping[str, Any], path: Path, certify: bool, say: Callable[[str], None]
) -> bytes:
    """The bytes of the ONNX file, with its certificate."""
    draft = stamped(made.model, manifest)
    if not certify:
        return draft
    say(f"comparing the {made.core.kind} in JAX, PyTorch, TorchScript and onnxruntime")
    with jax.default_device(jax.devices("cpu")[0]):  # accelerators shorten float32 products
        measured = _measured(made, params, model_file.parse(draft, path))
    measured |= {"onnxruntime": {"optimization": OPTIMIZATION}}
    _report(measured, say)
    return stamped(made.model, {**manifest, "certificate": measured})


def _network(
    made: Bundle,
    params: Weights,
    whole: model_file.Artifact,
    beside: OutputPaths,
    certify: bool,
    say: Callable[[str], None],
) -> bytes:
    """The bytes of a file with the network alone, with its own manifest."""
    inference = replace(whole.inference, kind="network", batch=beside.network_batch)
    manifest = {key: value for key, value in whole.manifest.items() if key != "certificate"}
    manifest |= {"inference": inference.to_dict()}
    model = network_model(made, output_name(inference), beside.network_batch)
    draft = stamped(model, manifest)
    if not certify:
        return draft
    say("comparing the network alone in JAX, PyTorch and onnxruntime")
    network = Network(model_file.parse(draft, str(beside.network)))
    others: dict[str, runtimes.Evaluate] = {
        "pytorch": runtimes.Torch(made.eager, made.config).evaluate,
        "onnxruntime": lambda *inputs: [network(*inputs[: len(network.inputs)])],
    }
    with jax.default_device(jax.devices("cpu")[0]):
        by_jax = runtimes.Jax(params, made.config, PROBE).evaluate
        measured = certificate.measure_network(by_jax, others, made.config, network.inputs, network.output)
    _report(measured, say)
    return stamped(model, manifest | {"certificate": measured | {"onnxruntime": {"optimization": OPTIMIZATION}}})


def _report(measured: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """Say a certificate in one line per runtime; models that read images have no pixels to compare."""
    pixels = "    pixels identical   off by at most" if measured["trajectories"] else ""
    say(f"{'against JAX':14}one evaluation{pixels}")
    for backend, row in worst(measured).items():
        same = f"{row['identical']:15.3%}{row['off_by']:17}" if pixels else ""
        say(f"{backend:14}{row['relative']:.1e} relative{same}")


def _measured(made: Bundle, params: Weights, draft: model_file.Artifact) -> dict[str, Any]:
    config, core = made.config, made.core
    modules = {"pytorch": made.eager, "torchscript": made.scripted}
    if core.reads:
        readers = {name: runtimes.torch_predictor(module) for name, module in modules.items()}
        readers["onnxruntime"] = runtimes.onnxruntime_predictor(Predictor(draft))
        return certificate.measure_reader(
            runtimes.jax_predictor(params, config, core, PROBE), readers, config, core.outputs
        )
    others: dict[str, runtimes.Backend] = {name: runtimes.Torch(module, config) for name, module in modules.items()}
    others["onnxruntime"] = runtimes.OnnxRuntime(Model(draft), made.graph.SerializeToString())
    return certificate.measure(runtimes.Jax(params, config, PROBE), others, config)


def _facts(config: Config, params: Weights) -> dict[str, Any]:
    """The manifest's entries that follow from the config and the weights."""
    return {
        "config": configs.to_dict(config),
        "weights": {
            "sha256": weight_mapping.weights_hash(params),
            "parameters": int(sum(np.size(value) for value in params.values())),
        },
    }


def inference_of(config: Config, kind: str, classes: Sequence[str]) -> Inference:
    """The inference section of a file of this kind, for the model that a config describes."""
    likelihood = config.likelihood and Likelihood(kind=config.likelihood[0], sigma=config.likelihood[1])
    common: dict[str, Any] = {
        "kind": kind, "image_shape": config.data.shape, "classes": tuple(classes), "likelihood": likelihood
    }  # fmt: skip
    if kind != "sampler":
        return Inference(**common)
    return Inference(
        **common,
        null_class=config.null_class or not classes,
        noise_shape=config.noise_shape,
        process=config.process,
        plan=config.plan,
        guidance=config.guidance if config.process and classes else None,
    )


def _kind(made: Bundle, classes: Sequence[str]) -> dict[str, Any]:
    inference = {"inference": inference_of(made.config, made.core.kind, classes).to_dict()}
    return inference | ({} if made.core.reads else {"plans": named_plans(made.config)})


def named_plans(config: Config) -> dict[str, dict[str, Any]]:
    """Plans for clients that cannot compute one: {name: recipe and "table", base64 of float32 [S, 9] little-endian}.

    "default" is the model's own choice, which is a default of the graph's, too, unless its inputs are required.
    """
    process = config.process
    if process is None:
        return {}
    named = sampler_spec.named(process) | {"default": sampler_spec.choose(config)}
    return {
        name: recipe._asdict() | {"table": _base64(sampler_spec.table(process, recipe))}
        for name, recipe in named.items()
    }


def _base64(table: np.ndarray) -> str:
    return base64.b64encode(table.astype("<f4").tobytes()).decode()


def _write(contents: Mapping[Path, bytes]) -> None:
    """Write all files; if one cannot be written, delete those that are new."""
    new = []
    try:
        for path, data in contents.items():
            if not path.exists():
                new.append(path)
            write_atomically(path, data)
    except BaseException:
        for path in new:
            path.unlink(missing_ok=True)
        raise
