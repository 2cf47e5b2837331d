"""A model as GET /models, and a static site's site.json, describe it."""

from __future__ import annotations

from typing import Any

from jaxgen.config.objectives import MAX_GUIDANCE
from jaxgen.inference.model_file import Artifact
from jaxgen.inference.sampler import Sampler
from jaxgen.sampling.plan import SAMPLERS
from jaxgen.sampling.sampler_spec import choose


def described(sampler: Sampler, *, name: str, size: int, encoder: bool, max_steps: int) -> dict[str, Any]:
    """What a client needs to know of a model. size: bytes of its file; encoder: whether it reads pictures, too;
    max_steps: of a plan, where the model itself has no limit or a higher one.
    """
    process = sampler.config.process
    return {
        "name": name,
        "family": sampler.config.family,
        "dataset": dataset(sampler.artifact),
        "shape": list(sampler.shape),
        "classes": sampler.classes,
        "label_optional": sampler.least_label == -1,
        "untrained": sampler.untrained,
        "sha256": sampler.artifact.sha256,
        "size_bytes": size,
        "encoder": encoder,
        "latent": None if process else sampler.config.noise_shape[0],
        "plan": plans(sampler, max_steps),
        "guidance": {"default": process.guidance, "max": MAX_GUIDANCE} if process and sampler.classes else None,
        "quick": process is None,
    }


def plans(sampler: Sampler, max_steps: int) -> dict[str, Any] | None:
    """The samplers of a model, and what it does unless told otherwise; None: it has no plans."""
    process = sampler.config.process
    if process is None:
        return None
    default = choose(process)
    return {
        "samplers": sorted(SAMPLERS) if default.sampler in SAMPLERS else [default.sampler],
        "sampler": default.sampler,
        "steps": default.steps,
        "max_steps": min(getattr(process, "steps", max_steps), max_steps),  # a flow takes any number
        "eta": default.eta,
    }


def dataset(artifact: Artifact) -> str:
    """The name of what it was trained on; of a folder its last part, for the rest is one machine's."""
    name = str(artifact.config.get("data", {}).get("dataset", ""))
    kind, colon, place = name.partition(":")
    return f"{kind}:{place.replace(chr(92), '/').rstrip('/').rpartition('/')[2]}" if colon else name
