"""The inputs and outputs of a file's graph, and the plans and the guidance that it holds, derived from its inference
section: the tables of docs/file.md.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto, numpy_helper

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.inference.manifest import Inference
from jaxgen.inference.model_file import Artifact
from jaxgen.inference.network import input_names, output_name
from jaxgen.inference.predictor import OPTIONAL_OUTPUTS, OUTPUTS
from jaxgen.sampling import sampler_spec
from jaxgen.sampling.plan import COLUMNS
from jaxgen.sampling.sampler_spec import SamplerSpec

FLOAT, UINT8, INT64 = TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT64
ANY = -1  # any size that the file has; None is a size that each call chooses


class Port(NamedTuple):
    """An input or output: its name, the type of its elements, and its shape, with None or ANY for sizes."""

    name: str
    type: int
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        return f"{_type_name(self.type)} [{', '.join(_size(size) for size in self.shape)}]"


def inputs_of(inference: Inference) -> list[Port]:
    image = inference.image_shape
    if inference.kind in OUTPUTS:
        label = [Port("label", INT64, (None,))] if inference.takes_label else []
        return [Port("images", UINT8, (None, *image)), *label]
    assert inference.noise_shape
    if inference.kind == "network":
        rows = inference.batch
        ports = {
            "x": Port("x", FLOAT, (rows, *image)),
            "z": Port("z", FLOAT, (rows, *inference.noise_shape)),
            "t": Port("t", FLOAT, (rows,)),
            "label": Port("label", INT64, (rows,)),
        }
        return [ports[name] for name in input_names(inference)]
    by_plan, conditional = inference.process is not None, bool(inference.classes)
    return [
        Port("seed", INT64, (None,)),
        Port("index", INT64, (None,)),
        *([Port("label", INT64, (None,))] if conditional else []),
        *([Port("guidance", FLOAT, ())] if conditional and by_plan else []),
        *([Port("plan", FLOAT, (None, len(COLUMNS))), Port("state", FLOAT, (2, None, *image))] if by_plan else []),
        *([] if by_plan else [Port("latent", FLOAT, (None, *inference.noise_shape))]),
    ]


def input_names_of(inference: Inference) -> set[str]:
    return {port.name for port in inputs_of(inference)}


def outputs_of(inference: Inference) -> list[Port]:
    image = inference.image_shape
    if inference.kind in OUTPUTS:
        return [Port(name, FLOAT, (None, ANY)) for name in OUTPUTS[inference.kind]]
    if inference.kind == "network":
        return [Port(output_name(inference), FLOAT, (inference.batch, *image))]
    state = [Port("state_out", FLOAT, (2, None, *image))] if inference.process else []
    return [Port("images", UINT8, (None, *image)), *state]


def complaints(graph: GraphProto, inference: Inference) -> list[str]:
    """How a graph breaks the contract, in words; a size that the graph does not state fits any."""
    held = {tensor.name for tensor in graph.initializer}
    inputs, outputs = inputs_of(inference), outputs_of(inference)
    optional = {port.name for port in inputs}
    # Old tools list every weight among the inputs; those of the contract may have a default in the same way.
    given = [value for value in graph.input if value.name in optional or value.name not in held]
    return [*_compared("input", given, inputs), *_compared("output", graph.output, outputs)]


def other_values(graph: GraphProto, file: Artifact) -> str | None:
    """The first plan or guidance that is not what the inference section makes it, in words; None: there is none.

    Checked are the graph's defaults and the manifest's `plans`, but for a process or sampler that is not known here.
    Raises JaxgenError on a plan of the manifest that cannot be read.
    """
    inference = file.inference
    held = {one.name: numpy_helper.to_array(one) for one in graph.initializer if one.name in ("plan", "guidance")}
    scale = held.get("guidance")
    if inference.guidance is not None and scale is not None and not _close(scale, np.array(inference.guidance)):
        return f"its default guidance is {scale.tolist()}, and {inference.guidance} in its manifest"
    if inference.process is None or inference.plan is None:
        return None
    tables = list(_named_plans(file))
    tables += [("its default plan", inference.plan, held["plan"])] if "plan" in held else []
    for words, recipe, table in tables:
        if not sampler_spec.can_make(inference.process, recipe):
            continue
        try:
            expected = sampler_spec.table(inference.process, recipe)
        except UsageError as err:
            return f"{words} cannot be made: {err}"
        if not _close(table, expected):
            made = f"{recipe.steps} steps of {recipe.sampler}, eta {recipe.eta:g}"
            return f"{words} is not that of {made}, for the process in its manifest"
    return None


def _named_plans(file: Artifact) -> Iterator[tuple[str, SamplerSpec, np.ndarray]]:
    """What to call each of the manifest's plans, its recipe and its table; "default" has the inference section's."""
    plans: Any = file.manifest.get("plans")
    for name, plan in plans.items() if isinstance(plans, dict) else ():
        try:
            recipe = SamplerSpec(str(plan["sampler"]), int(plan["steps"]), float(plan["eta"]))
            table = np.frombuffer(base64.b64decode(plan["table"], validate=True), "<f4").reshape(-1, len(COLUMNS))
        except (ArithmeticError, KeyError, TypeError, ValueError) as err:
            raise JaxgenError(
                f"{file.path}: its manifest's plan {name[:60]!a} cannot be read; export it again"
            ) from err
        own = file.inference.plan if name == "default" else None
        yield f"its plan {name[:60]!a}", own or recipe, table


def _close(found: np.ndarray, expected: np.ndarray) -> bool:
    return found.shape == expected.shape and np.allclose(found, expected, rtol=1e-6, atol=1e-9)


def ignored(graph: GraphProto) -> list[str]:
    """The inputs that no output depends on: a tool put constants in their place, and feeding them changes nothing."""
    makers = {name: node for node in graph.node for name in node.output}
    pending, used = [value.name for value in graph.output], set[str]()
    while pending:
        name = pending.pop()
        if name in used:
            continue
        used.add(name)
        if name in makers:
            pending += _read_by(makers[name])
    return [value.name for value in graph.input if value.name not in used]


def _read_by(node: NodeProto) -> list[str]:
    """The names that a node reads, those that its inner graphs take from outside included."""
    inner = [attribute.g for attribute in node.attribute if attribute.HasField("g")]
    captured = [name for graph in inner for part in graph.node for name in _read_by(part)]
    return [*node.input, *captured, *(value.name for graph in inner for value in graph.output)]


def _compared(what: str, given: Iterable[ValueInfoProto], wanted: list[Port]) -> list[str]:
    ports = {value.name: value for value in given}
    names = {port.name for port in wanted}
    missing = [port for port in wanted if port.name not in ports and port.name not in OPTIONAL_OUTPUTS]
    lines = [f"it has no {what} {port.name!r} ({port})" for port in missing]
    lines += [f"it has an {what} {name!r} that is not of the contract" for name in ports if name not in names]
    order = [port.name for port in wanted if port.name in ports]
    if what == "output" and not lines and list(ports) != order:
        lines.append(f"its outputs are {', '.join(ports)}, expected {', '.join(order)}")
    for port in wanted:
        if port.name in ports and not _fits(ports[port.name], port):
            lines.append(f"its {what} {port.name!r} is {_port(ports[port.name])}, expected {port}")
    return lines


def _fits(value: ValueInfoProto, port: Port) -> bool:
    actual = _port(value)
    if actual.type != port.type:
        return False
    if not value.type.tensor_type.HasField("shape"):
        return True
    if len(actual.shape) != len(port.shape):
        return False
    stated = _stated(value)
    return all(size is None or want == ANY or size == want for size, want in zip(stated, port.shape, strict=True))


def _port(value: ValueInfoProto) -> Port:
    return Port(value.name, value.type.tensor_type.elem_type, tuple(_stated(value)))


def _stated(value: ValueInfoProto) -> list[int | None]:
    return [size.dim_value if size.HasField("dim_value") else None for size in value.type.tensor_type.shape.dim]


def _size(size: int | None) -> str:
    return "N" if size is None else "any" if size == ANY else str(size)


def _type_name(number: int) -> str:
    """NumPy's name of a type: 'float32' for FLOAT."""
    name = TensorProto.DataType.Name(number).lower()
    return {"float": "float32", "double": "float64", "undefined": "of no tensor type"}.get(name, name)
