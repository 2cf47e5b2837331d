"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

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
threads_option = click.option(
    "--threads", type=click.IntRange(1, 1024), help="Threads of the runtime.  [default: as many as cores]"
)
provider_option = click.option(
    "--provider", metavar="NAME", help="onnxruntime's provider: cpu, cuda, directml, coreml.  [default: cpu]"
)
runtime_option = click.option(
    "--runtime",
    metavar="NAME",
    default="onnxruntime",
    help="onnxruntime, openvino, tract or reference; all but the first are checked against the file's certificate.",
)
