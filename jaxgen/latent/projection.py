"""2-D maps of latents: scatter plots of the classes, and decoded grids of 2-D latents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen.errors import UsageError
from jaxgen.images import grid, save_png
from jaxgen.inference.provenance import provenance_text
from jaxgen.latent.checks import require_finite
from jaxgen.latent.inputs import Images
from jaxgen.latent.interpolation import plane
from jaxgen.latent.probes import pca, t_sne
from jaxgen.latent.spaces import Codes, Space
from jaxgen.plots import latent_scatter

Array = np.ndarray


def _plain(latents: Array, seed: int) -> tuple[Array, str]:
    if latents.shape[1] != 2:
        raise UsageError(f"a plain map is of 2-D latents, and these have {latents.shape[1]} dimensions; try pca")
    require_finite(latents)
    return latents, "latents"


def _pca(latents: Array, seed: int) -> tuple[Array, str]:
    points, shares = pca(latents)
    return points.astype(np.float32), f"PCA: {shares[0]:.0%} and {shares[1]:.0%} of the variance"


def _t_sne(latents: Array, seed: int) -> tuple[Array, str]:
    return t_sne(latents, seed), f"t-SNE (seed {seed})"


# latents [N, D], seed -> points [N, 2] and a title
METHODS: dict[str, Callable[[Array, int], tuple[Array, str]]] = {"plain": _plain, "pca": _pca, "tsne": _t_sne}


def default(space: Space) -> str:
    """The default method: 'plain' for 2-D latents, else 'pca'."""
    return "plain" if space.shape == (2,) else "pca"


def manifold(codes: Codes, side: int, label: Array | None) -> Array:
    """A decoded grid of 2-D latents: uint8 [side, side, H, W, C]; label: [1], None for unconditional models.

    Raises UsageError for latents of other dimensions.
    """
    if codes.shape != (2,):
        raise UsageError(f"{codes.name} has latents of {codes.shape[0]} dimensions: a manifold needs 2")
    images = codes.decode(plane(side), None if label is None else np.repeat(label, side * side))
    return images.reshape(side, side, *images.shape[1:])


def sheet(codes: Codes, side: int, label: Array | None) -> tuple[Array, float]:
    """`manifold` on one sheet, uint8 [side * H, side * W, C], and the largest coordinate of its latents."""
    images = manifold(codes, side, label)
    return grid(images.reshape(-1, *images.shape[2:]), side, padding=0, scale=1), float(plane(side).max())


def write_scatter(output: Path, points: Array, images: Images, title: str, provenance: Mapping[str, Any]) -> None:
    image = latent_scatter(points, images.labels, images.classes, title)
    save_png(output, image, provenance_text(provenance))
