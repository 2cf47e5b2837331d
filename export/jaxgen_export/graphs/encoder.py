"""The exported graph of a model that reads images, in ONNX's text syntax."""

from __future__ import annotations

from collections.abc import Mapping

from jaxgen_export.graphs.common import HEAD, constants, dimensions


def reader_text(shape: tuple[int, int, int], outputs: Mapping[str, int], takes_label: bool) -> str:
    """The whole model as text: uint8 pixels to [-1, 1], then the network.

    shape: (H, W, C) of an image; outputs: how many numbers an image each of them has; takes_label: whether the network
    takes the class of each image as well.
    """
    label_input, label = (", int64[N] label", ", label") if takes_label else ("", "")
    declared = ", ".join(f"float[N,{width}] {name}" for name, width in outputs.items())
    return f"""
{HEAD}
reader (uint8[N,{dimensions(shape)}] images{label_input}) => ({declared})
{{
    {constants(half_range="float {127.5}", unit="float {1}")}
    pixels = Cast <to = 1> (images)
    scaled = Div (pixels, half_range)
    x = Sub (scaled, unit)
    {", ".join(outputs)} = jaxgen.Network (x{label})
}}
"""
