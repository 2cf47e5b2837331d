"""The summary of an image that `jaxgen info` prints: how it was made, and the command that makes it again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxgen.errors import JaxgenError

FLAGS = {"guidance": "--guidance", "columns": "--columns", "scale": "--scale"}  # of `jaxgen sample`


def image_summary(record: Mapping[str, Any], image: Path) -> dict[str, str]:
    """A row for each thing that the record of a PNG says."""
    name = _shipped_name(record.get("model"))
    model = f"{str(record.get('model'))[:12]}..." + (f", which is {name}" if name else "")
    if "command" in record:
        return {"made by": f"jaxgen latent {record['command']}", "model": model} | _rest(record, "model", "command")
    if "latent" in record:
        return {"made by": "decoding a latent", "model": model} | _rest(record, "model")
    rows = {"made by": "jaxgen sample", "model": model} | _rest(record, "model", "plan")
    plan = record.get("plan")
    if isinstance(plan, dict):
        rows["plan"] = ", ".join(f"{key} {value}" for key, value in plan.items())
    if record.get("label") == -1:
        rows["label"] = "none"
    rows["again"] = _command(record, name or "MODEL.onnx")
    rows["compare"] = shlex.join(["jaxgen", "replay", str(image), "--model", name or "MODEL.onnx"])
    return rows


def _rest(record: Mapping[str, Any], *without: str) -> dict[str, str]:
    return {key: _text(value) for key, value in record.items() if key not in without and value is not None}


def _text(value: Any) -> str:
    words = list(map(str, value)) if isinstance(value, list) else [str(value)]
    return ", ".join(words[:16]) + (f", ... ({len(words)})" if len(words) > 16 else "")


def _command(record: Mapping[str, Any], model: str) -> str:
    """The command that samples it again."""
    words = ["jaxgen", "sample", model]
    for key, flag in {"count": "-n", "seed": "--seed", "index": "--first"}.items():
        words += [flag, str(record.get(key))] if record.get(key) or key != "index" else []
    label, plan = record.get("label"), record.get("plan")
    if label not in (-1, None):
        words += ["--label", ",".join(map(str, label)) if isinstance(label, list) else str(label)]
    if isinstance(plan, dict):
        words += [word for key, value in plan.items() for word in (f"--{key}", str(value)) if value is not None]
    words += [word for key, flag in FLAGS.items() if record.get(key) is not None for word in (flag, str(record[key]))]
    if palette := record.get("palette"):
        words += ["--palette", f"FILE of its {len(palette)} colours"]
    return shlex.join(words)


def _shipped_name(sha256: object) -> str | None:
    """The name of the shipped model with this hash, if there is one."""
    from jaxgen import shipped
    from jaxgen.inference.model_file import read

    for name, path in shipped.models().items():
        try:
            if read(path).sha256 == sha256:
                return name
        except JaxgenError:
            continue
    return None
