"""Options that several commands share."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from jaxgen.cli.types import FilePath, IntRange, ModelPath

if TYPE_CHECKING:
    from jaxgen.config import Config

data_dir_option = click.option(
    "--data-dir",
    type=FilePath(exists=True, file_okay=False),  # a typo must not fetch everything again
    envvar="JAXGEN_DATA_DIR",
    show_envvar=True,
    help="The folder of datasets, where they are read or prepared.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, for programs.")
MODEL = "MODEL.onnx|NAME"
RUN_OR_MODEL = f"{MODEL}|RUN"
model_argument = click.argument("model", metavar=RUN_OR_MODEL, type=ModelPath())


def read_config(file: Path, base: Config | None = None) -> Config:
    """The config of a TOML file, as `jaxgen.config.load` reads it; a relative 'folder:PATH' is relative to the file."""
    from dataclasses import replace

    from jaxgen import config as configs
    from jaxgen.data.catalog import absolute

    config = configs.load(file, base)
    return replace(config, data=replace(config.data, dataset=absolute(config.data.dataset, file.parent)))


def _samplers() -> list[str]:
    from jaxgen.sampling.plan import FLOW_SAMPLERS, SAMPLERS

    return [*SAMPLERS, *FLOW_SAMPLERS]


def _samplers_in_words() -> str:
    from jaxgen.sampling.plan import FLOW_SAMPLERS, SAMPLERS

    return f"{_words(SAMPLERS)} for diffusion, {_words(FLOW_SAMPLERS)} for a flow"


def _eta_samplers() -> list[str]:
    from jaxgen.sampling.plan import FLOW_SAMPLERS, SAMPLERS

    return [name for name, sampler in (SAMPLERS | FLOW_SAMPLERS).items() if sampler.takes_eta]


def _spacings() -> Iterable[str]:
    from jaxgen.sampling.spacing import SPACINGS

    return SPACINGS


def _schedules() -> Iterable[str]:
    from jaxgen.sampling.process import SCHEDULES

    return SCHEDULES


def _methods() -> Iterable[str]:
    from jaxgen.config.students import METHODS

    return METHODS


def _methods_in_words() -> str:
    from jaxgen.config.students import DEFAULT, METHODS

    return f"{'; '.join(f'{name}: {words}' for name, (words, _) in METHODS.items())}.  [default: {DEFAULT}]"


def _runtimes() -> Iterable[str]:
    from jaxgen.inference.runtime import RUNTIMES

    return RUNTIMES


def _providers() -> Iterable[str]:
    from jaxgen.inference.runtimes.onnxruntime import PROVIDERS

    return PROVIDERS


def preset_names() -> Iterable[str]:
    from jaxgen.config.presets import PRESETS

    return PRESETS


def family_names() -> Iterable[str]:
    from jaxgen.config.presets import model_names

    return model_names()


def dataset_names() -> Iterable[str]:
    from jaxgen import data

    return data.names()


# What a help text may name in braces. The tables load NumPy, so they are read only when the help is shown.
NAMES: dict[str, Callable[[], Iterable[str]]] = {
    "samplers": _samplers,
    "eta_samplers": _eta_samplers,
    "spacings": _spacings,
    "schedules": _schedules,
    "methods": _methods,
    "runtimes": _runtimes,
    "providers": _providers,
}
IN_WORDS: dict[str, Callable[[], str]] = {"samplers": _samplers_in_words, "methods": _methods_in_words}


def _words(names: Iterable[str]) -> str:
    """'a', 'a or b', 'a, b or c'."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def _named(key: str) -> str:
    return IN_WORDS[key]() if key in IN_WORDS else _words(NAMES[key]())


class TableOption(click.Option):
    """An option whose help names the entries of a table, which a shell completes: "{samplers}" and the other keys of
    `NAMES` are filled in when the help is shown."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        record = super().get_help_record(ctx)
        return record and (record[0], re.sub(r"\{(\w+)\}", lambda match: _named(match[1]), record[1]))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        key = re.search(r"\{(\w+)\}", self.help or "")
        names = NAMES[key[1]]() if key and self.metavar == "NAME" else ()
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


sampler_option = click.option(
    "--sampler", cls=TableOption, metavar="NAME", help="The sampler: {samplers}.  [default: the model's]"
)
steps_option = click.option(
    "--steps", type=IntRange(1), metavar="N", help="Evaluations of the network for an image.  [default: the model's]"
)
spacing_option = click.option(
    "--spacing",
    cls=TableOption,
    metavar="NAME",
    help="How the steps are spread over time: {spacings}.  [default: the model's, or trailing with --sampler]",
)
_threads = click.option(
    "--threads", type=IntRange(1, 1024), help="How many threads the runtime uses.  [default: as many as cores]"
)
_provider = click.option(
    "--provider",
    cls=TableOption,
    metavar="NAME",
    help="The device that onnxruntime uses: {providers}.  [default: cpu]",
)
_runtime = click.option(
    "--runtime",
    cls=TableOption,
    metavar="NAME",
    default="onnxruntime",
    help="What runs the file: {runtimes}. All but the first must reproduce the file's certificate before.",
)


def runtime_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --threads, --runtime and --provider, which the command gets as `how`: `jaxgen.inference.runtime.How`."""

    @functools.wraps(command)
    def with_how(*, threads: int | None, runtime: str, provider: str | None, **options: Any) -> Any:
        return command(how={"threads": threads, "runtime": runtime, "provider": provider}, **options)

    for option in (_provider, _runtime, _threads):
        with_how = option(with_how)
    return with_how
