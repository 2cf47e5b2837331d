"""Write a trained model as checked and certified files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
from onnx import ModelProto
from torch import Tensor

from jaxgen.config import Config
from jaxgen.errors import JaxgenError, UsageError
from jaxgen.files import write_atomically
from jaxgen.inference import model_file
from jaxgen.inference.model import Model
from jaxgen.inference.network import Network, output_name
from jaxgen.inference.predictor import Predictor
from jaxgen.inference.runtimes.onnxruntime import OPTIMIZATION
from jaxgen.inference.verify import worst
from jaxgen_export import (
    bundle,
    certificate,
    manifest,
    quantization,
    runtimes,
    torch_models,
    torchscript,
    weight_files,
    weight_mapping,
)
from jaxgen_export.bundle import Bundle
from jaxgen_export.comparison import PROBE
from jaxgen_export.graphs import compose
from jaxgen_export.network_file import network_model
from jaxgen_export.quantization import Quantize
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
    palette: Sequence[str] = (),
    quantize: Quantize | None = None,
    certify: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Write the ONNX file, and those beside it; returns the manifest.

    params: the weights to sample with, as jaxgen.models names them; classes: their names; training: how they
    were trained, for the manifest; required_inputs: give no input of the graph a default, see
    `jaxgen.inference.required_inputs`; palette: the colours of the training data, if they are few; quantize: see
    `jaxgen_export.quantization`; certify: compare the runtimes, and put the certificate in.
    Raises UsageError if the model has no encoder or no network to write; JaxgenError, and nothing is written, if the
    weights or class names do not fit the config, the backends disagree or a quantised file is too far from the float32
    one.
    """
    beside = beside or OutputPaths()
    _require_possible(config, classes, beside)
    torch_model = torch_models.build(config)
    weight_mapping.load_into(torch_model, params)
    say("tracing the network")
    made = bundle.build(torch_model, torch_model.cores[0], config)
    entries, original = manifest.of_kind(made, classes), made.model
    if quantize:
        made, params, entries = quantization.quantized(made, params, entries, quantize, say)
        weight_mapping.load_into(torch_model, params)  # they may have been rounded
    facts = manifest.facts(config, params, training or {}, palette)
    made = _with_inputs(made, required_inputs)
    data = _file(made, params, entries | facts, path, certify, say, original)
    whole = model_file.parse(data, path)
    contents = {path: data, **_of_the_sampler(made, params, whole, beside, certify, say)}
    if beside.encoder and (encoder := torch_models.encoder_core(config)):
        say("tracing the encoder")
        reader = bundle.build(torch_model, encoder, config)
        entries = manifest.of_kind(reader, classes)
        if quantize:
            reader, entries = quantization.of_encoder(reader, params, entries, quantize)
        reader = _with_inputs(reader, required_inputs)
        contents[beside.encoder] = _file(reader, params, entries | facts, beside.encoder, certify, say)
    contents |= _weights(weight_mapping.torch_state(torch_model, params), whole.manifest, beside)
    _write(contents)
    for place in contents:
        if place != path:
            say(f"wrote {place}")
    return whole.manifest


def _with_inputs(made: Bundle, required: bool) -> Bundle:
    return replace(made, model=compose.without_defaults(made.model)) if required else made


def _require_possible(config: Config, classes: Sequence[str], beside: OutputPaths) -> None:
    if len(classes) != config.class_count:
        raise JaxgenError(f"expected the names of {config.class_count} classes (model.classes), got {len(classes)}")
    if beside.encoder and not torch_models.encoder_core(config):
        raise UsageError(f"a model of family {config.family!r} has no encoder to write")
    if beside.network and not config.is_generator:
        raise UsageError(f"a model of family {config.family!r} has no network apart from its file")


def _of_the_sampler(
    made: Bundle,
    params: Weights,
    whole: model_file.Artifact,
    beside: OutputPaths,
    certify: bool,
    say: Callable[[str], None],
) -> dict[Path, bytes]:
    """The files beside the model's own that are made of the same parts."""
    contents = {}
    if beside.network:
        contents[beside.network] = _network(made, params, whole, beside, certify, say)
    if beside.torchscript:
        contents[beside.torchscript] = torchscript.dump(made.scripted, whole.manifest)
    return contents


def _weights(state: Mapping[str, Tensor], entries: Mapping[str, Any], beside: OutputPaths) -> dict[Path, bytes]:
    """The files of the weights alone."""
    contents = {}
    if beside.safetensors:
        contents[beside.safetensors] = weight_files.safetensors_bytes(state, entries)
    if beside.torch:
        contents[beside.torch] = weight_files.torch_bytes(state)
    return contents


def _file(
    made: Bundle, params: Weights, entries: Mapping[str, Any], path: Path, certify: bool, say: Callable[[str], None],
    original: ModelProto | None = None,
) -> bytes:  # fmt: skip
    """The bytes of the ONNX file, with its certificate; original: the float32 graph that an int8 one was made of."""
    draft = stamped(made.model, entries)
    if not certify:
        return draft
    if original is not None and quantization.is_its_own_reference(entries):
        say("comparing the file in onnxruntime and in onnx's reference")
        measured = quantization.certificate(made, original, model_file.parse(draft, path), say)
        return stamped(made.model, {**entries, "certificate": measured})
    say(f"comparing the {made.core.kind} in JAX, PyTorch, TorchScript and onnxruntime")
    with jax.default_device(jax.devices("cpu")[0]):  # accelerators shorten float32 products
        measured = _measured(made, params, model_file.parse(draft, path))
    measured |= {"onnxruntime": {"optimization": OPTIMIZATION}}
    _report(measured, say)
    return stamped(made.model, {**entries, "certificate": measured})


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
    entries = {key: value for key, value in whole.manifest.items() if key != "certificate"}
    entries |= {"inference": inference.to_dict()}
    model = network_model(made, output_name(inference), beside.network_batch)
    draft = stamped(model, entries)
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
    return stamped(model, entries | {"certificate": measured | {"onnxruntime": {"optimization": OPTIMIZATION}}})


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
