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


class ModelPath(click.Path):
    """The path of a model file, or the name of a model that comes with jaxgen."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from jaxgen.shipped import located

        return located(super().convert(value, param, ctx))


MODEL = "MODEL.onnx|NAME"
model_argument = click.argument("model", metavar=MODEL, type=ModelPath(path_type=Path))
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


class SamplerHelp(click.Option):
    """An option whose help names samplers: "{samplers}" and "{takers}", those that take eta, are filled in when the
    help is shown, since their tables load NumPy."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        from jaxgen.sampling.plan import FLOW_SAMPLERS, SAMPLERS

        samplers = "; ".join(", ".join(table) for table in (SAMPLERS, FLOW_SAMPLERS))
        takers = ", ".join(name for name, sampler in (SAMPLERS | FLOW_SAMPLERS).items() if sampler.takes_eta)
        record = super().get_help_record(ctx)
        return record and (record[0], record[1].format(samplers=samplers, takers=takers))


def runtime_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --threads, --runtime and --provider, which the command gets as `how`: `jaxgen.inference.runtime.How`."""

    @functools.wraps(command)
    def with_how(*, threads: int | None, runtime: str, provider: str | None, **options: Any) -> Any:
        return command(how={"threads": threads, "runtime": runtime, "provider": provider}, **options)

    for option in (_provider, _runtime, _threads):
        with_how = option(with_how)
    return with_how
