"""The settings of a config for the form: their keys, kinds and meanings, taken from the dataclasses."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from jaxgen import config as configs, data
from jaxgen.config import Config, schema
from jaxgen.config.presets import PRESETS, for_dataset

FIELD = re.compile(r"^    (\w+): [^#\n]*(?:#\s*(.+))?$", re.MULTILINE)  # a line of a dataclass and the comment after it
WORDS = {"lr": "learning rate", "ema": "EMA", "dtype": "number type"}  # for abbreviated keys
FIRST = ("training.steps", "training.epochs", "training.batch_size", "training.lr")  # what people change most


@dataclass(frozen=True, kw_only=True)
class Setting:
    """key: dotted; kind: 'choice', 'integer', 'number' or 'text' (also lists of integers); value: the current one."""

    key: str
    kind: str
    value: Any
    choices: tuple[Any, ...] = ()
    meaning: str = ""

    @property
    def words(self) -> str:
        words = " ".join(WORDS.get(word, word) for word in self.key.rpartition(".")[2].split("_"))
        return words[:1].upper() + words[1:]


def settings(config: Config) -> dict[str, list[Setting]]:
    """Every setting of a config, by its section."""
    result = {}
    for name, hint in get_type_hints(type(config)).items():
        if dataclasses.is_dataclass(hint):
            result[name] = _section(name, getattr(config, name))
    return result


def changes(config: Config, values: Mapping[str, Any]) -> list[str]:
    """The values that differ from the config's own, as KEY=VALUE for --set.

    Raises UsageError, with the message of `jaxgen train`, if the config rejects them.
    """
    before = {setting.key: setting for group in settings(config).values() for setting in group}
    changed = [f"{key}={_text(value)}" for key, value in values.items() if value != before[key].value]
    configs.override(config, changed)
    return changed


def datasets() -> list[str]:
    """The datasets that presets are made for, the embedded one first, and all others of the catalog."""
    return list(dict.fromkeys([*(config.data.dataset for config in PRESETS.values()), *data.names()]))


def presets_for(dataset: str) -> list[str]:
    """The presets that are made for a dataset; [] if there is none."""
    return [name for name, config in PRESETS.items() if config.data.dataset == dataset]


def adapted(model_name: str, dataset: str) -> Config:
    """The config of `jaxgen train --model MODEL --dataset DATASET`; a folder of images is not read, so its size and
    channels are those of `presets.for_dataset`."""
    if dataset not in data.names():
        return for_dataset(model_name, dataset)
    info = data.info(dataset)
    height, _, channels = info.shape or (None, None, None)
    return for_dataset(model_name, dataset, size=height or 32, channels=channels or 3, class_count=len(info.classes))


def _section(section: str, values: Any) -> list[Setting]:
    kind = type(values)
    notes, fields = _comments(kind), kind.__dataclass_fields__
    result = []
    for name, hint in get_type_hints(kind).items():
        value = getattr(values, name)
        choices = get_args(hint) if get_origin(hint) is Literal else tuple(fields[name].metadata.get("choices", ()))
        choices = (False, True) if hint is bool else choices
        if choices:
            sort = "choice"
        elif get_origin(hint) is tuple:
            sort, value = "text", ", ".join(map(str, value))
        else:
            sort = {int: "integer", float: "number"}.get(hint, "text")
        meaning = notes.get(name, "")
        result.append(Setting(key=f"{section}.{name}", kind=sort, value=value, choices=choices, meaning=meaning))
    return result


def _comments(kind: type) -> dict[str, str]:
    """The comment after each field in the source; {} if there is no source."""
    try:
        return {name: note for name, note in FIELD.findall(inspect.getsource(kind)) if note}
    except OSError:
        return {}


def _text(value: Any) -> str:
    """A value in the syntax of --set; '1, 2' is a list of integers."""
    if isinstance(value, str):
        numbers = [word.strip() for word in value.strip("[]() ").split(",") if word.strip()]
        return f"[{', '.join(numbers)}]" if all(word.isdecimal() for word in numbers) else value
    return schema.format_value(value)
