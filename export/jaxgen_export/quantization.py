"""`jaxgen export --quantize`: smaller files, and how far their images are from those of the float32 file.

fp16: the weights are rounded to float16, and computing stays in float32. JAX with the same rounded weights is the exact
reference, so the certificate is the usual one. int8: convolutions, or the linear layers of a network without any,
compute in 8-bit integers whose ranges are calibrated along the default plan. No other runtime computes the same, so the
file's own images in onnxruntime are the reference, as for `jaxgen compose`.
"""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import ModelProto

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.inference import model_file
from jaxgen.inference.manifest import Inference
from jaxgen.inference.model import Model
from jaxgen.inference.model_file import Artifact
from jaxgen.inference.network import input_names, sample_with
from jaxgen.inference.verify import LEAST_PSNR, compare_images, psnr
from jaxgen_export import bundle, composed_certificate
from jaxgen_export.bundle import Bundle
from jaxgen_export.graphs.half import LARGEST, halved
from jaxgen_export.stamping import stamped
from jaxgen_export.weight_mapping import Weights

if TYPE_CHECKING:
    from collections.abc import Iterator

MIN_PSNR = {"fp16": 40.0, "int8": 30.0}  # dB; below it a file is refused unless another bound is given
IMAGES = 32  # that are compared with those of the float32 file
CALIBRATION_SEEDS = (1, 2)  # not 0, with which the file is compared and certified
CALIBRATION_IMAGES = 16  # of each seed
CALIBRATION_CALLS = 16  # of the network that are kept of those along a plan
LINEAR = ("Gemm", "MatMul")

Feeds = dict[str, np.ndarray]
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Quantize:
    """What to do: a scheme of MIN_PSNR, and the least PSNR to the float32 file in dB; None: that of MIN_PSNR."""

    scheme: str
    min_psnr: float | None = None


def quantized(
    made: Bundle, params: Weights, entries: Mapping[str, Any], how: Quantize, say: Say
) -> tuple[Bundle, Weights, dict[str, Any]]:
    """A sampler's bundle with another graph, the weights that it holds (rounded for fp16, the same for int8), and the
    entries of its manifest with `quantization`, which holds the distance to the images of the float32 file.

    The PyTorch module in the bundle is left as it is. Raises JaxgenError if a weight is too large for float16, there is
    nothing to compute in integers, or the distance is out of bounds.
    """
    say(f"quantising the network: {how.scheme}")
    if how.scheme == "fp16":
        params, graph = rounded(params), halved(made.graph, params.values())
    else:
        graph = _in_integers(made.graph, Inference.parse(entries["inference"], "the file in the making"))
    new = bundle.with_graph(made, graph)
    measured = _distance(new.model, made.model, entries, how)
    say(
        f"against float32: PSNR {measured['psnr']:.1f} dB, {measured['identical']:.3%} of pixels identical in "
        f"{measured['images']} images, the largest difference is {measured['off_by']}"
    )
    return new, params, {**entries, "quantization": {"scheme": how.scheme, **measured}}


def of_encoder(
    made: Bundle, params: Weights, entries: Mapping[str, Any], how: Quantize
) -> tuple[Bundle, dict[str, Any]]:
    """The bundle and the entries of an encoder beside the sampler: it stays in float32 beside an int8 one.

    params: rounded already.
    """
    if how.scheme != "fp16":
        return made, dict(entries)
    return bundle.with_graph(made, halved(made.graph, params.values())), {
        **entries, "quantization": {"scheme": how.scheme}
    }  # fmt: skip


def is_its_own_reference(entries: Mapping[str, Any]) -> bool:
    """Whether no other runtime computes what the file with this manifest does, so that `certificate` is for it."""
    return entries.get("quantization", {}).get("scheme") in LEAST_PSNR


def rounded(params: Weights) -> dict[str, np.ndarray]:
    """The weights rounded to float16, as float32. Raises JaxgenError for one that float16 cannot hold."""
    for name, value in params.items():
        largest = float(np.abs(value).max(initial=0))
        if not largest <= LARGEST:  # not `>`, which is false for NaN
            raise JaxgenError(f"--quantize fp16: {name} has a weight of {largest:g}, and fp16 ends at {LARGEST:g}")
    return {name: np.asarray(value).astype(np.float16).astype(np.float32) for name, value in params.items()}


