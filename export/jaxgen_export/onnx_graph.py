"""The one-file sampler: the twin's denoiser through PyTorch's exporter, put into the loop of sampler_text."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterable, Iterator

import numpy as np
import onnx
import onnx.inliner
import onnx.parser
import torch
from onnx import GraphProto, ModelProto, NodeProto, numpy_helper

from jaxgen.config import Config
from jaxgen_export.noise_text import OPSET
from jaxgen_export.sampler_text import sampler_text
from jaxgen_export.twins import UNet


def export_denoiser(twin: UNet, config: Config) -> ModelProto:
    """One network evaluation: x [B, H, W, C], t [B] (and label [B] int64 where there are classes) -> out like x."""
    names = ["x", "t", "label"] if config.model.classes else ["x", "t"]
    # Sizes 0 and 1 would be taken for constants, so the example batch has 2.
    example = (torch.zeros(2, *config.data.shape), torch.zeros(2), torch.full((2,), -1))
    module = twin if config.model.classes else _Unlabelled(twin)
    with _silenced():
        program = torch.onnx.export(
            module,
            example[: len(names)],
            input_names=names,
            output_names=["out"],
            dynamic_shapes=tuple({0: torch.export.Dim.DYNAMIC} for _ in names),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    return onnx.inliner.inline_local_functions(model) if model.functions else model


class _Unlabelled(torch.nn.Module):
    """The twin of an unconditional model as a function of x and t."""

    def __init__(self, twin: UNet) -> None:
        super().__init__()
        self.twin = twin

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return self.twin(x, t, torch.full_like(t, -1, dtype=torch.int64))


def compose(denoiser: ModelProto, config: Config, plan: np.ndarray) -> ModelProto:
    """The sampler of the contract around a denoiser; `plan` [S, 9] becomes the default of the input of that name."""
    guidance = float(config.diffusion.guidance) if config.model.classes else None
    text = sampler_text(config.data.shape, guidance)
    model = onnx.inliner.inline_local_functions(onnx.parser.parse_model(text))
    body = next(a.g for node in model.graph.node if node.op_type == "Loop" for a in node.attribute if a.name == "body")
    _splice(body, denoiser.graph)
    model.graph.initializer.append(numpy_helper.from_array(plan.astype(np.float32), "plan"))
    no_state = np.zeros((2, 0, *config.data.shape), np.float32)
    model.graph.initializer.append(numpy_helper.from_array(no_state, "state"))
    del model.opset_import[:]
    model.opset_import.append(onnx.helper.make_opsetid("", OPSET))
    del model.graph.value_info[:]
    onnx.checker.check_model(model)
    return model


def _splice(body: GraphProto, denoiser: GraphProto) -> None:
    """Replace the node `Network` of the loop's body by the denoiser's nodes, its weights in the body with them.

    There they must be: as initializers of the outer graph the layout optimiser of onnxruntime does not see them, and
    each step takes twice as long.
    """
    at = next(i for i, node in enumerate(body.node) if node.op_type == "Network")
    network = body.node[at]
    inputs = dict(zip((value.name for value in denoiser.input), network.input, strict=True))
    outputs = dict(zip((value.name for value in denoiser.output), network.output, strict=True))
    names = inputs | outputs
    inner = [_renamed(node, names) for node in denoiser.node]
    before, after = list(body.node[:at]), list(body.node[at + 1 :])
    del body.node[:]
    body.node.extend([*before, *inner, *after])
    for tensor in denoiser.initializer:
        copy = body.initializer.add()
        copy.CopyFrom(tensor)
        copy.name = _inner(tensor.name)


def _renamed(node: NodeProto, names: dict[str, str]) -> NodeProto:
    """A copy whose values live under 'net/', but for the denoiser's inputs and outputs."""

    def rename(values: Iterable[str]) -> list[str]:
        return [names.get(value, _inner(value)) if value else "" for value in values]

    copy = NodeProto()
    copy.CopyFrom(node)
    assert not any(a.HasField("g") for a in node.attribute), "the denoiser holds a subgraph; rename inside it too"
    copy.input[:], copy.output[:] = rename(node.input), rename(node.output)
    copy.name = _inner(node.name)
    del copy.metadata_props[:]  # the exporter's notes name this machine's files
    copy.doc_string = ""
    return copy


def _inner(name: str) -> str:
    return f"net/{name}"


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """The exporter talks of its own progress and deprecations; its errors still come through."""
    level = logging.getLogger("torch.onnx").level
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.getLogger("torch.onnx").setLevel(level)
