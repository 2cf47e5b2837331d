"""A file of jaxgen's that another tool rewrote: checked, measured anew and given a manifest of what it is now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from onnx import ModelProto

from jaxgen import __version__
from jaxgen.errors import JaxgenError, UsageError
from jaxgen.files import read_bytes
from jaxgen.inference import model_file
from jaxgen.inference.model_file import Artifact
from jaxgen.inference.opening import opened
from jaxgen.inference.verify import verify
from jaxgen_export import contract, foreign
from jaxgen_export.graphs.compose import graphs_of
from jaxgen_export.stamping import stamped, where_measured

DROPPED = (
    "onnxslim and onnxsim drop inputs that have a default; give them the file of 'jaxgen export --inputs required'"
)
OPTIONAL = ("guidance", "plan", "state", "latent")  # inputs that have a default

Say = Callable[[str], None]


def resign(path: Path, say: Say = lambda line: None) -> bytes:
    """The rewritten file, with a certificate measured on it, a manifest that says what happened, and its own hash.

    Raises JaxgenError if it is not one of jaxgen's, if its graph no longer obeys the contract, or if it does not give
    the images that its certificate holds; UsageError if nothing rewrote it.
    """
    data, name = read_bytes(path, model_file.MAX_BYTES), str(path)
    was = model_file.manifest_of(data, name)["sha256"]
    if model_file.is_intact(data):
        raise UsageError(f"{name}: nothing rewrote it: its bytes are those that were exported")
    model = foreign.load(data, name)
    file = _as_if_its_own(model, was, path)
    if not isinstance(file.manifest.get("certificate"), dict):
        raise JaxgenError(f"{name}: has no certificate to be measured by; export it again")
    _check_contract(model, file)
    if file.inference.process and _weights_outside(model):
        say("its weights are outside the loop's body now, which makes each step slower in onnxruntime")

    say("running the certificate's probe")
    found = verify(opened(file))
    if not found["same"]:
        raise JaxgenError(
            f"{name}: no longer gives what its certificate says: {found['line']}; a network that was changed on "
            "purpose goes back into its sampler with 'jaxgen compose'"
        )
    say(found["line"])
    history = file.manifest.get("resigned")
    history = [*(history if isinstance(history, list) else []), {"from": was, "producer": foreign.producer(model)}]
    changed = {"jaxgen": __version__, "resigned": history, "certificate": _certificate(file, found)}
    return stamped(model, file.manifest | changed)


def _as_if_its_own(model: ModelProto, was: str, path: Path) -> Artifact:
    """The file with every check that `model_file.read` makes but for the hash's; was: the hash in its manifest."""
    copy = ModelProto()
    copy.CopyFrom(model)
    for entry in copy.metadata_props:
        if entry.key == model_file.KEY:
            entry.value = entry.value.replace(was, model_file.ZEROS, 1)
    return model_file.parse(model_file.stamp(copy.SerializeToString()), path)


def _check_contract(model: ModelProto, file: Artifact) -> None:
    lines = contract.complaints(model.graph, file.inference)
    if not lines:
        return
    given = {value.name for value in model.graph.input}
    gone = [
        port.name for port in contract.inputs_of(file.inference) if port.name in OPTIONAL and port.name not in given
    ]
    reason = f"`{gone[0]}` is no longer an input: {DROPPED}" if gone else lines[0]
    raise JaxgenError(f"{file.path}: its graph does not obey the contract any more: {reason}")


def _weights_outside(model: ModelProto) -> bool:
    """Whether most of a sampler's weights are initializers of the outer graph."""
    outer, *inner = (sum(tensor.ByteSize() for tensor in graph.initializer) for graph in graphs_of(model.graph))
    return outer > sum(inner)


def _certificate(file: Artifact, found: Mapping[str, Any]) -> dict[str, Any]:
    """What was measured: the probe in onnxruntime, against the images or numbers that the certificate had."""
    old = file.value("certificate", dict)
    row = {"backend": "onnxruntime", "batch": found["images"]}
    if "identical" in found:
        same = {key: found[key] for key in ("identical", "off_by")}
        rows: dict[str, Any] = {"evaluation": [], "trajectories": [row | {"plan": None, "start": "noise"} | same]}
    else:
        rows = {"evaluation": [row | {"input": "probe", "relative": found["relative"]}], "trajectories": []}
    kept = {key: old[key] for key in ("reference", "limits", "probe") if key in old}
    return {**kept, **rows, **where_measured()}
