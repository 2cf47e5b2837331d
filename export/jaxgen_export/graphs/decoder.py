"""The exported graph of a model that samples in one evaluation, in ONNX's text syntax; see sampler_text."""

from __future__ import annotations

from string import Template

from jaxgen_export.graphs.common import HEAD, KEYS, PIXELS, dimensions, sampler_constants
from jaxgen_export.graphs.noise import noise_functions


def latent_text(shape: tuple[int, int, int], latent: int, conditional: bool) -> str:
    """The whole model as text: each image's noise or the given latent, the network, uint8 images.

    shape: (H, W, C) of an image; latent: numbers in its noise.
    """
    return _LATENT.substitute(
        head=HEAD, image=dimensions(shape), latent=latent, shared=sampler_constants(shape, latent), keys=KEYS,
        pixels=PIXELS, functions=noise_functions(), label_input="int64[N] label, " if conditional else "",
        label=", label" if conditional else "",
    )  # fmt: skip


_LATENT = Template("""
$head
sampler (int64[N] seed, int64[N] index, ${label_input}float[M,$latent] latent) => (uint8[N,$image] images)
{
    $shared
    $keys
    # Given latents, N or none, come before sampled ones, and the first N of both count. An `If` would avoid the
    # unneeded noise, but several runtimes and tools cannot run one here.
    sampled = jaxgen.Normal (key0, key1, none, counter)
    both = Concat <axis = 0> (latent, sampled)
    z = Slice (both, zero, count)
    out = jaxgen.Network (z$label)
    x_end = Reshape (out, flat)
    $pixels
}
$functions
""")
