"""Load models once for all visitors, by their hash; and the widgets to choose one."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from jaxgen.errors import JaxgenError
from jaxgen.inference.model import Model
from jaxgen.inference.model_file import Artifact
from jaxgen_serve.dashboard import models
from jaxgen_serve.dashboard.models import MAX_UPLOAD, LoadedModel
from jaxgen_serve.dashboard.ui import runs_as_given, runs_folder
from jaxgen_serve.models import registry, sandbox
from jaxgen_serve.models.registry import ENCODER

UPLOAD = "Upload a file"
TRIAL_SECONDS = 60.0  # for an uploaded file to sample its first image


@st.cache_resource(max_entries=6, show_spinner="Loading the model")
def opened(sha256: str, _artifact: Artifact) -> Model:
    """Load a model into onnxruntime, once."""
    return Model(_artifact)


@st.cache_resource(max_entries=12, show_spinner=False)
def artifact(path: str, name: str, changed: int, size: int) -> Artifact:
    """Read and check a file, again only when it has changed."""
    return registry.read(Path(path), name)


@st.cache_resource(max_entries=64, show_spinner="Trying the file")
def check_upload(sha256: str, _artifact: Artifact) -> None:
    """Run an untrusted file in a separate process before it is loaded into this one, once.

    Raises JaxgenError if it fails there.
    """
    sandbox.attempt(str(_artifact.path), _artifact.data, TRIAL_SECONDS, _artifact.inference.kind)


def load(path: Path, name: str) -> LoadedModel:
    """A model file, and the encoder beside it."""
    beside = path.with_name(path.stem + ENCODER)
    encoder = read(beside, f"{name}{ENCODER}") if beside.exists() else None
    artifact = read(path, f"{name}.onnx")
    return LoadedModel(name=name, model=opened(artifact.sha256, artifact), encoder=encoder, file=_as_given(path))


def choose(*, key: str) -> LoadedModel | None:
    """Let the user choose a model or upload one; None as long as there is none.

    Raises JaxgenError if the file is refused.
    """
    files = models.model_files(runs_folder())
    name = st.selectbox("Model", [*files, UPLOAD], key=f"{key} model")
    if name != UPLOAD:
        return load(files[name], name)
    uploaded = st.file_uploader(
        f"A jaxgen model.onnx, and for a VAE also its .encoder.onnx; {MAX_UPLOAD} MB at most",
        type=["onnx"], accept_multiple_files=True, key=f"{key} upload",
    )  # fmt: skip
    if not uploaded:
        if not files:
            st.info("There is no model yet: train one and export it on the page Runs, or upload a file here.")
        return None
    artifact, encoder = models.parse_uploads([(file.name, file.getvalue()) for file in uploaded])
    for file in (artifact, encoder):
        if file:
            check_upload(file.sha256, file)
    model = opened(artifact.sha256, artifact)
    return LoadedModel(name=artifact.path.stem, model=model, encoder=encoder, file=str(artifact.path))


def describe(loaded: LoadedModel) -> None:
    """Show a model's facts in one line, and its hash."""
    model = loaded.model
    file = model.artifact
    height, width, channels = model.shape
    classes = f"{len(model.classes)} classes" if model.classes else "no classes"
    colour = "colour" if channels == 3 else "grey"
    name, family, made_for = file.fact("name", str), file.fact("family", str), loaded.dataset
    facts = [
        f"**{name}**" if name else None, family, f"{height}x{width} {colour}", classes,
        f"made for {made_for}" if made_for else None, f"{len(file.data) / 1e6:.1f} MB",
    ]  # fmt: skip
    st.caption(f"{' · '.join(filter(None, facts))}  \nSHA-256 `{file.sha256}`")
    if model.untrained:
        st.warning("These are untrained, fresh weights: their samples mean nothing.", icon=":material/warning:")


def _as_given(path: Path) -> str:
    """The path as a user would type it: relative to where the dashboard was started, for a file among the runs."""
    runs = runs_folder()
    return str(Path(runs_as_given()) / path.relative_to(runs) if path.is_relative_to(runs) else path)


def read(path: Path, name: str) -> Artifact:
    """A file's artifact, cached while the file does not change."""
    try:
        stat = path.stat()
    except OSError as err:
        raise JaxgenError(f"{name}: cannot be read: {err.strerror}") from err
    return artifact(str(path), name, stat.st_mtime_ns, stat.st_size)
