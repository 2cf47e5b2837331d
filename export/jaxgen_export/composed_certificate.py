"""The certificate of a composed file: its images in onnxruntime, which others must reproduce, and their distance from
those of the original file.

What `jaxgen export` writes is certified against JAX. A quantised or pruned network computes something else than
the trained one, so the file itself is the only reference.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import onnx
import onnx.reference
import onnxruntime as ort
from onnx import ModelProto, TensorProto

from jaxgen.errors import JaxgenError, one_line
from jaxgen.inference.defaults import without_default
from jaxgen.inference.model import Model
from jaxgen.inference.model_file import Artifact
from jaxgen.inference.required_inputs import fed_by_default
from jaxgen.inference.runtimes.onnxruntime import OPTIMIZATION
from jaxgen.inference.tensors import encode_images
from jaxgen.inference.verify import LIMITS, compare_images, errors, same_images
from jaxgen_export.comparison import BATCHES, INPUTS, PROBE, Row, input_values, probe_labels
from jaxgen_export.invariants import in_batches
from jaxgen_export.stamping import where_measured

FEW_ROWS = 4  # of the plan, in onnx's reference, which is a hundred times slower
OUTPUT_ROW = (0, 0, 1, np.inf, 0, 1, 0, 0, 0)  # a row after which x is the network's output; its time goes first

Feeds = dict[str, Any]  # arrays by name
Run = Callable[[Feeds], list[np.ndarray]]  # a whole file: its images, and the extra output of `_watched`
Say = Callable[[str], None]


def measure(
    draft: Artifact, original: Artifact, core: ModelProto, batch_dependent: bool, say: Say
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The certificate of `draft`, and its distance from the original file.

    core: the network alone, as the tool wrote it; batch_dependent: whether images may depend on what else is in their
    batch. Raises JaxgenError if they do and may not, or if the network gives NaN.
    """
    sampler = Model(draft)
    new, old = (_in_onnxruntime(_watched(file), file) for file in (draft, original))
    probe = _probe(original, sampler)
    images = _images(new, sampler.feeds(**probe), draft)
    (each,) = in_batches(lambda one: [_images(new, sampler.feeds(**one), draft)], probe, 1)
    alone = {"backend": "onnxruntime", "plan": None, "start": "noise", "batch": 1} | compare_images(each, images)
    if not same_images(each, images) and not batch_dependent:
        raise _depends_on_batch(draft, core, alone)
    evaluations, relative = _evaluations(sampler, new, old, _network_alone(core))
    by_reference = _by_reference(sampler, draft, new, probe, say)
    certificate = {
        "reference": "onnxruntime",
        "limits": LIMITS,
        "evaluation": evaluations + [row for row in by_reference if "input" in row],
        "trajectories": [alone, *(row for row in by_reference if "input" not in row)],
        "probe": {
            "seed": int(probe["seed"][0]),
            "index": probe["index"].tolist(),
            "label": probe["label"].tolist(),
            "images": encode_images(images),
        },
        **where_measured(),
    }
    images_of_old = _images(old, sampler.feeds(**probe), original)
    distance = {"evaluation_relative": relative, **compare_images(images, images_of_old), "images": len(images)}
    distance["batch_dependent"] = not same_images(each, images)
    return certificate, distance


def _probe(original: Artifact, sampler: Model) -> Feeds:
    """Seeds, indices and labels of the original's probe; those of seed 0 where it has none."""
    held = original.manifest.get("certificate")
    held = held.get("probe") if isinstance(held, dict) else None
    if isinstance(held, dict) and held.keys() >= {"seed", "index", "label"}:
        seed, index, label = (np.asarray(held.get(name)) for name in ("seed", "index", "label"))
        return {"seed": np.broadcast_to(seed, index.shape), "index": index, "label": label}
    labels = probe_labels(len(sampler.classes))
    return {"seed": np.zeros(PROBE, np.int64), "index": np.arange(PROBE), "label": labels}


def _depends_on_batch(draft: Artifact, core: ModelProto, alone: Row) -> JaxgenError:
    dynamic = any(node.op_type == "DynamicQuantizeLinear" for node in core.graph.node)
    reason = "dynamic quantisation takes its ranges from all of it; quantise statically"
    return JaxgenError(
        f"{draft.path}: images depend on what else is in their batch: {alone['identical']:.2%} of pixels are equal "
        f"one by one, off by at most {alone['off_by']}; {reason if dynamic else 'keep more bits'}, or give "
        "--batch-dependent"
    )


# --- a file in a runtime


