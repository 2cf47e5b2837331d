"""The dashboard's Streamlit app, for `jaxgen dashboard` or any host of Streamlit apps."""

from __future__ import annotations

import numpy as np
import streamlit as st
from PIL import Image

from jaxgen_serve.dashboard.views import explore, generate, runs, train

# Streamlit's own Stop button stops a page, not a run; it is hidden so that nobody confuses the two.
STYLE = """<style>
[data-testid='stStatusWidget'] {display: none}
.st-key-images img {image-rendering: pixelated}
</style>"""


def main() -> None:
    st.set_page_config(page_title="jaxgen", page_icon=_icon(), layout="wide")
    st.html(STYLE)
    pages = [
        st.Page(train.page, title="Train", icon=":material/model_training:", url_path="train", default=True),
        st.Page(runs.page, title="Runs", icon=":material/monitoring:", url_path="runs"),
        st.Page(generate.page, title="Generate", icon=":material/brush:", url_path="generate"),
        st.Page(explore.page, title="Explore", icon=":material/explore:", url_path="explore"),
    ]
    st.navigation(pages, position="top").run()


def _icon() -> Image.Image:
    """A disc that dissolves into noise. A browser would fetch Streamlit's own icons from another host."""
    y, x = np.mgrid[-3.5:4, -3.5:4]
    shares = np.clip(4.2 - np.hypot(x, y), 0, 1) * np.where(np.random.default_rng(3).random((8, 8)) < x / 8, 0.3, 1)
    pixels = shares[..., None] * (109, 102, 245) + (1 - shares[..., None]) * (20, 20, 36)
    return Image.fromarray(pixels.astype(np.uint8).repeat(8, axis=0).repeat(8, axis=1))


if __name__ == "__main__":
    main()
