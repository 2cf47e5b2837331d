"""Explore: what `jaxgen latent` finds in a model, asked in a browser; and how to open the page of `jaxgen serve`."""

from __future__ import annotations

import json
import shlex
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import streamlit as st

from jaxgen.errors import JaxgenError, MissingExtra, UsageError
from jaxgen_serve.dashboard import background_jobs, loading
from jaxgen_serve.dashboard.models import ServedModel
from jaxgen_serve.dashboard.ui import show_image, title, told
from jaxgen_serve.models.registry import ENCODER

SECONDS = 120.0  # that one question to a model may take
DATA_SECONDS = 60.0
MAPPED = 1000  # images on a map
READ = "digits"
DOWNLOAD = ":material/download:"
OWN_FILE = "my own image"


@dataclass(frozen=True, kw_only=True)
class Question:
    """What follows `jaxgen latent`, but for the model and the output; file: an image that somebody uploaded."""

    command: str
    words: tuple[str, ...]
    file: tuple[str, bytes] | None = None  # name, content


def page() -> None:
    """The whole page."""
    title("Explore", "Behind each image lies a point: the code of a VAE or GAN, or the noise of a diffusion model.")
    with told():
        left, right = st.columns([1, 2], vertical_alignment="bottom")
        with left:
            model = loading.choose(key="explore")
        if model is None:
            return
        with right:
            loading.describe(model)
        # Only the one that is open runs, which tabs would not do.
        part = st.segmented_control("What", list(PARTS), default="Interpolation", required=True, key="part",
                                    label_visibility="collapsed")  # fmt: skip
        left, right = st.columns([1, 3], gap="large")
        with left:
            question = PARTS[str(part)](model)
        if question:
            with right:
                _answer(model, question)


def _interpolation(model: ServedModel) -> Question:
    a = st.number_input("From seed", 0, 2**32 - 1, 1, key="from")
    b = st.number_input("To seed", 0, 2**32 - 1, 2, key="to")
    rows = st.slider("Images of each seed", 1, 8, 3, key="rows")
    frames = st.slider("Steps of the way", 3, 24, 10, key="frames")
    path = st.selectbox("Way", ["spherical", "linear"], key="way", help="On the arc, noise keeps its length.")
    words = ("--seeds", f"{a},{b}", "--rows", str(rows), "--frames", str(frames), "--path", path)
    return Question(command="interpolate", words=(*words, *_label(model, "interpolate")))


def _reconstruction(model: ServedModel) -> Question | None:
    return _of_images("reconstruct", model, 8)


def _anomaly(model: ServedModel) -> Question | None:
    return _of_images("anomaly", model, 12)


def _map(model: ServedModel) -> Question | None:
    if model.sampler.config.process is not None:
        raise UsageError(f"{model.name} draws by a plan: a map needs short codes; use a VAE")
    flat = model.sampler.config.noise_shape == (2,)
    if flat and st.toggle("The whole plane, decoded", True, key="plane"):
        side = st.slider("Images a side", 5, 30, 16, key="side")
        return Question(command="map", words=("--method", "manifold", "--side", str(side), *_label(model, "map")))
    method = st.selectbox("Method", ["plain", "pca", "tsne"] if flat else ["pca", "tsne"], key="method")
    if not find_spec("sklearn"):
        raise MissingExtra("a map needs the images of a dataset; run: pip install 'jaxgen[train]'")
    words = ("--method", method, "--dataset", _dataset(model), "--count", str(MAPPED))
    return Question(command="map", words=words)


PARTS: dict[str, Callable[[ServedModel], Question | None]] = {
    "Interpolation": _interpolation,
    "Reconstruction": _reconstruction,
    "Anomaly": _anomaly,
    "Map": _map,
}


def _of_images(command: str, model: ServedModel, count: int) -> Question | None:
    """Of a dataset, or of an image that is uploaded; None as long as there is none."""
    source = _dataset(model, OWN_FILE)
    if source != OWN_FILE:
        first = int(st.number_input("From number", 0, 100_000, 0, count, key="first"))
        words: tuple[str, ...] = ("--dataset", source, "--first", str(first), "--count", str(count))
        return Question(command=command, words=(*words, *_label(model, command, needed=True)))
    uploaded = st.file_uploader("An image", type=["png", "jpg", "jpeg", "webp", "gif", "bmp"], key="image")
    words = ("--invert",) if st.checkbox("Dark on light, as on paper: swap", key="invert") else ()
    words += _label(model, command, needed=True)
    return Question(command=command, words=words, file=(uploaded.name, uploaded.getvalue())) if uploaded else None


