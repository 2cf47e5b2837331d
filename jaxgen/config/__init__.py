"""The configuration of a run: frozen dataclasses, validated once, stored as TOML."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jaxgen.config import schema
from jaxgen.config.common import DataConfig, TrainingConfig
from jaxgen.config.families import DDPM, FAMILIES, GAN, VAE, Classifier, Config, Flow
from jaxgen.config.networks import ClassifierConfig, GANConfig, UNetConfig, VAEConfig
from jaxgen.config.objectives import DiffusionConfig, DistillationConfig, FlowConfig, GANObjective, VAEObjective
from jaxgen.config.renames import Say, renamed
from jaxgen.errors import UsageError, lookup

__all__ = [
    "DDPM", "FAMILIES", "GAN", "VAE", "Classifier", "ClassifierConfig", "Config", "DataConfig", "DiffusionConfig",
    "DistillationConfig", "Flow", "FlowConfig", "GANConfig", "GANObjective", "TrainingConfig", "UNetConfig",
    "VAEConfig", "VAEObjective", "all_keys", "differences", "dumps", "from_dict", "load", "override", "to_dict",
]  # fmt: skip


DEFAULT = "ddpm"  # the family of a config that names none


def to_dict(config: Config) -> dict[str, Any]:
    """The config as a nested dict of JSON and TOML values."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def from_dict(values: Mapping[str, Any]) -> Config:
    """The inverse of `to_dict`; missing keys keep their defaults.

    Raises UsageError on an unknown key (and names the nearest one), or a value of the wrong type or out of range.
    """
    family = values.get("family", DEFAULT)
    kind = _family(family)
    for key in values:
        if not any(known == key or known.startswith(f"{key}.") for known in schema.keys(kind)):
            raise _unknown(key, family)
    return schema.build(kind, values)


def _family(name: Any) -> type[Config]:
    return lookup(FAMILIES, str(name), "family")


def _unknown(key: str, family: str) -> UsageError:
    """The error for an unknown key, with the nearest key of this family, or the families that have this key."""
    err = schema.unknown(key, all_keys(family))
    owners = [name for name in FAMILIES if any(k == key or k.startswith(f"{key}.") for k in all_keys(name))]
    if not owners or family in owners:
        return err
    return UsageError(f"{err}; it is of family {' or '.join(map(repr, owners))}, and this is {family!r}")


def all_keys(family: str = DEFAULT) -> list[str]:
    """All settable keys of a family, dotted: 'training.lr', 'model.channels', ..."""
    return schema.keys(_family(family))


def override(config: Config, settings: Iterable[str]) -> Config:
    """`config` with each 'section.key=value' applied; values are TOML, and strings need no quotes.

    Raises UsageError on a malformed setting, an unknown key or a bad value.
    """
    values = to_dict(config)
    for setting in settings:
        key, equals, text = setting.partition("=")
        key = key.strip()
        if not equals:
            raise UsageError(f"--set takes KEY=VALUE, got {setting!r}")
        if key not in all_keys(config.family):
            raise _unknown(key, config.family)
        value = schema.parse_value(text.strip())
        if key == "family" and value != config.family:
            raise UsageError(f"family is {config.family!r} and cannot be set to {value!r}; choose another model")
        section, _, leaf = key.rpartition(".")
        (values[section] if section else values)[leaf] = value
    return from_dict(values)


def dumps(config: Config) -> str:
    """The config as TOML text; `load` returns an equal config."""
    values = to_dict(config)
    lines = [f"{key} = {schema.format_value(value)}" for key, value in values.items() if not isinstance(value, dict)]
    for section, table in values.items():
        if isinstance(table, dict):
            lines += ["", f"[{section}]", *(f"{key} = {schema.format_value(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def load(path: Path, base: Config | None = None, *, renames: Say | None = None) -> Config:
    """Read a TOML file; missing keys come from `base`, or from the defaults.

    renames: accept the old keys in `jaxgen.config.renames`, and call this with a line for each.
    Raises UsageError if the file cannot be read or holds an unknown key or a bad value.
    """
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as err:
        raise UsageError(f"{path}: cannot be read: {err.strerror}") from err
    except (ValueError, RecursionError) as err:  # not UTF-8, or not TOML
        raise UsageError(f"{path}: cannot be read as a TOML config: {err}") from err
    if renames is not None:
        values, changes = renamed(values)
        for change in changes:
            renames(f"{path}: {change}")
    family = values.get("family", base.family if base else DEFAULT)
    if base and family != base.family:
        raise UsageError(f"{path}: family is {family!r}, but {base.name} is of family {base.family!r}")
    merged = to_dict(base or _family(family)())  # type: ignore[call-arg]  # all fields of a family have defaults
    for key, value in values.items():
        section = merged.get(key)
        merged[key] = {**section, **value} if isinstance(value, dict) and isinstance(section, dict) else value
    return from_dict(merged)


def differences(old: Config, new: Config) -> dict[str, tuple[Any, Any]]:
    """The dotted keys that differ between two configs, with old and new values; None if a family has no such key."""
    a, b = _flat(to_dict(old)), _flat(to_dict(new))
    return {key: (a.get(key), b.get(key)) for key in a | b if a.get(key) != b.get(key)}


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= {f"{key}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {key: value}
    return flat
