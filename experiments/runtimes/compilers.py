"""Libraries that make something else of an ONNX file and run that, as in readers.py, for the sizes of the feeds."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

Feeds = dict[str, np.ndarray]
Run = Callable[[], np.ndarray]
UNSUPPORTED = "Not Support"  # says MNN of an operator, and goes on


def iree(path: str, feeds: Feeds, output: str) -> Run:
    import iree.runtime as library

    _do([_program("iree-import-onnx"), path, "-o", "model.mlir"], "error")
    _do(
        [_program("iree-compile"), "model.mlir", "--iree-hal-target-device=local", "-o", "model.vmfb",
         "--iree-hal-local-target-device-backends=llvm-cpu", "--iree-llvmcpu-target-cpu=host"],
        'name = "onnx.', "error",
    )  # fmt: skip
    module = library.load_vm_flatbuffer_file("model.vmfb", driver="local-sync")
    graph = next(name for name in module.vm_module.function_names if "$" not in name and not name.startswith("_"))
    function = getattr(module, graph)
    return lambda: np.asarray(function(*feeds.values()))


def mnn(path: str, feeds: Feeds, output: str) -> Run:
    """Its `mnnconvert` would install a package that reports its use: what it calls is called here."""
    converter = "import sys, _tools; _tools.mnnconvert(sys.argv)"
    converted = Path("model.mnn")
    converted.unlink(missing_ok=True)
    _do(
        [sys.executable, "-c", converter, "-f", "ONNX", "--modelFile", path, "--MNNModel", converted,
         "--keepInputFormat", "1", "--bizCode", "model"],
        UNSUPPORTED,
    )  # fmt: skip
    if not converted.exists():
        raise RuntimeError("its converter writes no file and does not say why")
    import MNN.expr as expr
    import MNN.nn as nn

    manager = nn.create_runtime_manager(({"backend": "CPU", "numThread": 1, "precision": "high"},))
    module = nn.load_module_from_file(str(converted), list(feeds), [output], runtime_manager=manager)

    def variable(value: np.ndarray) -> object:
        value = value.astype(np.int32) if value.dtype == np.int64 else value  # it has no others
        kind = expr.int if value.dtype == np.int32 else expr.float
        return expr.const(value, list(value.shape), expr.NCHW, kind)

    def run() -> np.ndarray:
        result = module.forward([variable(value) for value in feeds.values()])
        result = result[0] if isinstance(result, list | tuple) else result
        return np.array(expr.convert(result, expr.NCHW).read())

    return run


def tvm(path: str, feeds: Feeds, output: str) -> Run:
    import onnx
    import tvm as library
    from tvm import relax
    from tvm.relax.frontend.onnx import from_onnx
    from tvm.target.codegen import llvm_get_system_cpu

    sizes = {name: list(value.shape) for name, value in feeds.items()}
    module = from_onnx(onnx.load(path), shape_dict=sizes, keep_params_in_input=False)
    target = library.target.Target({"kind": "llvm", "mcpu": llvm_get_system_cpu()})
    machine = relax.VirtualMachine(library.compile(module, target=target), library.cpu())
    inputs = [library.runtime.tensor(value) for value in feeds.values()]

    def run() -> np.ndarray:
        result = machine["main"](*inputs)
        return (result if hasattr(result, "numpy") else result[0]).numpy()

    return run


def emx(path: str, feeds: Feeds, output: str) -> Run:
    """To C, then by the C compiler of the machine."""
    import onnx

    graph = onnx.load(path).graph
    constants = {tensor.name for tensor in graph.initializer}  # inputs with a default are that to it, too
    sizes = {
        size.dim_param: feeds[value.name].shape[axis]
        for value in graph.input
        for axis, size in enumerate(value.type.tensor_type.shape.dim)
        if size.dim_param and value.name not in constants
    }
    fixed = [part for name, size in sizes.items() for part in ("--input-dim", f"{name}={size}")]
    Path("model.bin").unlink(missing_ok=True)
    command = [_program("emx-onnx-cgen"), "compile", "--color", "never", "--model-name", "model", *fixed]
    _do([*command, path, "model.c"], "Result:")
    _do(["gcc", "-O3", "-march=native", "-shared", "-fPIC", "-o", "model.so", "model.c", "-lm"], "error")
    library = ctypes.CDLL(str(Path("model.so").absolute()))
    if Path("model.bin").exists():
        library.model_load.restype = ctypes.c_bool
        if not library.model_load(b"model.bin"):
            raise RuntimeError("it cannot load its weights")
    results = {
        value.name: np.zeros(
            [size.dim_value or sizes[size.dim_param] for size in value.type.tensor_type.shape.dim],
            onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type),
        )
        for value in graph.output
    }
    pointers = [ctypes.c_void_p(value.ctypes.data) for value in (*feeds.values(), *results.values())]

    def run() -> np.ndarray:
        library.model(*pointers)
        return results[output]

    return run


def _program(name: str) -> Path:
    """Of this environment."""
    return Path(sys.executable).parent / name


def _do(command: list[str | Path], *told: str) -> None:
    """Run a command; told: what the line has that says why it fails, the best first; UNSUPPORTED: it has failed."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).strip().splitlines()
    why = [line[line.index(words) :] for words in told for line in lines if words in line]
    if done.returncode or (why and UNSUPPORTED in told):
        raise RuntimeError(why[0] if why else (lines or [f"{Path(command[0]).name} crashes"])[-1])
