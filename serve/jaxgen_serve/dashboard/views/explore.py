"""The page Explore: commands of `jaxgen latent` as forms; and how to open the page of `jaxgen serve`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from importlib.util import find_spec

import streamlit as st

from jaxgen.errors import JaxgenError, MissingExtra, UsageError, install
from jaxgen.inference.classes import class_text
from jaxgen_serve.dashboard import background_jobs, loading
from jaxgen_serve.dashboard.commands import Command, answer
from jaxgen_serve.dashboard.models import LoadedModel
from jaxgen_serve.dashboard.ui import show_errors, show_image, title

DATA_SECONDS = 60.0
MAPPED = 1000  # images on a map
READ = "digits"
DOWNLOAD = ":material/download:"
OWN_FILE = "my own image"


def page() -> None:
    """The whole page."""
    title("Explore", "Behind each image lies a point: the code of a VAE or GAN, or the noise of a diffusion model.")
    with show_errors():
        left, right = st.columns([1, 2], vertical_alignment="bottom")
        with left:
            loaded = loading.choose(key="explore")
        if loaded is None:
            return
        with right:
            loading.describe(loaded)
        # Only the one that is open runs, which tabs would not do.
        part = st.segmented_control("What", list(PARTS), default="Interpolation", required=True, key="part",
                                    label_visibility="collapsed")  # fmt: skip
        left, right = st.columns([1, 3], gap="large")
        with left:
            command = PARTS[str(part)](loaded)
        if command:
            with right:
                _show(loaded, command)


def _interpolation(loaded: LoadedModel) -> Command:
    a = st.number_input("From seed", 0, 2**32 - 1, 1, key="from")
    b = st.number_input("To seed", 0, 2**32 - 1, 2, key="to")
    rows = st.slider("Images of each seed", 1, 8, 3, key="rows")
    frames = st.slider("Steps of the way", 3, 24, 10, key="frames")
    path = st.selectbox("Way", ["spherical", "linear"], key="way", help="On the arc, noise keeps its length.")
    words = ("--seeds", f"{a},{b}", "--rows", str(rows), "--frames", str(frames), "--path", path)
    return _latent("interpolate", (*words, *_label(loaded, "interpolate")))


def _reconstruction(loaded: LoadedModel) -> Command | None:
    return _of_images("reconstruct", loaded, 8)


def _anomaly(loaded: LoadedModel) -> Command | None:
    return _of_images("anomaly", loaded, 12)


def _map(loaded: LoadedModel) -> Command | None:
    if loaded.model.inference.process is not None:
        raise UsageError(f"{loaded.name} samples by a plan: a map needs short codes; use a VAE")
    flat = loaded.model.noise_shape == (2,)
    if flat and st.toggle("The whole plane, decoded", True, key="plane"):
        side = st.slider("Images a side", 5, 30, 16, key="side")
        return _latent("map", ("--method", "manifold", "--side", str(side), *_label(loaded, "map")))
    method = st.selectbox("Method", ["plain", "pca", "tsne"] if flat else ["pca", "tsne"], key="method")
    if not find_spec("sklearn"):
        raise MissingExtra(f"a map needs the images of a dataset; {install('train')}")
    words = ("--method", method, "--dataset", _dataset(loaded), "--count", str(MAPPED))
    return _latent("map", words)


PARTS: dict[str, Callable[[LoadedModel], Command | None]] = {
    "Interpolation": _interpolation,
    "Reconstruction": _reconstruction,
    "Anomaly": _anomaly,
    "Map": _map,
}


def _of_images(command: str, loaded: LoadedModel, count: int) -> Command | None:
    """The command on images of a dataset, or on an uploaded image; None as long as there is none."""
    source = _dataset(loaded, OWN_FILE)
    if source != OWN_FILE:
        first = int(st.number_input("From number", 0, 100_000, 0, count, key="first"))
        words: tuple[str, ...] = ("--dataset", source, "--first", str(first), "--count", str(count))
        return _latent(command, (*words, *_label(loaded, command, needed=True)))
    uploaded = st.file_uploader("An image", type=["png", "jpg", "jpeg", "webp", "gif", "bmp"], key="image")
    words = ("--invert",) if st.checkbox("Dark on light, as on paper: swap", key="invert") else ()
    words += _label(loaded, command, needed=True)
    return _latent(command, words, (uploaded.name, uploaded.getvalue())) if uploaded else None


def _latent(command: str, words: tuple[str, ...], file: tuple[str, bytes] | None = None) -> Command:
    return Command(verb=("latent", command), words=words, file=file)


def _label(loaded: LoadedModel, key: str, *, needed: bool = False) -> tuple[str, ...]:
    """--label and a class, for models that have them; needed: by default, each image's own class."""
    names = loaded.model.classes
    if not names:
        return ()
    default = "each image's own" if needed else "all in turn" if loaded.model.least_label == 0 else "none"
    chosen = st.selectbox("Class", [default, *names], key=f"{key} class {loaded.model.artifact.sha256}")
    return () if chosen == default else ("--label", class_text(names.index(chosen), names))


