"""The noise of jaxgen.sampling.prng in ONNX's text syntax: Threefry-2x32 on uint32 words, and the normals of a key."""

from __future__ import annotations

from jaxgen.sampling.prng import ERFINV_CENTRAL, ERFINV_TAIL, PARITY, ROTATIONS
from jaxgen_export.graphs.common import OPSET, constants


def noise_functions() -> str:
    """Threefry-2x32 on uint32 words, and the normals of a key, as local functions."""
    return f"""
<domain: "jaxgen", opset_import: ["": {OPSET}]>
Threefry (k0, k1, c0, c1) => (y0, y1)
{{
    {_threefry()}
}}
<domain: "jaxgen", opset_import: ["": {OPSET}, "jaxgen": 1]>
Normal (key0, key1, noise_index, counter) => (normals)
{{
    {_normal()}
}}
"""


def _threefry() -> str:
    """The 20 rounds of Salmon et al. 2011, unrolled; sums of uint32 wrap, as they must."""
    shifts = sorted({by for rotations in ROTATIONS for rotation in rotations for by in (rotation, 32 - rotation)})
    words = {"parity": PARITY} | {f"by{by}": by for by in shifts} | {f"i{i}": i for i in range(1, 6)}
    lines = [
        constants(**{name: f"uint32[1] {{{word}}}" for name, word in words.items()}),
        "k01 = BitwiseXor (k0, k1)",
        "k2 = BitwiseXor (k01, parity)",
        "A0 = Add (c0, k0)",
        "B0 = Add (c1, k1)",
    ]
    a, b, n = "A0", "B0", 0
    for block in range(5):
        for rotation in ROTATIONS[block % 2]:
            n += 1
            lines += [
                f"a{n} = Add ({a}, {b})",
                f'l{n} = BitShift <direction = "LEFT"> ({b}, by{rotation})',
                f'r{n} = BitShift <direction = "RIGHT"> ({b}, by{32 - rotation})',
                f"t{n} = BitwiseOr (l{n}, r{n})",
                f"b{n} = BitwiseXor (t{n}, a{n})",
            ]
            a, b = f"a{n}", f"b{n}"
        i = block + 1
        lines += [
            f"k{(i + 1) % 3}_{i} = Add (k{(i + 1) % 3}, i{i})",
            f"{'y0' if i == 5 else f'A{i}'} = Add ({a}, k{i % 3})",
            f"{'y1' if i == 5 else f'B{i}'} = Add ({b}, k{(i + 1) % 3}_{i})",
        ]
        a, b = f"A{i}", f"B{i}"
    return "\n    ".join(lines)


def _normal() -> str:
    """fold_in, bits, uniform, inverse error function; `1 - u * u` is rounded as in JAX (see `prng.erfinv`)."""
    numbers = {
        "none": "uint32[1] {0}",
        "nine": "uint32[1] {9}",
        "ulp": f"float {{{2.0**-23!r}}}",
        "two": "float {2}",
        "unit": "float {1}",
        "lowest": "float {-0.99999994}",
        "root_two": "float {1.41421356}",
        "five": "float {5}",
        "centre": "float {2.5}",
        "three": "float {3}",
    }
    lines = [
        constants(**numbers),
        "d0, d1 = jaxgen.Threefry (key0, key1, none, noise_index)",
        "w0, w1 = jaxgen.Threefry (d0, d1, none, counter)",
        "bits = BitwiseXor (w0, w1)",
        'mantissa = BitShift <direction = "RIGHT"> (bits, nine)',
        "whole = Cast <to = 1> (mantissa)",
        "fraction = Mul (whole, ulp)",
        "doubled = Mul (fraction, two)",
        "u = Add (doubled, lowest)",
        "square = Mul (u, u)",
        "rest = Sub (unit, square)",
        "log = Log (rest)",
        "w = Neg (log)",
        "w_centre = Sub (w, centre)",
        *_horner("p", ERFINV_CENTRAL, "w_centre"),
        "w_far = Max (w, five)",
        "w_root = Sqrt (w_far)",
        "w_tail = Sub (w_root, three)",
        *_horner("q", ERFINV_TAIL, "w_tail"),
        "near = Less (w, five)",
        f"slope = Where (near, p{len(ERFINV_CENTRAL) - 1}, q{len(ERFINV_TAIL) - 1})",
        "inverse = Mul (slope, u)",
        "normals = Mul (inverse, root_two)",
    ]
    return "\n    ".join(lines)


def _horner(name: str, coefficients: tuple[float, ...], variable: str) -> list[str]:
    """Evaluate a polynomial, highest power first; the value is `name` + its degree."""
    lines = [f"{name}c{i} = Constant <value = float {{{c!r}}}> ()" for i, c in enumerate(coefficients)]
    lines.append(f"{name}0 = Identity ({name}c0)")
    for i in range(1, len(coefficients)):
        lines += [f"{name}m{i} = Mul ({name}{i - 1}, {variable})", f"{name}{i} = Add ({name}m{i}, {name}c{i})"]
    return lines
