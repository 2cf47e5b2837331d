"""Write a static site: the page, models and onnxruntime-web, which samples in the browser."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jaxgen import __version__
from jaxgen.errors import JaxgenError, UsageError
from jaxgen.files import read_bytes, write_atomically
from jaxgen.images import png_bytes
from jaxgen.inference import model_file as artifacts
from jaxgen.inference.model import Model
from jaxgen.inference.required_inputs import with_required_inputs
from jaxgen.latent import projection
from jaxgen.latent.spaces import Codes
from jaxgen.sampling.sampler_spec import SamplerSpec, can_make, choose
from jaxgen_serve.models.description import dataset, described
from jaxgen_serve.models.registry import ENCODER, classifier_of
from jaxgen_serve.web import PAGE
from jaxgen_serve.web.npm_packages import ONNXRUNTIME, ONNXRUNTIME_LICENSE, SITE

DESCRIPTION = "site.json"
STEPS = (5, 10, 20, 30, 50, 100, 200, 500, 1000)  # offered by a site, up to the model's own T
MAP_SIDE = 15  # images
NOT_KEPT = ("service-worker.js", "LICENSE")  # not cached by the service worker: no page requests them
API = re.compile(r'(<meta name="jaxgen-api" content=")[^"]*(">)')  # of index.html; empty: a static site
KEPT = re.compile(r"const SITE = \{.*\};")  # of service-worker.js


def write_site(models: Mapping[str, Path], folder: Path, *, say: Callable[[str], object] = lambda line: None) -> None:
    """Write the site of exported models into `folder`, whole or not at all; an earlier site there is replaced.

    models: the file of each, by its name on the page; encoders beside them are taken along. say: gets a line before
    each slow step. Raises UsageError if `folder` holds anything else, JaxgenError as `Model.open` and `Package.fetch`.
    """
    check_folder(folder)
    files = {path.name: path.read_bytes() for path in sorted(PAGE.iterdir()) if path.is_file()}
    descriptions = []
    for name, file in models.items():
        about, own = _described(file, name, "model" if len(models) == 1 else f"models/{name}")
        descriptions.append(about)
        files |= own
    for package in SITE:
        fetched = package.fetch(say)
        files |= {f"{package.place}/{name}": (fetched / name).read_bytes() for name in package.files}
    files["ort/LICENSE"] = ONNXRUNTIME_LICENSE.read_bytes()
    files["ort/files.json"] = json.dumps({"files": sorted(ONNXRUNTIME.files)}).encode()
    files["index.html"] = _replaced(API, r"\1\2", files["index.html"])
    listed = sorted([*files, DESCRIPTION])
    about = {"jaxgen": __version__, "files": listed, "models": descriptions}
    files[DESCRIPTION] = json.dumps(about, indent=1).encode()
    kept = {"version": _version(files), "files": ["./", *(name for name in listed if not name.endswith(NOT_KEPT))]}
    files["service-worker.js"] = _replaced(KEPT, f"const SITE = {json.dumps(kept)};", files["service-worker.js"])
    _write(files, folder)


def _described(file: Path, name: str, place: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The description of a model in site.json, and its files; place: their name without an ending."""
    model = Model(artifacts.read(file))
    data = with_required_inputs(model.artifact).data  # onnxruntime-web cannot override a default
    encoder, classifier = file.with_suffix(ENCODER), classifier_of(model)
    files = {f"{place}.onnx": data}
    own: dict[str, Any] = {"file": f"{place}.onnx"}
    if encoder.exists():
        own["encoder_file"] = f"{place}{ENCODER}"
        files[own["encoder_file"]] = artifacts.read(encoder).data
    if classifier:
        own["classifier_file"] = f"classifier-{dataset(model.artifact)}.onnx"
        files[own["classifier_file"]] = classifier.artifact.data
    if model.inference.process is not None:
        own["plans"] = plan_tables(model)
    elif model.noise_shape == (2,) and not model.classes:
        sheet, reach = projection.sheet(Codes(model), MAP_SIDE, None)
        files[f"{place}-map.png"] = png_bytes(sheet)
        own["map"] = {"file": f"{place}-map.png", "reach": reach}
    classes = classifier.classes if classifier else None
    about = described(
        model, name=name, size=len(data), encoder=encoder.exists(), classifier=classes, max_steps=max(STEPS)
    )
    return about | own, files


def check_folder(folder: Path) -> None:
    """Raise UsageError unless `folder` can be made, is empty, or holds an earlier site and nothing besides."""
    if not folder.exists():
        if not folder.resolve().parent.is_dir():
            raise UsageError(f"{folder}: there is no folder {folder.resolve().parent}; create it first")
        return
    if not folder.is_dir():
        raise UsageError(f"{folder}: expected a folder to write the site into, got a file")
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    foreign = sorted(names - _earlier(folder))
    if foreign:
        raise UsageError(
            f"{folder}: holds files that are not of an earlier site ({foreign[0]}); name a new or an empty folder"
        )


def plan_tables(model: Model) -> dict[str, dict[str, Any]]:
    """The plans that a page without a server offers: "ddim-50" -> {sampler, steps, eta, table}, float32 in base64."""
    process, own = model.process(), model.inference.plan
    assert own  # a model with a process has a plan
    about = described(model, name="", size=0, max_steps=max(STEPS))["plan"]
    offered = {own: None}
    for name in about["samplers"]:
        usual = choose(model.inference, sampler=name)
        counts = {about["steps"], about["max_steps"], min(usual.steps, about["max_steps"])}
        for steps in sorted(counts | {count for count in STEPS if count <= about["max_steps"]}):
            recipe = usual._replace(steps=steps)
            if can_make(process, recipe):
                offered[recipe] = None
    return {f"{recipe.sampler}-{recipe.steps}": _table(model, recipe) for recipe in offered}


def _table(model: Model, recipe: SamplerSpec) -> dict[str, Any]:
    table = model.table(recipe).astype("<f4").tobytes()
    return {**recipe._asdict(), "table": base64.b64encode(table).decode()}


def _earlier(folder: Path) -> set[str]:
    """The files that an earlier site lists."""
    try:
        about = json.loads(read_bytes(folder / DESCRIPTION, 2**26))
        return set(about["files"]) if "jaxgen" in about else set()
    except (JaxgenError, ValueError, KeyError, TypeError):
        return set()


def _replaced(pattern: re.Pattern[str], by: str, content: bytes) -> bytes:
    text, count = pattern.subn(by, content.decode())
    assert count == 1, f"expected one {pattern.pattern}, got {count}"
    return text.encode()


def _version(files: dict[str, bytes]) -> str:
    """A hash of all files, by which browsers notice that a cached site has changed."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(name.encode() + b"\0" + hashlib.sha256(files[name]).digest())
    return digest.hexdigest()[:16]


def _write(files: dict[str, bytes], folder: Path) -> None:
    """Write the files to a new folder, then rename it to `folder`."""
    target = folder.resolve()
    mark = secrets.token_hex(8)
    aside, old = (target.parent / f".{mark}.{kind}.tmp" for kind in ("new", "old"))
    try:
        for name, content in files.items():
            (aside / name).parent.mkdir(parents=True, exist_ok=True)
            write_atomically(aside / name, content)
        if target.exists():
            target.rename(old)
        try:
            aside.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)
            raise
    except OSError as err:
        raise JaxgenError(f"{folder}: cannot be written: {err.strerror}") from err
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