def _dataset(loaded: LoadedModel, *others: str) -> str:
    """The model's own dataset if it is on this machine, or the digits, or one of the others."""
    own, sources = loaded.dataset, []
    if find_spec("sklearn"):  # part of what reading datasets needs
        sources = [own, READ] if own and own != READ and _ready(own) else [READ]
    return st.selectbox("Images", [*sources, *others], key=f"{own} images {others}")


def _show(loaded: LoadedModel, command: Command) -> None:
    """Show the image that a command writes, its numbers, and the command itself."""
    try:
        with st.spinner("Running the model", show_time=True):
            result = answer(loaded, command, "answer.png", "--json")
    except JaxgenError as err:
        raise JaxgenError(str(err).replace("give --label", "choose one")) from err
    show_image(result.content)
    numbers = json.loads(result.printed)
    if "mean_absolute_error" in numbers:
        st.metric("Mean absolute error, pixels being from 0 to 1", f"{numbers['mean_absolute_error']:.4f}")
    if "scores" in numbers:
        rows = sorted(numbers["scores"], key=lambda row: -row["score"])
        form = {name: st.column_config.NumberColumn(format="%.1f") for name in ("score", "reconstruction", "kl")}
        st.caption("The strangest first, in nats; below each its reconstruction, and in red where they differ.")
        st.dataframe(rows, hide_index=True, column_config=form, width="stretch")
    elif "title" in numbers:
        st.caption(f"{numbers['points']} images, coloured by class. {numbers['title']}")
    with st.container(horizontal=True):
        st.download_button("PNG", result.content, f"{command.verb[1]}.png", on_click="ignore", icon=DOWNLOAD)
        if command.verb[1] == "interpolate" and st.button("GIF", icon=":material/animation:"):
            moving = answer(loaded, command, "walk.gif").content
            st.download_button("Save the GIF", moving, "walk.gif", on_click="ignore", icon=DOWNLOAD)
            st.image(moving, width=160)
    with st.expander("In a terminal, and by hand"):
        st.caption("The first line runs this in a terminal; the second opens a page to draw by hand on, to complete "
                   "images and to drag a point over the map.")  # fmt: skip
        serve = shlex.join(["jaxgen", "serve", loaded.file])
        st.code(f"{command.line(loaded)}\n{serve}", language="console", wrap_lines=True)


@st.cache_data(ttl=60, show_spinner="Looking for its dataset")
def _ready(name: str) -> bool:
    """Whether a dataset lies on this machine, by a command in a process of its own, so that this one loads no libraries
    of datasets."""
    try:
        described = json.loads(background_jobs.run(["data", "info", name, "--json"], deadline=DATA_SECONDS))
        return bool(described.get("ready") is True)
    except (JaxgenError, ValueError, AttributeError):
        return False