def _distance(model: ModelProto, original: ModelProto, entries: Mapping[str, Any], how: Quantize) -> dict[str, Any]:
    """How far the images are from the float32 file's. Raises JaxgenError if that is out of bounds."""
    new, old = (Model(_draft(each, entries)) for each in (model, original))
    index = np.arange(IMAGES)
    label = index % len(new.classes) if new.classes else None
    images, wanted = (each.sample(np.zeros(IMAGES, np.int64), index, label=label)[0] for each in (new, old))
    measured = {"psnr": round(psnr(images, wanted), 2), **compare_images(images, wanted), "images": IMAGES}
    least = MIN_PSNR[how.scheme] if how.min_psnr is None else how.min_psnr
    if measured["psnr"] < least:
        raise JaxgenError(
            f"--quantize {how.scheme}: its images are {measured['psnr']:.1f} dB from the float32 file's (PSNR), "
            f"expected at least {least:g}; to accept that: --min-psnr {math.floor(measured['psnr'])}"
        )
    return measured


def certificate(made: Bundle, original: ModelProto, draft: Artifact, say: Say) -> dict[str, Any]:
    """The certificate of an int8 file: its own images in onnxruntime, and a wider tolerance for them."""
    measured, _ = composed_certificate.measure(
        draft, _draft(original, draft.manifest), made.graph, batch_dependent=True, say=say
    )
    return measured | {"limits": {"psnr": LEAST_PSNR["int8"]}}


def _draft(model: ModelProto, manifest: Mapping[str, Any]) -> Artifact:
    return model_file.parse(stamped(model, manifest), "the file in the making")


def _in_integers(core: ModelProto, inference: Inference) -> ModelProto:
    """The network with QuantizeLinear and DequantizeLinear around what is computed in integers.

    Weights have 7 bits: with 8, processors without VNNI saturate sums, and give other numbers than those with it.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self, rows: Sequence[Feeds]) -> None:
            self._rows = iter(rows)

        def get_next(self) -> Feeds | None:
            return next(self._rows, None)

    nodes = _integer_nodes(core)
    copy = ModelProto()  # the library changes what it gets
    copy.CopyFrom(core)
    with tempfile.TemporaryDirectory() as folder, _silenced():
        path = Path(folder) / "network.onnx"
        quantize_static(
            copy, path, Reader(_calibration(core, inference)), quant_format=QuantFormat.QDQ, per_channel=True,
            reduce_range=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv", *LINEAR], nodes_to_quantize=nodes,
        )  # fmt: skip
        return onnx.load(path)


def _integer_nodes(core: ModelProto) -> list[str]:
    """All convolutions but the first and the last; of a network without others, the layers of a known matrix."""
    weights = {tensor.name for tensor in core.graph.initializer}
    convolutions = [node.name for node in core.graph.node if node.op_type == "Conv"]
    linear = [node.name for node in core.graph.node if node.op_type in LINEAR and node.input[1] in weights]
    nodes = convolutions[1:-1] or linear
    if not nodes:
        raise UsageError("--quantize int8: the network has neither convolutions nor linear layers; try fp16")
    return nodes


def _calibration(core: ModelProto, inference: Inference) -> list[Feeds]:
    """Inputs of the network along the default plan, spread over it."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(core.SerializeToString(), options, providers=["CPUExecutionProvider"])
    calls: list[Feeds] = []

    def network(*given: np.ndarray) -> np.ndarray:
        calls.append(dict(zip(input_names(inference), given, strict=True)))
        return session.run(None, calls[-1])[0]

    index = np.arange(CALIBRATION_IMAGES)
    label = index % len(inference.classes) if inference.classes else None
    for seed in CALIBRATION_SEEDS:
        sample_with(network, inference, np.full(len(index), seed), index, label=label)
    kept = np.unique(np.linspace(0, len(calls) - 1, CALIBRATION_CALLS).round().astype(int))
    return [calls[number] for number in kept]


@contextmanager
def _silenced() -> Iterator[None]:
    """Without the library's advice to optimise the graph first, which would bring operators that are not ONNX's own."""
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.getLogger().setLevel(level)
