"""The certificate: how far PyTorch, TorchScript and onnxruntime are from JAX on this model, as measured."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np

from jaxgen.config import Config
from jaxgen.errors import JaxgenError
from jaxgen.images import to_uint8, to_unit
from jaxgen.inference import tensors
from jaxgen.inference.verify import LIMITS, MAX_RELATIVE, compare_images, errors
from jaxgen.sampling import sampler_spec
from jaxgen_export.comparison import BATCHES, INPUTS, PROBE, Row, input_values, probe_labels
from jaxgen_export.runtimes import Backend, Evaluate

NETWORK_PROBE = 4  # evaluations of a network that it repeats
PACKAGES = ("jax", "torch", "onnx", "onnxruntime", "numpy")
GUIDANCE = 2.0  # other than 1, so that both evaluations of a conditional model count


def measure(reference: Backend, others: Mapping[str, Backend], config: Config) -> dict[str, Any]:
    """All comparisons of a sampler with `reference`, and the probe. Raises JaxgenError if one is beyond its limit."""
    evaluations = _of_the_network(reference.evaluate, {name: one.evaluate for name, one in others.items()}, config)
    trajectories = [row for run in _runs(config) for row in _trajectories(reference, others, config, *run)]
    return _certificate(evaluations, trajectories, _sampled_probe(reference, config))


def measure_network(
    reference: Evaluate, others: Mapping[str, Evaluate], config: Config, inputs: Sequence[str], output: str
) -> dict[str, Any]:
    """Compare as `measure` does, of the network alone; inputs, output: their names. The probe holds numbers for any
    runtime."""
    evaluations = _of_the_network(reference, others, config)
    given = _network_inputs(config, NETWORK_PROBE, "random")
    (result,) = reference(*given)
    probe = {
        "inputs": {name: tensors.encode(value) for name, value in zip(inputs, given, strict=False)},
        "outputs": {output: tensors.encode(result)},
    }
    return _certificate(evaluations, [], probe)


def measure_reader(
    reference: Evaluate, others: Mapping[str, Evaluate], config: Config, outputs: Sequence[str]
) -> dict[str, Any]:
    """Compare as `measure` does, of a model that reads images; outputs: the names of its outputs."""
    evaluations = [
        row
        for batch in BATCHES
        for kind in INPUTS
        for row in _evaluations(reference, others, kind, batch, reader_inputs(config, _pixels(config, batch, kind)))
    ]
    images = np.concatenate([_pixels(config, PROBE - 2, "random"), _pixels(config, 2, "constant")])
    given = reader_inputs(config, images)
    read = {name: value.tolist() for name, value in zip(outputs, reference(*given), strict=True)}
    label = {"label": given[1].tolist()} if config.encoder_label else {}
    return _certificate(evaluations, [], {"images": tensors.encode_images(images), **label, "outputs": read})


def _of_the_network(reference: Evaluate, others: Mapping[str, Evaluate], config: Config) -> list[Row]:
    return [
        row
        for batch in BATCHES
        for kind in INPUTS
        for row in _evaluations(reference, others, kind, batch, _network_inputs(config, batch, kind))
    ]


def labels(config: Config, count: int) -> np.ndarray:
    """Cycle through the classes, starting with -1 for models that also sample without one: int64 [count]."""
    first = 0 if config.class_count and not config.null_class else -1
    return np.arange(count) % (config.class_count - first) + first


def reader_inputs(config: Config, images: np.ndarray) -> tuple[np.ndarray, ...]:
    """Images, and their classes for an encoder that takes them."""
    return (images, labels(config, len(images))) if config.encoder_label else (images,)


def _certificate(evaluations: list[Row], trajectories: list[Row], probe: Row) -> dict[str, Any]:
    certificate = {
        "limits": {"evaluation_relative": MAX_RELATIVE, **LIMITS},
        "evaluation": evaluations,
        "trajectories": trajectories,
        "probe": probe,
        "machine": {"platform": platform.platform(), "cpu": platform.machine(), "python": platform.python_version()},
        "packages": {name: metadata.version(name) for name in PACKAGES},
    }
    _check(certificate)
    return certificate


def _plans(config: Config) -> list[tuple[str | None, np.ndarray | None]]:
    """The first named plan of each sampler; models of a single evaluation have none."""
    process = config.process
    if process is None:
        return [(None, None)]
    named = sampler_spec.named(process)
    firsts = {recipe.sampler: name for name, recipe in reversed(named.items())}.values()
    return [(name, sampler_spec.table(process, recipe)) for name, recipe in named.items() if name in firsts]


def _runs(config: Config) -> Iterator[tuple[str | None, np.ndarray | None, int, str, float | None]]:
    """What to sample: the plan's name, the plan, batch, start and guidance."""
    many = max(BATCHES)
    first, *others = _plans(config)
    for batch in BATCHES:
        for start in ("noise", "constant"):
            yield *first, batch, start, None
    for plan in others:
        yield *plan, many, "noise", None
    if config.process is not None and config.class_count:
        yield *first, many, "noise", GUIDANCE


