"""What the exported graphs share, in ONNX's text syntax: each image's key at the start, its pixels at the end.

Both go into the body of a graph whose `seed`, `index` [N] and, for the pixels, `x_end` [N, P] are there.
"""

from __future__ import annotations

import math

OPSET = 20
HEAD = f'<ir_version: 10, opset_import: ["": {OPSET}, "jaxgen": 1], producer_name: "jaxgen">'


def constants(**values: str) -> str:
    """One Constant node per name; values: 'type {value}'."""
    return "\n    ".join(f"{name} = Constant <value = {value}> ()" for name, value in values.items())


def sampler_constants(shape: tuple[int, int, int], normals: int) -> str:
    """The constants of KEYS and PIXELS; shape: (H, W, C) of an image; normals: in one noise_index of its noise."""
    return constants(
        zero="int64[1] {0}", one="int64[1] {1}", none="uint32[1] {0}", flat=f"int64[2] {{0,{math.prod(shape)}}}",
        i0="int64 {0}", i1="int64 {1}", image=f"int64[{len(shape)}] {{{dimensions(shape)}}}",
        normals=f"int64 {{{normals}}}", half_range="float {127.5}", black="float {0}", white="float {255}",
        unit="float {1}",
    )  # fmt: skip


def dimensions(shape: tuple[int, ...]) -> str:
    """'H,W,C'."""
    return ",".join(map(str, shape))


KEYS = """# Each image's key: fold_in(key(seed), index), as two columns [N, 1] of uint32 words.
    seed_word = Cast <to = 12> (seed)
    index_word = Cast <to = 12> (index)
    seed_column = Unsqueeze (seed_word, one)
    index_column = Unsqueeze (index_word, one)
    key0, key1 = jaxgen.Threefry (none, seed_column, none, index_column)
    number = Range (i0, normals, i1)
    number_word = Cast <to = 12> (number)
    counter = Unsqueeze (number_word, zero)
    count = Shape (seed)
    shape = Concat <axis = 0> (count, image)"""

PIXELS = """# [-1, 1] to pixels, to the nearest, ties to even.
    lifted = Add (x_end, unit)
    stretched = Mul (lifted, half_range)
    rounded = Round (stretched)
    bounded = Clip (rounded, black, white)
    flat_images = Cast <to = 2> (bounded)
    images = Reshape (flat_images, shape)"""
