"""The configuration of a run: frozen dataclasses, validated once, written to and read from TOML."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from jaxgen import schema
from jaxgen.errors import UsageError
from jaxgen.schema import require

LARGEST = 2**31 - 1  # step counters are int32 on the device


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    dataset: str = "digits"  # a name that `jaxgen data list` knows, or folder:PATH
    size: int = 8  # pixels a side; pictures are resized to it when they are loaded
    channels: Literal[1, 3] = 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of a picture."""
        return self.size, self.size, self.channels

    def __post_init__(self) -> None:
        require(1 <= self.size <= 1024, "data.size", "from 1 to 1024", self.size)


@dataclass(frozen=True, kw_only=True)
class UNetConfig:
    channels: int = 32  # width of the first level
    multipliers: tuple[int, ...] = (1, 2)  # width of each level, in units of `channels`; each level halves the size
    blocks: int = 2  # residual blocks a level
    attention: tuple[int, ...] = ()  # picture sizes at which levels attend to themselves
    heads: int = 4
    groups: int = 8  # of GroupNorm
    dropout: float = 0.0
    classes: int = 0  # 0: unconditional
    label_dropout: float = 0.1  # share of labels replaced by the null class in training (classes > 0)

    def __post_init__(self) -> None:
        positive = bool(self.multipliers) and min(self.multipliers) >= 1
        require(positive, "model.multipliers", "one or more integers >= 1", self.multipliers)
        for key in ("channels", "blocks", "heads", "groups"):
            require(getattr(self, key) >= 1, f"model.{key}", ">= 1", getattr(self, key))
        self._require_multiple(2, "2 (the time embedding is half sines, half cosines)")
        self._require_multiple(self.groups, f"model.groups ({self.groups})")
        if self.attention:
            self._require_multiple(self.heads, f"model.heads ({self.heads})")
        require(0 <= self.dropout < 1, "model.dropout", "in [0, 1)", self.dropout)
        require(0 <= self.label_dropout < 1, "model.label_dropout", "in [0, 1)", self.label_dropout)
        require(self.classes >= 0, "model.classes", ">= 0", self.classes)

    def _require_multiple(self, divisor: int, of: str) -> None:
        require(self.channels % divisor == 0, "model.channels", f"a multiple of {of}", self.channels)


