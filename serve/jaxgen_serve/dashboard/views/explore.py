"""Explore: what lies between images, what a model makes of one, how strange it finds it, where all of them lie."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import altair as alt
import numpy as np
import streamlit as st

from jaxgen.errors import JaxgenError, MissingExtra, UsageError
from jaxgen.images import png_bytes
from jaxgen.latent import anomaly, interpolation, projection
from jaxgen.latent.inputs import Images
from jaxgen.latent.interpolation import PATHS
from jaxgen.latent.spaces import Space
from jaxgen_serve.dashboard import background_jobs, loading
from jaxgen_serve.dashboard.images import gif_of, strip
from jaxgen_serve.dashboard.models import ServedModel
from jaxgen_serve.dashboard.ui import show_image, title, told

SECONDS = 120.0  # that one question to a model may take
DATA_SECONDS = 60.0
MAPPED = 1000  # images on a map
READ = "digits"
DOWNLOAD = ":material/download:"
OWN_FILE = "my own image"


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
        PARTS[str(part)](model)


def _interpolation(model: ServedModel) -> None:
    left, right = st.columns([1, 3], gap="large")
    with left:
        a = st.number_input("From seed", 0, 2**32 - 1, 1, key="from")
        b = st.number_input("To seed", 0, 2**32 - 1, 2, key="to")
        rows = st.slider("Images of each seed", 1, 8, 3, key="rows")
        frames = st.slider("Steps of the way", 3, 24, 10, key="frames")
        path = st.selectbox("Way", list(PATHS)[::-1], key="way", help="On the arc, noise keeps its length.")
        label = _label(model, "interpolate")
    with right, st.spinner("Walking from one to the other", show_time=True):
        space = model.space(SECONDS)
        labels = space.labels(rows, label)
        walked = interpolation.between_seeds(space, [int(a), int(b)], rows, frames, PATHS[path], labels)[:, 0]
        show_image(strip(walked), f"seed {a} on the left, seed {b} on the right")
        gif = gif_of(walked[0])
        with st.container(horizontal=True, vertical_alignment="bottom"):
            st.image(gif, width=160, caption="the first row, moving")
            st.download_button("PNG", png_bytes(strip(walked)), "walk.png", on_click="ignore", icon=DOWNLOAD)
            st.download_button("GIF", gif, "walk.gif", on_click="ignore", icon=DOWNLOAD)


def _reconstruction(model: ServedModel) -> None:
    left, right = st.columns([1, 3], gap="large")
    space = model.space(SECONDS, exact=True)
    space.require_way_back()
    with left:
        images = _images(model, 8)
        label = _label(model, "reconstruct", needed=True)
    if images is None:
        return
    with right, st.spinner("Reading and drawing again", show_time=True):
        labels = _labels(space, images, label)
        again = space.decode(space.encode(images.images, labels), labels)
        error = np.abs(again.astype(float) - images.images).mean() / 255
        show_image(strip(np.stack([images.images, again])), "above: the images; below: what the model made of them")
        st.metric("Mean absolute error, pixels being from 0 to 1", f"{error:.4f}")


def _anomaly(model: ServedModel) -> None:
    left, right = st.columns([1, 3], gap="large")
    codes = model.space(SECONDS).codes()
    codes.require_way_back()
    with left:
        images = _images(model, 12)
        label = _label(model, "anomaly", needed=True)
    if images is None:
        return
    with right, st.spinner("Scoring", show_time=True):
        found = anomaly.score(codes, images.images, _labels(codes, images, label))
        order = np.argsort(-found.total, kind="stable")
        rows = anomaly.three_rows(images.images[order], found.again[order], columns=min(12, len(order)))
        show_image(strip(rows), "the strangest first; below: its reconstruction, and in red where they differ")
        table = [
            {"image": images.names[i], "class": images.called(int(images.labels[i])),
             "score, nats": float(found.total[i]), "reconstruction": float(found.reconstruction[i]),
             "kl": float(found.kl[i])} for i in order
        ]  # fmt: skip
        form = {name: st.column_config.NumberColumn(format="%.1f") for name in ("score, nats", "reconstruction", "kl")}
        st.dataframe(table, hide_index=True, column_config=form, width="stretch")


def _map(model: ServedModel) -> None:
    left, right = st.columns([1, 3], gap="large")
    space = model.space(SECONDS)
    codes = space.codes()
    flat = codes.shape == (2,)
    with left:
        whole = flat and st.toggle("The whole plane, decoded", True, key="plane")
        side = st.slider("Images a side", 5, 30, 16, key="side") if whole else 0
        label = _label(model, "map") if whole else None
        images = None if whole else _images(model, MAPPED, file=False)
    with right, st.spinner("Drawing the map", show_time=True):
        if whole:
            rows = projection.manifold(codes, side, space.labels(1, label))
            show_image(strip(rows), "the plane of latents, as the prior fills it")
        elif images is not None:
            latents = codes.encode(images.images, codes.labels_to_encode(images, None))
            points, words = projection.METHODS[projection.default(codes)](latents, 0)
            _scatter(points, images, words)


def _scatter(points: np.ndarray, images: Images, words: str) -> None:
    rows = [
        {"x": float(x), "y": float(y), "class": images.called(int(label))}
        for (x, y), label in zip(points, images.labels, strict=True)
    ]
    axis = alt.Axis(title=None, grid=False, labels=False, ticks=False)
    drawn = (
        alt.Chart(alt.Data(values=rows))
        .mark_circle(size=28, opacity=0.7)
        .encode(
            x=alt.X("x:Q", axis=axis), y=alt.Y("y:Q", axis=axis), tooltip=["class:N"],
            color=alt.Color("class:N", scale=alt.Scale(scheme="tableau10"), legend=alt.Legend(title=None)),
        )
        .properties(height=560)
    )  # fmt: skip
    st.altair_chart(drawn, width="stretch")
    st.caption(f"{len(points)} images, coloured by class. {words}")


PARTS: dict[str, Callable[[ServedModel], None]] = {
    "Interpolation": _interpolation,
    "Reconstruction": _reconstruction,
    "Anomaly": _anomaly,
    "Map": _map,
}


def _label(model: ServedModel, key: str, *, needed: bool = False) -> str | None:
    """A class, for models that have them; needed: the images' own where nobody says."""
    names = model.sampler.classes
    if not names:
        return None
    nobody = "each image's own" if needed else "all in turn" if model.sampler.least_label == 0 else "none"
    chosen = st.selectbox("Class", [nobody, *names], key=f"{key} class {model.sampler.artifact.sha256}")
    return None if chosen == nobody else chosen


