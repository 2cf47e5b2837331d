"""The inputs and outputs of a file's graph, derived from its inference section: the tables of README's "The file"."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto

from jaxgen.inference.manifest import Inference
from jaxgen.inference.network import input_names, output_name
from jaxgen.inference.predictor import OPTIONAL_OUTPUTS, OUTPUTS
from jaxgen.sampling.plan import COLUMNS

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
        return [Port("images", UINT8, (None, *image))]
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
