"""Options that several commands share."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from jaxgen.config import Config

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

        return located(os.fsdecode(super().convert(value, param, ctx)))


MODEL = "MODEL.onnx|NAME"
model_argument = click.argument("model", metavar=MODEL, type=ModelPath(path_type=Path))


def read_config(file: Path, base: Config | None = None) -> Config:
    """The config of a TOML file, as `jaxgen.config.load` reads it; a relative 'folder:PATH' is relative to the file."""
    from dataclasses import replace

    from jaxgen import config as configs
    from jaxgen.data.catalog import absolute

    config = configs.load(file, base)
    return replace(config, data=replace(config.data, dataset=absolute(config.data.dataset, file.parent)))


def _samplers() -> str:
    from jaxgen.sampling.plan import FLOW_SAMPLERS, SAMPLERS

    return "; ".join(", ".join(table) for table in (SAMPLERS, FLOW_SAMPLERS))


def _eta_samplers() -> str:
    from jaxgen.sampling.plan import FLOW_SAMPLERS, SAMPLERS

    return ", ".join(name for name, sampler in (SAMPLERS | FLOW_SAMPLERS).items() if sampler.takes_eta)


def _spacings() -> str:
    from jaxgen.sampling.spacing import SPACINGS

    return ", ".join(SPACINGS)


def _schedules() -> str:
    from jaxgen.sampling.process import SCHEDULES

    return ", ".join(SCHEDULES)


def _methods() -> str:
    from jaxgen.config.students import DEFAULT, METHODS

    return f"{'; '.join(f'{name}: {words}' for name, (words, _) in METHODS.items())}.  [default: {DEFAULT}]"


def _runtimes() -> str:
    from jaxgen.inference.runtime import RUNTIMES

    return ", ".join(RUNTIMES)


def _providers() -> str:
    from jaxgen.inference.runtimes.onnxruntime import PROVIDERS

    return ", ".join(PROVIDERS)


# What a help text may name in braces. The tables load NumPy, so they are read only when the help is shown.
TABLES: dict[str, Callable[[], str]] = {
    "samplers": _samplers,
    "eta_samplers": _eta_samplers,
    "spacings": _spacings,
    "schedules": _schedules,
    "methods": _methods,
    "runtimes": _runtimes,
    "providers": _providers,
}


class TableOption(click.Option):
    """An option whose help names the entries of a table: "{samplers}" and the other keys of `TABLES` are filled in
    when the help is shown."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        record = super().get_help_record(ctx)
        return record and (record[0], re.sub(r"\{(\w+)\}", lambda match: TABLES[match[1]](), record[1]))


spacing_option = click.option(
    "--spacing",
    cls=TableOption,
    metavar="NAME",
    help="The times of the plan: {spacings}.  [default: the model's, or trailing with --sampler]",
)
_threads = click.option(
    "--threads", type=click.IntRange(1, 1024), help="Threads of the runtime.  [default: as many as cores]"
)
_provider = click.option(
    "--provider", cls=TableOption, metavar="NAME", help="onnxruntime's provider: {providers}.  [default: cpu]"
)
_runtime = click.option(
    "--runtime",
    cls=TableOption,
    metavar="NAME",
    default="onnxruntime",
    help="{runtimes}; all but the first are checked against the file's certificate.",
)


def runtime_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --threads, --runtime and --provider, which the command gets as `how`: `jaxgen.inference.runtime.How`."""

    @functools.wraps(command)
    def with_how(*, threads: int | None, runtime: str, provider: str | None, **options: Any) -> Any:
        return command(how={"threads": threads, "runtime": runtime, "provider": provider}, **options)

    for option in (_provider, _runtime, _threads):
        with_how = option(with_how)
    return with_how