@dataclass(frozen=True, kw_only=True)
class DiffusionConfig:
    steps: int = 1000  # T
    schedule: Literal["linear", "cosine", "sigmoid"] = "linear"
    beta_start: float = 1e-4  # linear schedule only
    beta_end: float = 0.02
    prediction: Literal["eps", "x0", "v"] = "eps"
    weighting: Literal["simple", "min-snr"] = "simple"
    min_snr_gamma: float = 5.0
    # The plan that an exported file runs unless told otherwise.
    sampler: Literal["ancestral", "ddim", "dpmpp-2m"] = "ddim"
    sampler_steps: int = 50
    eta: float = 0.0
    guidance: float = 1.0  # classifier-free guidance scale of that plan (model.classes > 0)

    def __post_init__(self) -> None:
        require(1 <= self.steps <= 100_000, "diffusion.steps", "from 1 to 100000", self.steps)
        require(0 < self.beta_end < 1, "diffusion.beta_end", "between 0 and 1", self.beta_end)
        up_to = f"above 0, up to diffusion.beta_end ({self.beta_end})"
        require(0 < self.beta_start <= self.beta_end, "diffusion.beta_start", up_to, self.beta_start)
        up_to = f"from 1 to diffusion.steps ({self.steps})"
        require(1 <= self.sampler_steps <= self.steps, "diffusion.sampler_steps", up_to, self.sampler_steps)
        require(0 <= self.eta <= 1, "diffusion.eta", "in [0, 1]", self.eta)
        require(self.sampler == "ddim" or not self.eta, "diffusion.eta", f"0 for {self.sampler}", self.eta)
        require(0 <= self.guidance <= 100, "diffusion.guidance", "from 0 to 100", self.guidance)
        require(self.min_snr_gamma > 0, "diffusion.min_snr_gamma", "> 0", self.min_snr_gamma)


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    steps: int = 0  # optimiser steps; 0: `epochs` decides
    epochs: int = 100
    batch_size: int = 128  # over all devices
    optimizer: Literal["adam", "adamw", "lion", "sgd"] = "adam"
    lr: float = 3e-4
    lr_schedule: Literal["constant", "cosine", "linear"] = "constant"
    warmup: int = 0  # steps of linear warm-up
    weight_decay: float = 0.0  # adamw and lion
    grad_clip: float = 1.0  # global norm; 0: off
    ema: float = 0.999  # decay of the averaged weights, the ones that are sampled and exported; 0: off
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"  # of the computation; auto: bfloat16 on GPU and TPU
    scan_steps: int = 0  # optimiser steps inside one compiled call; 0: as many as are fast on this device
    seed: int = 0
    log_every: int = 50
    checkpoint_every: int = 1000
    keep: int = 3  # newest checkpoints kept, besides the best
    sample_every: int = 0  # steps between sample grids; 0: each epoch
    sample_count: int = 64

    def __post_init__(self) -> None:
        for key in ("batch_size", "epochs", "log_every", "checkpoint_every", "keep", "sample_count"):
            require(1 <= getattr(self, key) <= LARGEST, f"training.{key}", "from 1 to 2^31 - 1", getattr(self, key))
        for key in ("steps", "scan_steps", "warmup", "sample_every"):
            require(0 <= getattr(self, key) <= LARGEST, f"training.{key}", "from 0 to 2^31 - 1", getattr(self, key))
        for key in ("weight_decay", "grad_clip"):
            require(getattr(self, key) >= 0, f"training.{key}", ">= 0", getattr(self, key))
        decays = self.optimizer in ("adamw", "lion")
        require(decays or not self.weight_decay, "training.weight_decay", f"0 for {self.optimizer}", self.weight_decay)
        require(self.lr > 0, "training.lr", "> 0", self.lr)
        require(0 <= self.ema < 1, "training.ema", "in [0, 1)", self.ema)
        require(0 <= self.seed < 2**32, "training.seed", "in [0, 2^32)", self.seed)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that a run depends on, besides the data itself."""

    name: str = "custom"
    family: Literal["ddpm"] = "ddpm"
    data: DataConfig = field(default_factory=DataConfig)
    model: UNetConfig = field(default_factory=UNetConfig)
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        plain = self.name.isprintable() and 0 < len(self.name) <= 100 and not {"/", "\\"} & set(self.name)
        require(plain and self.name not in (".", ".."), "name", "1 to 100 characters, fit for a folder", self.name)
        levels, size = len(self.model.multipliers), self.data.size
        shrink = 2 ** (levels - 1)
        require(size % shrink == 0, "data.size", f"a multiple of {shrink} for {levels} levels", size)
        sizes = [size // 2**level for level in range(levels)]
        among = f"among the levels' sizes {sizes}"
        require(set(self.model.attention) <= set(sizes), "model.attention", among, self.model.attention)
        guided, scale = self.model.classes > 0, self.diffusion.guidance
        require(guided or scale == 1, "diffusion.guidance", "1 without classes (model.classes = 0)", scale)


def to_dict(config: Config) -> dict[str, Any]:
    """Nested plain dict, as JSON and TOML take it."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def from_dict(values: Mapping[str, Any]) -> Config:
    """The inverse of `to_dict`; keys that are left out keep their defaults.

    Raises UsageError on an unknown key (the nearest one is named), a value of the wrong type or out of range.
    """
    return schema.build(Config, values)


def all_keys() -> list[str]:
    """Every settable key, dotted: 'training.lr', 'model.channels', ..."""
    return schema.keys(Config)


def override(config: Config, settings: Iterable[str]) -> Config:
    """`config` with each 'section.key=value' applied; values are written as in TOML, strings may go bare.

    Raises UsageError on a malformed setting, an unknown key or a bad value.
    """
    values = to_dict(config)
    for setting in settings:
        key, equals, text = setting.partition("=")
        key = key.strip()
        if not equals:
            raise UsageError(f"--set takes KEY=VALUE, got {setting!r}")
        if key not in all_keys():
            raise schema.unknown(key, all_keys())
        section, _, leaf = key.rpartition(".")
        (values[section] if section else values)[leaf] = schema.parse_value(text.strip())
    return from_dict(values)


def dumps(config: Config) -> str:
    """The config as TOML text that `load` reads back equal."""
    values = to_dict(config)
    lines = [f"{key} = {schema.format_value(value)}" for key, value in values.items() if not isinstance(value, dict)]
    for section, table in values.items():
        if isinstance(table, dict):
            lines += ["", f"[{section}]", *(f"{key} = {schema.format_value(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def load(path: Path, base: Config | None = None) -> Config:
    """Read a TOML file; keys that it leaves out come from `base`, or from the defaults.

    Raises UsageError if the file cannot be read or holds an unknown key or a bad value.
    """
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as err:
        raise UsageError(f"{path}: cannot be read: {err.strerror}") from err
    except (ValueError, RecursionError) as err:  # not UTF-8, or not TOML
        raise UsageError(f"{path}: cannot be read as a TOML config: {err}") from err
    merged = to_dict(base or Config())
    for key, value in values.items():
        section = merged.get(key)
        merged[key] = {**section, **value} if isinstance(value, dict) and isinstance(section, dict) else value
    return from_dict(merged)


def differences(old: Config, new: Config) -> dict[str, tuple[Any, Any]]:
    """The dotted keys in which two configs differ, each with its old and new value."""
    a, b = _flat(to_dict(old)), _flat(to_dict(new))
    return {key: (a[key], b[key]) for key in a if a[key] != b[key]}


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= {f"{key}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {key: value}
    return flat
