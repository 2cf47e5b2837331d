"""The page Generate: choose a model, a class and a count, see the images and download them."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from functools import partial

import numpy as np
import streamlit as st

from jaxgen.files import zipped
from jaxgen.images import png_bytes_text, png_pixels
from jaxgen.inference.classes import class_text
from jaxgen.inference.model import Model
from jaxgen.inference.provenance import PROVENANCE_KEY, Provenance, parse_provenance
from jaxgen.sampling import sampler_spec
from jaxgen.sampling.process import MAX_GUIDANCE
from jaxgen_serve.dashboard import loading
from jaxgen_serve.dashboard.commands import Command, answer
from jaxgen_serve.dashboard.models import LoadedModel
from jaxgen_serve.dashboard.ui import show_errors, show_image, title

MOST = 256  # images at once
SINGLY = 40  # images that are shown one by one; more are shown as a sheet
SIDE = 120  # pixels of an image on the page: five fit beside the settings
NEW_SEEDS = 1_000_000  # few enough digits to read out
PUNKS = "cryptopunks"
ALL = "all in turn"
DOWNLOAD = ":material/download:"


@dataclass(frozen=True, kw_only=True)
class Generation:
    """A command for the model of this hash; captions: of each image, unless they are shown as one sheet."""

    sha256: str
    command: Command
    seed: int
    captions: list[str]


def page() -> None:
    """The whole page."""
    title("Generate", "The same file, seed and settings give the same images, here and anywhere else.")
    left, right = st.columns([4, 8], gap="large")
    loaded = None
    with left, show_errors():
        with st.container(border=True):
            loaded = loading.choose(key="generate")
            submitted = _form(loaded) if loaded else None
        if loaded:
            loading.describe(loaded)
        if submitted:
            st.session_state["generation"] = submitted
            st.session_state.pop("moving", None)
    with right, show_errors():
        generation: Generation | None = st.session_state.get("generation")
        if generation and loaded and generation.sha256 == loaded.model.artifact.sha256:
            _show(generation, loaded)
        elif loaded:
            st.info("Choose on the left, then generate.", icon=":material/brush:")


def _form(loaded: LoadedModel) -> Generation | None:
    """The form's settings; None until the button is pressed."""
    model, punks = loaded.model, loaded.dataset == PUNKS
    if punks:
        st.subheader("CryptoPunks generator", anchor=False)
    label = _label(model)
    many, seeded = st.columns([5, 6])
    count = int(many.number_input("How many", 1, MOST, 5, key="count"))
    st.session_state.setdefault("seed", secrets.randbelow(NEW_SEEDS))
    with seeded:
        seed = int(st.number_input("Seed", 0, 2**32 - 1, key="seed", help="The same seed gives the same images."))
    fresh = st.checkbox("A new seed each time", True, key="fresh")
    how = _how(model)
    what = ("punk" if punks else "image") + ("" if count == 1 else "s")
    pressed = st.button(
        f"Generate {count} {what}", type="primary", icon=":material/brush:", width="stretch", key="generate",
        on_click=_new_seed if fresh else None,
    )  # fmt: skip
    if not pressed:
        return None
    seed = int(st.session_state.get("seed", seed))
    chosen = () if label is None else ("--label", label if label == "all" else class_text(int(label), model.classes))
    words = ("-n", str(count), "--seed", str(seed), *chosen, *how)
    return Generation(
        sha256=model.artifact.sha256, command=Command(verb=("sample",), words=words), seed=seed,
        captions=[_caption(model, label, i) for i in range(count)] if count <= SINGLY else [],
    )  # fmt: skip


def _caption(model: Model, label: str | int | None, index: int) -> str:
    if label is None:
        return f"#{index}"
    return f"#{index}, class {model.classes[index % len(model.classes) if label == 'all' else int(label)]}"


def _new_seed() -> None:
    st.session_state["seed"] = secrets.randbelow(NEW_SEEDS)