def _labels(space: Space, images: Images, label: str | None) -> np.ndarray | None:
    try:
        return space.labels(len(images), label, images)
    except UsageError as err:
        raise UsageError(f"{space.model.artifact.path.stem} must be told the images' class: choose one") from err


def _images(model: ServedModel, count: int, *, file: bool = True) -> Images | None:
    """Of a dataset, or an image that is uploaded; None as long as there is none."""
    own = model.dataset
    sources: list[str] = []
    if find_spec("sklearn"):  # part of what reading datasets needs
        sources = [own, READ] if own and own != READ and _ready(own) else [READ]
    elif not file:
        raise MissingExtra("a map needs the images of a dataset; run: pip install 'jaxgen[train]'")
    source = st.selectbox("Images", [*sources, *([OWN_FILE] if file else [])], key=f"{own} images {file}")
    shape = model.sampler.shape
    if source != OWN_FILE:
        first = int(st.number_input("From number", 0, 100_000, 0, count, key="first")) if file else 0
        return _dataset(source, shape, first, count)
    uploaded = st.file_uploader("An image", type=["png", "jpg", "jpeg", "webp", "gif", "bmp"], key="image")
    invert = st.checkbox("Dark on light, as on paper: swap", key="invert")
    if uploaded is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"image{Path(uploaded.name).suffix.lower()}"
        path.write_bytes(uploaded.getvalue())
        try:
            found = Images.from_files([path], shape, invert=invert)
        except JaxgenError as err:
            raise JaxgenError(str(err).replace(str(path), uploaded.name)) from err
    return Images(images=found.images, labels=found.labels, names=[uploaded.name])


@st.cache_data(max_entries=32, show_spinner="Reading the images")
def _dataset(name: str, shape: tuple[int, int, int], first: int, count: int) -> Images:
    return Images.from_dataset(name, shape, split="test", first=first, count=count, data_dir=None)


@st.cache_data(ttl=60, show_spinner="Looking for its dataset")
def _ready(name: str) -> bool:
    """Whether a dataset lies on this machine: asked of a process, whose libraries stay out of this one."""
    try:
        return (
            json.loads(background_jobs.run(["data", "info", name, "--json"], deadline=DATA_SECONDS)).get("ready")
            is True
        )
    except (JaxgenError, ValueError, AttributeError):
        return False
