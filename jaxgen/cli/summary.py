"""The summary of a model file that jaxgen info prints, a line for each property."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxgen.inference.manifest import Inference
    from jaxgen.inference.model_file import Artifact
    from jaxgen.sampling.process import Process


def summary(artifact: Artifact) -> dict[str, str]:
    """A summary of a model file, with its recorded training config."""
    inference = artifact.inference
    rows = {
        "model": _model(artifact),
        "does": _deed(inference),
        "images": "x".join(map(str, inference.image_shape)),
        "classes": ", ".join(inference.classes) or "none (unconditional)",
        "trained on": _training(artifact),
    }
    if inference.process is not None and inference.plan is not None:
        rows["process"] = _process(inference.process)
        rows["default"] = _default(inference)
        rows["plans"] = ", ".join(_object(artifact, "plans"))
    if palette := artifact.manifest.get("palette"):
        rows["palette"] = f"{len(palette)} colours" if isinstance(palette, list) else "not understood"
    size, number = f"{len(artifact.data) / 1e6:.1f} MB", artifact.manifest["format"]
    if inference.batch is not None:
        rows["batch"] = f"{inference.batch}, and no other"
    rows |= _quantization(artifact) | _inputs(artifact) | _history(artifact)
    rows |= {
        "file": f"{size}, format {number}, by jaxgen {artifact.version}",
        "sha256": artifact.sha256,
        "certificate": _certificate(artifact),
    }
    settings = _object(artifact, "certificate").get("onnxruntime")
    if isinstance(settings, dict) and (level := settings.get("optimization")):
        rows["onnxruntime"] = f"certified at the graph optimisation level {level}"
    return rows | _scores(artifact) | _record(artifact)


def _deed(inference: Inference) -> str:
    deeds = {"sampler": "generates images", "network": "evaluates the network once; the sampling loop is outside"}
    read = "images and their classes" if inference.takes_label else "images"
    return deeds.get(inference.kind) or f"reads {read}: {inference.kind}"


def _object(artifact: Artifact, key: str) -> Mapping[str, Any]:
    """An object of the manifest outside its inference section; {} if it is missing."""
    value = artifact.manifest.get(key)
    return value if isinstance(value, dict) else {}


def _model(artifact: Artifact) -> str:
    name, family = artifact.fact("name", str), artifact.fact("family", str)
    parameters = _number(_object(artifact, "weights").get("parameters"), ",")
    named = f"{name or 'unnamed'} ({family})" if family else name or "unnamed"
    return f"{named}, {parameters or 'an unknown number of'} parameters"


def _process(process: Process) -> str:
    """A short description of a process."""
    from jaxgen.sampling.process import Diffusion, Unknown

    if isinstance(process, Unknown):
        return f"{process.kind}: not known to this jaxgen; it can run the default plan"
    if isinstance(process, Diffusion):
        return f"diffusion: T = {process.steps}, {process.schedule}, predicts {process.prediction}"
    return f"flow: time scale {process.time_scale:g}"


def _default(inference: Inference) -> str:
    assert inference.plan
    sampler, steps, eta = inference.plan
    guidance = inference.guidance
    return (
        f"{sampler}, {steps} steps"
        + (f", eta {eta:g}" if eta else "")
        + ("" if guidance is None else f", guidance {guidance:g}")
    )


def _training(artifact: Artifact) -> str:
    facts, dataset = _object(artifact, "training"), artifact.fact("data.dataset", str) or "unknown data"
    if facts.get("untrained"):
        return f"nothing: its weights are untrained (made for {dataset})"
    steps, loss = _number(facts.get("steps"), ","), _number(facts.get("test_loss"), ".4f")
    here = f"{dataset}, {steps or 'unknown'} steps, test loss {loss or 'not measured'}"
    if isinstance(teacher := facts.get("teacher"), dict):
        here += f"; its teacher: {teacher.get('name')!a}, weights {teacher.get('sha256')!a}"
    source = facts.get("imported")
    if not isinstance(source, dict):
        return here
    foreign = f"unknown data, elsewhere: imported from {source.get('file')!a}, SHA-256 {source.get('sha256')!a}"
    return f"{foreign}; then {here}" if facts.get("steps") else foreign


def _inputs(artifact: Artifact) -> dict[str, str]:
    """A row for a graph whose inputs have no defaults; {} for one whose inputs have."""
    from jaxgen.inference.defaults import required
    from jaxgen.inference.protobuf import WireError

    try:
        if required(artifact.data).defaults:
            return {}
    except WireError as err:
        return {"inputs": f"not understood: {err}"}
    made_from = artifact.manifest.get("made_from")
    source = f"; made from {str(made_from)[:64]!a}, whose inputs have defaults" if made_from else ""
    return {"inputs": f"required{source}"}


def _quantization(artifact: Artifact) -> dict[str, str]:
    """A row for a quantised file, with its distance from the float32 one's images; {} for others."""
    entry = _object(artifact, "quantization")
    if not entry:
        return {}
    psnr, identical = _number(entry.get("psnr"), ".1f"), _number(entry.get("identical"), ".2%")
    far = f": PSNR {psnr} dB to the float32 file, {identical} of pixels identical in {entry.get('images')!a} images"
    return {"quantised": f"{entry.get('scheme')!a}{far if psnr and identical else ''}"}