def _label(model: Model) -> str | int | None:
    """The class that was chosen, a number; 'all'; or None for none."""
    if not model.classes:
        return None
    digits = len(model.classes) == 10 and all(name.isdecimal() for name in model.classes)
    chosen = st.pills(
        "Which digit" if digits else "Which class", [*range(len(model.classes)), ALL],
        default=ALL, format_func=lambda value: value if value == ALL else model.classes[value],
        key=f"class of {model.artifact.sha256}",
    )  # fmt: skip
    if chosen is None:
        return None if model.least_label == -1 else "all"
    return "all" if chosen == ALL else int(chosen)


def _how(model: Model) -> tuple[str, ...]:
    """Plan and guidance, for models that have them, as options of the command."""
    process, own = model.inference.process, model.inference.plan
    if process is None or own is None:
        return ()
    key = model.artifact.sha256
    with st.expander(f"Sampler: {own.sampler}, {own.steps} steps"):
        names = sampler_spec.samplers(model.inference)
        name = st.selectbox("Sampler", names, index=names.index(own.sampler), key=f"sampler {key}")
        usual = sampler_spec.choose(model.inference, sampler=name)
        free = sampler_spec.can_make(process, usual)  # else the file has this one plan of it
        least, most = (1, process.max_steps) if free else (own.steps, own.steps)
        steps = int(st.number_input("Steps", least, most, min(usual.steps, most), key=f"steps {name} {key}"))
        words = ["--sampler", name, "--steps", str(steps)]
        if sampler_spec.takes_eta(process, name):
            eta = st.slider(f"Noise of {name} (eta)", 0.0, 1.0, float(usual.eta), key=f"eta {name} {key}")
            words += ["--eta", f"{eta:g}"]
        if (scale := model.inference.guidance) is not None:
            guidance = st.number_input("Guidance", 0.0, float(MAX_GUIDANCE), scale, 0.5, key=f"guidance {key}")
            words += ["--guidance", f"{guidance:g}"]
    return tuple(words)


def _show(generation: Generation, loaded: LoadedModel) -> None:
    command, singly = generation.command, generation.captions
    with st.spinner("Sampling", show_time=True):
        result = answer(loaded, command, "images/" if singly else "sheet.png")
    if singly:
        with st.container(horizontal=True, key="images"):
            for content, caption in zip(result.files.values(), singly, strict=True):
                show_image(_enlarged(png_pixels(content, caption)), caption, width="content")
    else:
        show_image(result.content, width="content")
    made = Provenance(model=generation.sha256, seed=generation.seed, untrained=loaded.model.untrained)
    called = partial(made.batch_name, loaded.name)
    with st.container(horizontal=True):
        st.download_button(
            "PNG", lambda: answer(loaded, command, "sheet.png").content, called("-sheet.png"), "image/png",
            on_click="ignore", icon=DOWNLOAD,
        )  # fmt: skip
        st.download_button(
            "ZIP", lambda: zipped(answer(loaded, command, "images/").files.items()), called(".zip"),
            "application/zip", on_click="ignore", icon=DOWNLOAD,
        )  # fmt: skip
        if loaded.model.inference.process is not None and st.button("GIF of the process", icon=":material/animation:"):
            st.session_state["moving"] = True
    if st.session_state.get("moving"):
        with st.spinner("Sampling again, frame by frame", show_time=True):
            moving = answer(loaded, command, "denoise.gif").content
        st.image(moving, caption="From noise to images", width="content")
        st.download_button("GIF", moving, called("-denoise.gif"), "image/gif", on_click="ignore", icon=DOWNLOAD)
    with st.expander("How these were sampled"):
        st.caption("Each PNG says this of itself. In a terminal, the same images:")
        st.code(command.line(loaded), language="console", wrap_lines=True)
        text = png_bytes_text(result.content, "the first image")
        provenance = parse_provenance(text[PROVENANCE_KEY], "the first image")
        st.code(json.dumps(provenance, indent=2), language="json")


def _enlarged(image: np.ndarray) -> np.ndarray:
    """Every pixel a square, so that the longer side is about SIDE and none is blurred."""
    scale = max(1, round(SIDE / max(image.shape[:2])))
    return image.repeat(scale, axis=0).repeat(scale, axis=1)
