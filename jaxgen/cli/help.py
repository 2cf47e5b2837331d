"""Commands whose help is grouped and whole, and which show on a terminal that they work."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import click

from jaxgen.cli.progress import KEY, ProgressBar

# Where an option stands in the help, by its parameter; what is in no line stands under "Options".
HEADINGS: dict[str, tuple[str, ...]] = {
    "Model": ("model_name", "preset", "untrained", "config_file", "settings"),
    "Images": (
        "count", "rows", "seed", "seeds", "first", "label", "guidance", "dataset", "split", "invert", "data_dir",
    ),
    "Sampler": ("sampler", "steps", "spacing", "eta"),
    "Latents": ("frames", "path", "refine", "encoder", "dimensions", "reach", "mask", "resample", "outlier", "show"),
    "Scores": ("extractor", "fit_extractor", "metrics", "samples", "compare", "eval_every", "eval_count"),
    "Run": ("out", "resume", "teacher", "classifier"),
    "Address": ("host", "port", "token", "cors"),
    "Requests": ("max_batch", "max_delay_ms", "max_queue", "deadline"),
    "Output": (
        "output", "gif", "scale", "columns", "palette", "sheet", "plot", "as_json", "network", "network_batch",
        "torchscript", "safetensors", "torch", "web",
    ),
    "Runtime": ("batch_size", "runtime", "provider", "threads"),
}  # fmt: skip
MANY = 7  # options of a command from which on they are grouped

COMMAND_HEADINGS: dict[str, tuple[str, ...]] = {
    "Use a model": ("models", "sample", "replay", "info", "verify", "eval", "latent", "bench", "serve"),
    "Train one": ("presets", "data", "train", "distill", "runs", "plot", "noise-gif", "dashboard"),
    "Make and change model files": ("export", "import", "tune", "compose", "adopt"),
}


def _grouped(names: Iterable[str], headings: Mapping[str, tuple[str, ...]], rest: str) -> dict[str, list[str]]:
    """The names under their headings, in the order of the headings; those without one under `rest`."""
    names = list(names)
    found = {heading: [name for name in own if name in names] for heading, own in headings.items()}
    known = {name for own in headings.values() for name in own}
    found[rest] = [name for name in names if name not in known]
    return {heading: own for heading, own in found.items() if own}


class Command(click.Command):
    """doing: what a terminal shows while the command works, such as "sampling"; None: it shows its progress itself."""

    def __init__(self, *arguments: Any, doing: str | None = "working", **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        self.doing = doing

    def invoke(self, ctx: click.Context) -> Any:
        if self.doing is None:
            return super().invoke(ctx)
        with ProgressBar(self.doing) as bar:
            ctx.meta[KEY] = bar
            return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        records = {
            param.name or "": record
            for param in self.get_params(ctx)
            if not isinstance(param, click.Argument) and (record := param.get_help_record(ctx))
        }
        headings = HEADINGS if len(records) > MANY else {}
        for heading, names in _grouped(records, headings, "Options").items():
            with formatter.section(heading):
                formatter.write_dl([records[name] for name in names])


class Group(click.Group):
    """Its commands stand under headings, each with its whole first sentence."""

    command_class = Command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        names = [name for name in self.list_commands(ctx) if not self.commands[name].hidden]
        headings = COMMAND_HEADINGS if ctx.parent is None else {}
        for heading, own in _grouped(names, headings, "Commands").items():
            with formatter.section(heading):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(limit=1000)) for name in own])


command = functools.partial(click.command, cls=Command)
group = functools.partial(click.group, cls=Group)