def _network_inputs(config: Config, batch: int, kind: str) -> tuple[np.ndarray, ...]:
    x, label = input_values(config.noise_shape, batch, kind), labels(config, batch)
    if config.process is None:
        return x, label
    latest = sampler_spec.from_config(config)[0, 0]  # a plan starts with the latest time
    return x, np.linspace(0, latest, batch).round().astype(np.float32), label


def _pixels(config: Config, count: int, kind: str) -> np.ndarray:
    return to_uint8(input_values(config.data.shape, count, kind))


def _evaluations(
    reference: Evaluate, others: Mapping[str, Evaluate], kind: str, batch: int, inputs: tuple[np.ndarray, ...]
) -> list[Row]:
    """One row per backend, with the errors of the network's worst output."""
    want = reference(*inputs)
    rows = []
    for name, evaluate in others.items():
        each = [errors(*pair) for pair in zip(evaluate(*inputs), want, strict=True)]
        worst = {key: float(np.max([error[key] for error in each])) for key in each[0]}  # np.max keeps NaN
        rows.append({"backend": name, "input": kind, "batch": batch} | worst)
    return rows


def _trajectories(
    reference: Backend,
    others: Mapping[str, Backend],
    config: Config,
    plan_name: str | None,
    plan: np.ndarray | None,
    batch: int,
    start: str,
    guidance: float | None,
) -> list[Row]:
    index, label = np.arange(batch), labels(config, batch)
    x = None if start == "noise" else input_values(config.noise_shape, batch, start)
    want, want_x = reference.sample(index, label, plan, x, guidance)
    rows = []
    for name, backend in others.items():
        images, x_end = backend.sample(index, label, plan, x, guidance)
        row = {"backend": name, "plan": plan_name, "start": start, "batch": batch, "guidance": guidance}
        # A model of one evaluation has no x at its end, so its pixels are compared.
        pair = (to_unit(images), to_unit(want)) if x_end is None or want_x is None else (x_end, want_x)
        rows.append(row | errors(*pair) | compare_images(images, want))
    return rows


def _sampled_probe(reference: Backend, config: Config) -> dict[str, Any]:
    """Images by JAX with the file's default plan, for others to sample again."""
    index, label = np.arange(PROBE), probe_labels(config.class_count)
    images, _ = reference.sample(index, label)
    return {"seed": 0, "index": index.tolist(), "label": label.tolist(), "images": tensors.encode_images(images)}


def _check(certificate: Mapping[str, Any]) -> None:
    for row in certificate["evaluation"]:
        if not row["relative"] <= MAX_RELATIVE:  # not `>`, which is false for NaN
            raise JaxgenError(f"{row['backend']} differs from JAX: relative error {row['relative']:.1e} in {row}")
    for row in certificate["trajectories"]:
        if not (row["identical"] >= LIMITS["identical"] and row["off_by"] <= LIMITS["off_by"]):
            share = f"{row['identical']:.2%} of pixels"
            raise JaxgenError(f"{row['backend']} does not reproduce JAX's images: {share} are identical in {row}")