def _history(artifact: Artifact) -> dict[str, str]:
    """The origin of a file that was composed or rewritten after its export."""
    rows, parent, resigned = {}, _object(artifact, "parent"), artifact.manifest.get("resigned")
    if parent:
        network = parent.get("network")
        tool = network.get("producer") if isinstance(network, dict) else None
        identical, relative = _number(parent.get("identical"), ".2%"), _number(parent.get("evaluation_relative"), ".1e")
        rows["made from"] = (
            f"{parent.get('sha256')!a}, with a network by {tool!a}: {identical or 'an unknown share'} of pixels "
            f"identical, one evaluation {relative or 'unknown'} away"
        )
    if searched := _object(artifact, "searched"):
        before, after = (searched.get(key) for key in ("before", "after"))
        errors = (_number(part.get("error"), ".4f") if isinstance(part, dict) else "" for part in (before, after))
        was, now = (error or "unknown" for error in errors)
        rows["searched"] = f"from {searched.get('from')!a}: {now} from its images of many steps, {was} before"
    if isinstance(resigned, list):
        tools = [entry.get("producer") for entry in resigned if isinstance(entry, dict)]
        rows["rewritten"] = f"by {', '.join(map(ascii, tools))}, and measured again"
    return rows


def _certificate(artifact: Artifact) -> str:
    """A summary of a file's certificate, with its largest errors."""
    from jaxgen.inference.verify import worst

    certificate = _object(artifact, "certificate")
    if not certificate:
        return "none"
    is_sampler, trajectories = artifact.inference.kind == "sampler", certificate.get("trajectories") or []
    try:
        if is_sampler and not trajectories:
            raise ValueError("it compares no images")
        rows = list(worst(certificate).values())
        other = certificate.get("reference", "JAX")
        if not is_sampler:
            return f"one evaluation within {max(row['relative'] for row in rows):.1e} of {other}'s"
        rows = [row for row in rows if "identical" in row]
        identical, off_by = min(row["identical"] for row in rows), max(row["off_by"] for row in rows)
        return (
            f"{identical:.3%} of pixels identical to {other}'s or more, off by at most {off_by}, "
            f"in {len(trajectories)} comparisons"
        )
    except (KeyError, TypeError, ValueError) as err:
        return f"not understood: {err!r}"


def _scores(artifact: Artifact) -> dict[str, str]:
    """The scores that were measured when the file was made, each beside its floor."""
    kept = _object(artifact, "scores")
    scores = kept.get("scores")
    if not isinstance(scores, dict):
        return {}
    parts = []
    for name, score in scores.items():
        value, floor = (_number(score.get(key), ".4g") if isinstance(score, dict) else "" for key in ("value", "floor"))
        parts.append(f"{name} {value or 'unknown'}" + (f" (floor {floor})" if floor else ""))
    how = f"{kept.get('n')!a} images, dataset {kept.get('dataset')!a}, extractor {str(kept.get('extractor'))[:12]!a}"
    return {"scores": f"{', '.join(parts)}; {how}"}


def _record(artifact: Artifact) -> dict[str, str]:
    """The recorded training config, one line per section."""
    rows, loose = {}, []
    for key, value in artifact.config.items():
        if isinstance(value, dict):
            rows[f"[{key}] "] = ", ".join(f"{name} {json.dumps(one)}" for name, one in value.items())
        else:
            loose.append(f"{key} {json.dumps(value)}")
    return {"recorded": ", ".join(loose) or ("" if rows else "nothing")} | rows


def _number(value: object, form: str) -> str:
    return format(value, form) if isinstance(value, int | float) else ""
