"""Adopt a model file that another tool rewrote: check it, measure it again and update its manifest."""

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
from jaxgen_export.invariants import require_invariants
from jaxgen_export.stamping import stamped, where_measured

DROPPED = (
    "onnxslim and onnxsim drop inputs that have a default; give them the file of 'jaxgen export --inputs required'"
)
TRUSTED = "class names, null_class, the likelihood and the record of the training are taken from the file as they are"
OPTIONAL = ("guidance", "plan", "state", "latent")  # inputs that have a default

Say = Callable[[str], None]


def resign(path: Path, say: Say = lambda line: None) -> bytes:
    """The rewritten file with a new certificate, a manifest that records the rewrite, and a new hash.

    Raises JaxgenError if it is not a jaxgen file, if its graph breaks the contract or has other plans than its
    manifest, if it does not reproduce the images in its certificate, or breaks one of the `invariants`; UsageError if
    it was not rewritten.
    """
    data, name = read_bytes(path, model_file.MAX_BYTES), str(path)
    old_hash = model_file.manifest_of(data, name)["sha256"]
    if model_file.is_intact(data):
        raise UsageError(f"{name}: was not rewritten: its bytes are still those of the export")
    model = foreign.load(data, name)
    file = _parse_without_hash(model, old_hash, path)
    if not isinstance(file.manifest.get("certificate"), dict):
        raise JaxgenError(f"{name}: has no certificate to be measured by; export it again")
    _check_contract(model, file)
    if file.inference.process and _weights_outside(model):
        say("its weights are outside the loop's body now, which makes each step slower in onnxruntime")

    loaded = opened(file)
    if lost := contract.ignored(model.graph):
        reason = f"`{lost[0]}` no longer changes what it gives: {DROPPED}"
        raise JaxgenError(f"{name}: its graph no longer obeys the contract: {reason}")
    if line := contract.other_values(model.graph, file):
        raise JaxgenError(f"{name}: its graph and its manifest do not belong together: {line}; export it again")
    say("running the certificate's probe")
    report = verify(loaded)
    if not report["same"]:
        raise JaxgenError(
            f"{name}: no longer reproduces its certificate: {report['line']}; a network that was changed on "
            "purpose goes back into its sampler with 'jaxgen compose'"
        )
    say(report["line"])
    say("checking what holds whatever its weights are")
    require_invariants(loaded, batch_dependent=_batch_dependent(file))
    say(TRUSTED)
    history = file.manifest.get("resigned")
    history = [*(history if isinstance(history, list) else []), {"from": old_hash, "producer": foreign.producer(model)}]
    changed = {"jaxgen": __version__, "resigned": history, "certificate": _certificate(file, report)}
    return stamped(model, file.manifest | changed)


def _parse_without_hash(model: ModelProto, old_hash: str, path: Path) -> Artifact:
    """Parse the file with every check of `model_file.read` but the hash's; old_hash: the one in its manifest."""
    copy = ModelProto()
    copy.CopyFrom(model)
    for entry in copy.metadata_props:
        if entry.key == model_file.KEY:
            entry.value = entry.value.replace(old_hash, model_file.ZEROS, 1)
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
    raise JaxgenError(f"{file.path}: its graph no longer obeys the contract: {reason}")


def _batch_dependent(file: Artifact) -> bool:
    """Whether 'jaxgen compose --batch-dependent' made it."""
    parent = file.manifest.get("parent")
    return isinstance(parent, dict) and parent.get("batch_dependent") is True


def _weights_outside(model: ModelProto) -> bool:
    """Whether most of a sampler's weights are initializers of the outer graph."""
    outer, *inner = (sum(tensor.ByteSize() for tensor in graph.initializer) for graph in graphs_of(model.graph))
    return outer > sum(inner)


def _certificate(file: Artifact, report: Mapping[str, Any]) -> dict[str, Any]:
    """A certificate of the probe in onnxruntime, against the images or numbers of the old certificate."""
    old = file.value("certificate", dict)
    row = {"backend": "onnxruntime", "batch": report["images"]}
    if "identical" in report:
        same = {key: report[key] for key in ("identical", "off_by")}
        rows: dict[str, Any] = {"evaluation": [], "trajectories": [row | {"plan": None, "start": "noise"} | same]}
    else:
        rows = {"evaluation": [row | {"input": "probe", "relative": report["relative"]}], "trajectories": []}
    kept = {key: old[key] for key in ("reference", "limits", "probe") if key in old}
    return {**kept, **rows, **where_measured()}
