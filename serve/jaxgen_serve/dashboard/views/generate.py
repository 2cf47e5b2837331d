"""Generate: a model, a class, how many, and the images to take away."""

from __future__ import annotations

import secrets
from typing import Any

import streamlit as st

from jaxgen.inference.request import Request
from jaxgen.inference.sampler import Model
from jaxgen.sampling import sampler_spec
from jaxgen.sampling.process import MAX_GUIDANCE
from jaxgen_serve.dashboard import loading
from jaxgen_serve.dashboard.images import GenerationResult, enlarged
from jaxgen_serve.dashboard.models import ServedModel
from jaxgen_serve.dashboard.ui import show_image, title, told

SECONDS = 120.0  # that drawing may take
MOST = 256  # images at once
SINGLY = 40  # images that are shown one by one; more are shown as a sheet
SIDE = 120  # pixels of an image on the page: five fit beside the settings
MOVING = 64  # images in a GIF, at most
NEW_SEEDS = 1_000_000  # few enough digits to be told to somebody
PUNKS = "cryptopunks"
ALL = "all in turn"


def page() -> None:
    """The whole page."""
    title("Generate", "The same file, seed and settings draw the same images, here and anywhere else.")
    left, right = st.columns([4, 8], gap="large")
    model = asked = None
    with left, told():
        with st.container(border=True):
            model = loading.choose(key="generate")
            asked = _ask(model) if model else None
        if model:
            loading.describe(model)
    with right, told():
        if model and asked:
            with st.spinner("Drawing", show_time=True):
                st.session_state["drawn"] = GenerationResult.of(model.within(SECONDS), model.name, asked)
            st.session_state.pop("gif", None)
        drawn: GenerationResult | None = st.session_state.get("drawn")
        if drawn and model and drawn.model.artifact.sha256 == model.sampler.artifact.sha256:
            _show(drawn, model)
        elif model:
            st.info("Choose on the left, then generate.", icon=":material/brush:")


def _ask(model: ServedModel) -> Request | None:
    """What is to be drawn; None until the button is pressed."""
    sampler, punks = model.sampler, model.dataset == PUNKS
    if punks:
        st.subheader("CryptoPunks generator", anchor=False)
    label = _label(sampler)
    many, seeded = st.columns([5, 6])
    count = int(many.number_input("How many", 1, MOST, 5, key="count"))
    st.session_state.setdefault("seed", secrets.randbelow(NEW_SEEDS))
    with seeded:
        seed = int(st.number_input("Seed", 0, 2**32 - 1, key="seed", help="The same seed draws the same images."))
    fresh = st.checkbox("A new seed each time", True, key="fresh")
    how = _how(sampler)
    what = ("punk" if punks else "image") + ("" if count == 1 else "s")
    pressed = st.button(
        f"Generate {count} {what}", type="primary", icon=":material/brush:", width="stretch", key="generate",
        on_click=_new_seed if fresh else None,
    )  # fmt: skip
    if not pressed:
        return None
    seed = int(st.session_state.get("seed", seed))
    return Request.checked(sampler, seed=seed, first=0, count=count, label=label, **how)


def _new_seed() -> None:
    st.session_state["seed"] = secrets.randbelow(NEW_SEEDS)


def _label(sampler: Model) -> str | int | None:
    """The class that was chosen, a number; 'all'; or None for none."""
    if not sampler.classes:
        return None
    digits = len(sampler.classes) == 10 and all(name.isdecimal() for name in sampler.classes)
    chosen = st.pills(
        "Which digit" if digits else "Which class", [*range(len(sampler.classes)), ALL],
        default=ALL, format_func=lambda value: value if value == ALL else sampler.classes[value],
        key=f"class of {sampler.artifact.sha256}",
    )  # fmt: skip
    if chosen is None:
        return None if sampler.least_label == -1 else "all"
    return "all" if chosen == ALL else int(chosen)


def _how(sampler: Model) -> dict[str, Any]:
    """Plan and guidance, for models that have them."""
    process, own = sampler.inference.process, sampler.inference.plan
    chosen: dict[str, Any] = {"sampler": None, "steps": None, "eta": None, "guidance": None}
    if process is None or own is None:
        return chosen
    key = sampler.artifact.sha256
    with st.expander(f"Sampler: {own.sampler}, {own.steps} steps"):
        names = sampler_spec.samplers(sampler.inference)
        chosen["sampler"] = name = st.selectbox("Sampler", names, index=names.index(own.sampler), key=f"sampler {key}")
        usual = sampler_spec.choose(sampler.inference, sampler=name)
        least, most = (own.steps, own.steps) if sampler_spec.unknown_part(process) else (1, process.max_steps)
        chosen["steps"] = int(st.number_input("Steps", least, most, min(usual.steps, most), key=f"steps {name} {key}"))
        if name == "ddim":
            chosen["eta"] = st.slider("Noise of ddim (eta)", 0.0, 1.0, float(usual.eta), key=f"eta {key}")
        if sampler.inference.guidance is not None:
            scale = sampler.inference.guidance
            chosen["guidance"] = st.number_input(
                "Guidance", 0.0, float(MAX_GUIDANCE), scale, 0.5, key=f"guidance {key}"
            )
    return chosen


def _show(drawn: GenerationResult, model: ServedModel) -> None:
    request = drawn.request
    if len(drawn.images) <= SINGLY:
        with st.container(horizontal=True, key="images"):
            for image, caption in zip(enlarged(drawn.images, SIDE), drawn.captions(), strict=True):
                show_image(image, caption, width="content")
    else:
        show_image(drawn.sheet(), width="content")
    stem = f"{drawn.name.replace('/', '-')}-seed{request.seed}"
    moving = request.recipe is not None and len(drawn.images) <= MOVING
    with st.container(horizontal=True):
        st.download_button(
            "PNG", drawn.sheet(), f"{stem}.png", "image/png", on_click="ignore", icon=":material/download:"
        )
        st.download_button(
            "ZIP", drawn.zip(), f"{stem}.zip", "application/zip", on_click="ignore", icon=":material/download:"
        )
        if moving and "gif" not in st.session_state and st.button("GIF of the process", icon=":material/animation:"):
            with st.spinner("Drawing it again, slowly", show_time=True):
                st.session_state["gif"] = drawn.gif(model.within(SECONDS))
            st.rerun()
        if gif := st.session_state.get("gif"):
            st.download_button("GIF", gif, f"{stem}.gif", "image/gif", on_click="ignore", icon=":material/download:")
    if gif := st.session_state.get("gif"):
        st.image(gif, caption="From noise to images", width="content")
    with st.expander("How these were drawn"):
        st.caption("Each PNG says this of itself. In a terminal, the same images:")
        st.code(drawn.command(), language="console", wrap_lines=True)
        st.code(drawn.provenance(), language="json")
