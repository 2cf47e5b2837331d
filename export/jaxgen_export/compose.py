"""`jaxgen compose`: put a network that another tool changed back into its sampler."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
from onnx import ModelProto, numpy_helper

from jaxgen import __version__
from jaxgen.errors import JaxgenError, UsageError, one_line
from jaxgen.files import read_bytes
from jaxgen.inference import model_file
from jaxgen.inference.defaults import without_default
from jaxgen.inference.manifest import Inference
from jaxgen.inference.model_file import Artifact
from jaxgen.inference.required_inputs import fed_by_default, with_required_inputs
from jaxgen_export import composed_certificate, contract, foreign
from jaxgen_export.graphs import compose
from jaxgen_export.graphs.common import OPSET
from jaxgen_export.graphs.decoder import latent_text
from jaxgen_export.graphs.sampler import sampler_text
from jaxgen_export.stamping import stamped

HINTS = {  # how to avoid a complaint that matches the pattern
    r"float16": "; convert it with keep_io_types=True",
    r"is \w+ \[\d.*expected float32 \[N": "; its batch must be free: 'jaxgen export --network' without --network-batch",
}
OF_THE_ORIGINAL = ("certificate", "resigned", "made_from", "quantization")  # entries of a manifest that do not go on

Say = Callable[[str], None]


def compose_model(network: Path, like: Path, *, batch_dependent: bool = False, say: Say = lambda line: None) -> bytes:
    """The file `like` with another network in it, and a certificate of its own.

    network: an ONNX file with the inputs and outputs of the one that `jaxgen export --network` writes; like: a sampler.
    batch_dependent: accept a network whose images depend on the rest of the batch.
    Raises JaxgenError if the two do not fit, the network is not in ONNX's own operators or gives NaN, or depends on the
    batch.
    """
    original = model_file.read(like)
    data = read_bytes(network, model_file.MAX_BYTES)
    core = _fitting(data, str(network), original)
    model = _spliced(core, str(network), original)
    parent: dict[str, Any] = {
        "sha256": original.sha256,
        "network": {"sha256": hashlib.sha256(data).hexdigest(), "producer": foreign.producer(core)},
    }
    kept = {key: value for key, value in original.manifest.items() if key not in OF_THE_ORIGINAL}
    manifest = kept | {"jaxgen": __version__, "parent": parent}
    draft = model_file.parse(stamped(model, manifest), f"{network} in {like}")
    say("comparing the two files, and onnx's reference with onnxruntime")
    certificate, distance = composed_certificate.measure(draft, original, core, batch_dependent, say)
    say(
        f"against {like}: one evaluation within {distance['evaluation_relative']:.1e} relative, "
        f"{distance['identical']:.3%} of pixels identical in {distance['images']} images, "
        f"the largest difference is {distance['off_by']}"
    )
    manifest |= {"parent": parent | distance, "certificate": certificate}
    made = stamped(model, manifest)
    if without_default(original.data) == contract.input_names_of(original.inference):
        return with_required_inputs(model_file.parse(made, draft.path)).data
    return made


def _fitting(data: bytes, name: str, original: Artifact) -> ModelProto:
    """The network, with its inputs in the contract's order. Raises JaxgenError if it does not fit into the file."""
    inference = original.inference
    if inference.kind != "sampler":
        raise UsageError(f"--like: {original.path} is of kind {inference.kind!r}; a network goes into a sampler")
    model = foreign.load(data, name)
    if model.graph.sparse_initializer:
        raise JaxgenError(f"{name}: keeps weights as sparse tensors, which no loop's body takes; make them dense")
    wanted = replace(inference, kind="network")
    complaints = contract.complaints(model.graph, wanted)
    if complaints:
        hint = next((hint for pattern, hint in HINTS.items() if re.search(pattern, complaints[0])), "")
        raise JaxgenError(f"{name} does not fit {original.path}: {complaints[0]}{hint}")
    _check_same_process(data, name, original)
    by_name = {value.name: value for value in model.graph.input}
    ordered = [by_name[port.name] for port in contract.inputs_of(wanted)]
    del model.graph.input[:]
    model.graph.input.extend(ordered)
    return model


def _check_same_process(data: bytes, name: str, original: Artifact) -> None:
    """Raise JaxgenError if the network still has its manifest and that records another process."""
    try:
        own = Inference.parse(model_file.manifest_of(data, name)["inference"], name)
    except (JaxgenError, KeyError):
        return  # most tools drop the manifest; then only the shapes can be checked
    ours, theirs = (about.to_dict()["process"] or {} for about in (original.inference, own))
    for key in ours | theirs:
        if ours.get(key) != theirs.get(key):
            raise JaxgenError(
                f"{name} does not fit {original.path}: the {key} of its process is {theirs.get(key)!a}, expected "
                f"{ours.get(key)!a}"
            )


def _spliced(core: ModelProto, name: str, original: Artifact) -> ModelProto:
    """The text of the sampler around the network, with the defaults that the original's inputs have."""
    core = foreign.at_opset(core, OPSET, name)
    inference = original.inference
    held = {tensor.name: tensor for tensor in onnx.load_from_string(original.data).graph.initializer}
    keys = {"plan", "state", "latent"} & contract.input_names_of(inference)
    defaults = {key: numpy_helper.to_array(held[key]) for key in keys & held.keys()}
    defaults |= fed_by_default(keys - held.keys(), original)
    try:
        return compose.compose(_text(inference), core, defaults, foreign.opset(core, name))
    except Exception as err:  # onnx's checker raises its own errors
        raise JaxgenError(f"{name}: cannot be put into {original.path}: {one_line(err)}") from err


def _text(inference: Inference) -> str:
    assert inference.noise_shape
    if inference.process is None:
        (latent,) = inference.noise_shape
        return latent_text(inference.image_shape, latent, bool(inference.classes))
    return sampler_text(inference.image_shape, inference.guidance)
