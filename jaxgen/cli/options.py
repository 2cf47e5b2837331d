"""Options that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, exists=True, file_okay=False),  # a typo must not fetch everything again
    envvar="JAXGEN_DATA_DIR",
    show_envvar=True,
    help="The folder of datasets, where they are read or prepared.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
model_argument = click.argument("model", metavar="MODEL.onnx", type=click.Path(path_type=Path))
_threads = click.option(
    "--threads", type=click.IntRange(1, 1024), help="Threads of the runtime.  [default: as many as cores]"
)
_provider = click.option(
    "--provider", metavar="NAME", help="onnxruntime's provider: cpu, cuda, directml, coreml.  [default: cpu]"
)
_runtime = click.option(
    "--runtime",
    metavar="NAME",
    default="onnxruntime",
    help="onnxruntime, openvino, tract or reference; all but the first are checked against the file's certificate.",
)


def runtime_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --threads, --runtime and --provider, which the command gets as `how`: `jaxgen.inference.runtime.How`."""

    @functools.wraps(command)
    def with_how(*, threads: int | None, runtime: str, provider: str | None, **options: Any) -> Any:
        return command(how={"threads": threads, "runtime": runtime, "provider": provider}, **options)

    for option in (_provider, _runtime, _threads):
        with_how = option(with_how)
    return with_how