def _watched(file: Artifact) -> ModelProto:
    """A sampler's graph with x at its end as an output: in `state_out`, or else before it becomes pixels."""
    model = onnx.load_from_string(file.data)
    made = {name for node in model.graph.node for name in node.output}
    if len(model.graph.output) == 1 and "x_end" in made:
        model.graph.output.append(onnx.helper.make_tensor_value_info("x_end", TensorProto.FLOAT, None))
    return model


def _in_onnxruntime(model: ModelProto, file: Artifact | None = None) -> Run:
    """file: whose inputs are fed by default where its graph has none."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, OPTIMIZATION)
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    must_feed = without_default(file.data) if file else set()
    return lambda feeds: session.run(None, feeds | (fed_by_default(must_feed - feeds.keys(), file) if file else {}))


def _images(run: Run, feeds: Feeds, file: Artifact) -> np.ndarray:
    images, *ends = run(feeds)
    if any(np.isnan(end).any() for end in ends):
        raise JaxgenError(f"{file.path}: gives NaN; the network was changed beyond use, or its weights have diverged")
    return images


def _evaluate(run: Run, sampler: Model, given: Feeds) -> np.ndarray:
    """Evaluate the network inside a file on `given`, its inputs by name: x [N, ...] and one t, or z [N, D]."""
    count = len(given["label"])
    common: dict[str, Any] = {"seed": np.zeros(count, np.int64), "index": np.arange(count), "label": given["label"]}
    if "z" in given:
        return run(sampler.feeds(**common, latent=given["z"]))[-1]
    row = np.array([OUTPUT_ROW], np.float32)
    row[0, 0] = given["t"][0]
    common |= {"guidance": 1.0} if sampler.classes else {}
    start = np.stack([given["x"], np.zeros_like(given["x"])])
    return run(sampler.feeds(**common, plan=row, state=start))[-1][0]


def _network_alone(core: ModelProto) -> Callable[[Feeds], np.ndarray]:
    run = _in_onnxruntime(core)
    names = [value.name for value in core.graph.input]
    return lambda given: run({name: given[name] for name in names})[0]


# --- what is compared


def _given(sampler: Model, batch: int, kind: str) -> Feeds:
    """Inputs of the network by name, at the first, the middle or the last time of the default plan."""
    x, first = input_values(sampler.noise_shape, batch, kind), sampler.least_label
    label = np.arange(batch) % (len(sampler.classes) - first) + first
    if sampler.inference.process is None:
        return {"z": x, "label": label}
    times = sampler.plan()[:, 0]
    return {"x": x, "t": np.full(batch, times[[0, len(times) // 2, -1][batch % 3]]), "label": label}


def _evaluations(sampler: Model, new: Run, old: Run, alone: Callable[[Feeds], np.ndarray]) -> tuple[list[Row], float]:
    """Compare the network in the file with the tool's own; and its largest relative distance from the original's."""
    rows, distance = [], 0.0
    for batch, kind in itertools.product(BATCHES, INPUTS):
        given = _given(sampler, batch, kind)
        want = _evaluate(new, sampler, given)
        row = errors(alone(given).reshape(want.shape), want)
        rows.append({"backend": "network alone", "input": kind, "batch": batch} | row)
        distance = float(np.max([distance, errors(want, _evaluate(old, sampler, given))["relative"]]))
    return rows, distance


def _by_reference(sampler: Model, draft: Artifact, new: Run, probe: Feeds, say: Say) -> list[Row]:
    """Compare onnx's reference with onnxruntime on two images and the first rows of the plan; [] if it cannot run."""
    given = _given(sampler, 2, "random")
    few: Feeds = {} if sampler.inference.process is None else {"plan": sampler.plan()[:FEW_ROWS]}
    feeds = sampler.feeds(**{name: values[:2] for name, values in probe.items()}, **few)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            evaluator = onnx.reference.ReferenceEvaluator(_watched(draft))
            reference: Any = partial(evaluator.run, None)
            row = errors(_evaluate(reference, sampler, given), _evaluate(new, sampler, given))
            same = compare_images(reference(feeds)[0], new(feeds)[0])
    except Exception as err:  # it is Python code for every operator, which may raise anything
        say(f"onnx's reference cannot run it: {one_line(err)}")
        return []
    if same["identical"] < LIMITS["identical"] or same["off_by"] > LIMITS["off_by"]:
        say(
            f"onnx's reference gives other images: {same['identical']:.2%} of pixels identical to onnxruntime's, off "
            f"by at most {same['off_by']}; so may other processors and runtimes, and 'jaxgen verify' says so there"
        )
    plan = f"the first {FEW_ROWS} rows of the default plan" if few else None
    return [
        {"backend": "onnx.reference", "input": "random", "batch": 2} | row,
        {"backend": "onnx.reference", "plan": plan, "start": "noise", "batch": 2} | same,
    ]