def _label(model: ServedModel, key: str, *, needed: bool = False) -> tuple[str, ...]:
    """--label and a class, for models that have them; needed: the images' own where nobody says."""
    names = model.sampler.classes
    if not names:
        return ()
    nobody = "each image's own" if needed else "all in turn" if model.sampler.least_label == 0 else "none"
    chosen = st.selectbox("Class", [nobody, *names], key=f"{key} class {model.sampler.artifact.sha256}")
    return () if chosen == nobody else ("--label", chosen)


def _dataset(model: ServedModel, *others: str) -> str:
    """The model's own dataset if it is on this machine, or the digits, or one of the others."""
    own, sources = model.dataset, []
    if find_spec("sklearn"):  # part of what reading datasets needs
        sources = [own, READ] if own and own != READ and _ready(own) else [READ]
    return st.selectbox("Images", [*sources, *others], key=f"{own} images {others}")


def _answer(model: ServedModel, question: Question) -> None:
    """The image that the command draws, what it says besides, and the command."""
    with st.spinner("Asking the model", show_time=True):
        content, said = _asked(model.sampler.artifact.sha256, question, ".png", model)
    show_image(content)
    if "mean_absolute_error" in said:
        st.metric("Mean absolute error, pixels being from 0 to 1", f"{said['mean_absolute_error']:.4f}")
    if "scores" in said:
        rows = sorted(said["scores"], key=lambda row: -row["score"])
        form = {name: st.column_config.NumberColumn(format="%.1f") for name in ("score", "reconstruction", "kl")}
        st.caption("The strangest first, in nats; below each its reconstruction, and in red where they differ.")
        st.dataframe(rows, hide_index=True, column_config=form, width="stretch")
    elif "title" in said:
        st.caption(f"{said['points']} images, coloured by class. {said['title']}")
    with st.container(horizontal=True):
        st.download_button("PNG", content, f"{question.command}.png", on_click="ignore", icon=DOWNLOAD)
        if question.command == "interpolate" and st.button("GIF", icon=":material/animation:"):
            moving, _ = _asked(model.sampler.artifact.sha256, question, ".gif", model)
            st.download_button("Save the GIF", moving, "walk.gif", on_click="ignore", icon=DOWNLOAD)
            st.image(moving, width=160)
    with st.expander("In a terminal, and by hand"):
        st.caption("The first line asks this in a terminal; the second opens a page to draw by hand on, to complete "
                   "images and to drag a point over the map.")  # fmt: skip
        file = question.file[0] if question.file else None
        words = ["jaxgen", "latent", question.command, model.file, *([file] if file else []), *question.words]
        st.code(f"{shlex.join(words)}\n{shlex.join(['jaxgen', 'serve', model.file])}", language="console")


@st.cache_data(max_entries=32, show_spinner=False)
def _asked(sha256: str, question: Question, ending: str, _model: ServedModel) -> tuple[bytes, dict[str, Any]]:
    """What the command writes and says, asked once of a process of its own.

    Raises JaxgenError with its line, in which files have the names that people gave them.
    """
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / f"{Path(_model.name).name}.onnx"
        model.write_bytes(_model.sampler.artifact.data)
        if _model.encoder:
            model.with_suffix(ENCODER).write_bytes(_model.encoder.data)
        output, files = model.with_name(f"answer{ending}"), []
        if question.file:
            files.append(str(model.with_name(Path(question.file[0]).name)))
            Path(files[0]).write_bytes(question.file[1])
        words = ["latent", question.command, str(model), *files, *question.words, "-o", str(output), "--json"]
        try:
            said = background_jobs.run(words, deadline=SECONDS)
        except JaxgenError as err:
            line = str(err).replace(f"{folder}/", "").replace("give --label", "choose one")
            raise JaxgenError(line) from err
        return output.read_bytes(), json.loads(said.replace(f"{folder}/", ""))


@st.cache_data(ttl=60, show_spinner="Looking for its dataset")
def _ready(name: str) -> bool:
    """Whether a dataset lies on this machine: asked of a process, whose libraries stay out of this one."""
    try:
        said = json.loads(background_jobs.run(["data", "info", name, "--json"], deadline=DATA_SECONDS))
        return bool(said.get("ready") is True)
    except (JaxgenError, ValueError, AttributeError):
        return False
