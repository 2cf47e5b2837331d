"""The command jaxgen import: make a run of weights that PyTorch trained."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import click

from jaxgen.cli.help import command
from jaxgen.cli.options import preset_names, read_config
from jaxgen.cli.types import PATH, completes


@command("import", doing="importing")
@click.argument("weights", type=PATH)
@click.option(
    "--preset", metavar="NAME", shell_complete=completes(preset_names), help="A preset of their architecture."
)
@click.option("--config", "config_file", type=PATH, help="In place of --preset: a TOML config of their architecture.")
@click.option("--map", "names", multiple=True, metavar="THEIRS=OURS", help="Rename a weight, or a prefix of names.")
@click.option("-o", "--output", required=True, metavar="RUN", type=PATH, help="The folder of the new run.")
def import_(weights: Path, preset: str | None, config_file: Path | None, names: tuple[str, ...], output: Path) -> None:
    """Make a run from PyTorch weights: a state dict (.pth) or .safetensors of the same architecture.

    A state dict inside a checkpoint, as {"state_dict": ...}, is used if it is the only one.

    Images are then sampled in PyTorch from the file and in JAX from the run, and compared. A file that holds more than
    tensors is refused: nothing in it is executed.

    \b
    jaxgen import weights.pth --preset gan-mnist -o runs/theirs
    jaxgen import weights.pth --preset gan-mnist --map net=generator -o runs/theirs
    """
    from jaxgen import data
    from jaxgen.config.presets import preset as preset_named
    from jaxgen.errors import JaxgenError, UsageError, extra
    from jaxgen.files import read_bytes
    from jaxgen.inference.model_file import MAX_BYTES

    if bool(preset) == bool(config_file):
        raise UsageError("give --preset or --config: the architecture of the weights")
    config = preset_named(preset) if preset else read_config(config_file or Path())
    mapping = {}
    for name in names:
        theirs, equals, ours = name.partition("=")
        if not equals:
            raise UsageError(f"--map takes THEIRS=OURS, got {name!r}")
        mapping[theirs.rstrip(".")] = ours.rstrip(".")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with extra("export"):
        from jaxgen.training.restore import check_new, start_run
        from jaxgen_export.import_weights import compare, load_state

    check_new(output)
    twin, params = load_state(weights, config, mapping)
    same, line = compare(config, twin, params)
    if not same:
        raise JaxgenError(f"{weights}: JAX and PyTorch differ on these weights: {line}; no run was made")
    classes = data.info(config.data.dataset).classes if config.class_count else ()
    source = {"file": weights.name, "sha256": hashlib.sha256(read_bytes(weights, MAX_BYTES)).hexdigest()}
    start_run(config, params, output, classes=classes, source=source)
    click.echo(f"JAX and PyTorch agree on these weights: {line}", err=True)
    click.echo(output)
