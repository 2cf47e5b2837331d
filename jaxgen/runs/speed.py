"""How fast configs trained on this machine, by which the time of the next run is told before it starts."""

from __future__ import annotations

import hashlib
import json
import statistics
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from jaxgen import config as configs
from jaxgen.config import Config
from jaxgen.errors import JaxgenError
from jaxgen.files import cache_folder, write_atomically
from jaxgen.runs.folder import RunFolder
from jaxgen.runs.metrics import Tail
from jaxgen.runs.status import read_status

MOST = 200  # configs that are remembered
OF_TRAINING = ("batch_size", "dtype", "optimizer", "scan_steps")  # what of a training section changes the speed


class Speed(NamedTuple):
    """images_per_second: the median of a run; steps_per_epoch: None for a run that counts in steps."""

    images_per_second: float
    steps_per_epoch: float | None

    def seconds(self, config: Config) -> float | None:
        """How long a run of this config takes; None if its number of steps is not known."""
        training = config.training
        steps = training.steps or (self.steps_per_epoch and self.steps_per_epoch * training.epochs)
        return steps * training.batch_size / self.images_per_second if steps else None


def remembered(config: Config) -> Speed | None:
    """How fast a config like this one trained here, if one did."""
    try:
        speed, per_epoch = _read()[_key(config)]
        return Speed(float(speed), None if per_epoch is None else float(per_epoch)) if float(speed) > 0 else None
    except (KeyError, TypeError, ValueError):
        return None


def remember(config: Config, run: RunFolder) -> None:
    """Keep the speed of a run, if it has one, in the user's cache; what cannot be kept is not."""
    curves = Tail(run.metrics_file).read()
    _, speeds = curves.get("images_per_second", ([], []))
    if not speeds or statistics.median(speeds) <= 0:
        return
    total, training = read_status(run, curves).total, config.training
    per_epoch = total / training.epochs if total and not training.steps else None
    known = _read()
    known.pop(_key(config), None)  # so that the newest stand last
    known[_key(config)] = [statistics.median(speeds), per_epoch]
    with suppress(OSError, JaxgenError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        write_atomically(_file(), json.dumps(dict(list(known.items())[-MOST:])).encode())


def _file() -> Path:
    return cache_folder() / "speeds.json"


def _read() -> dict[str, Any]:
    try:
        return dict(json.loads(_file().read_text()))
    except (OSError, ValueError, TypeError):
        return {}


def _key(config: Config) -> str:
    """What of a config decides how fast it trains: its data's shape, its network, its batches."""
    sections = configs.to_dict(config)
    training = {name: sections["training"][name] for name in OF_TRAINING}
    rest = {name: section for name, section in sections.items() if name not in ("name", "training")}
    return hashlib.sha256(json.dumps([rest, training], sort_keys=True, default=str).encode()).hexdigest()[:16]
