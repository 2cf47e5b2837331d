"""How an image was made, as the text that its PNG carries."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from jaxgen.errors import JaxgenError
from jaxgen.images import png_text

PROVENANCE_KEY = "jaxgen"  # of the PNG text chunk
MAX_PROVENANCE_CHARS = 2**16


def provenance_text(provenance: Mapping[str, Any]) -> dict[str, str]:
    """How an image was made (model, seed, index, label, plan ...) as the text chunk for `save_png`.

    Raises JaxgenError on what JSON cannot write (inf and nan included) or on more than MAX_PROVENANCE_CHARS.
    """
    try:
        text = json.dumps(provenance, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as err:
        raise JaxgenError(f"this provenance cannot be written as JSON: {err}") from err
    if len(text) > MAX_PROVENANCE_CHARS:
        raise JaxgenError(f"expected a provenance of at most {MAX_PROVENANCE_CHARS} characters, got {len(text)}")
    return {PROVENANCE_KEY: text}


def read_provenance(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What `provenance_text` put into a PNG; the pixels are not decoded.

    Raises JaxgenError if it is no PNG, has no provenance of jaxgen's, or a broken or oversize one.
    """
    text = png_text(path).get(PROVENANCE_KEY)
    if not isinstance(text, str):
        raise JaxgenError(f"{path}: does not say how it was made; only PNGs that 'jaxgen sample' wrote do")
    if len(text) > MAX_PROVENANCE_CHARS:
        raise JaxgenError(f"{path}: its provenance has {len(text)} characters, expected at most {MAX_PROVENANCE_CHARS}")
    try:
        provenance = json.loads(text)
    except (ValueError, RecursionError) as err:
        raise JaxgenError(f"{path}: its provenance is no JSON; the image is damaged or was rewritten") from err
    if not isinstance(provenance, dict):
        raise JaxgenError(f"{path}: its provenance is no JSON object; the image was rewritten")
    return provenance
