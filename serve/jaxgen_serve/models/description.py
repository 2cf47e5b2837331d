"""The description of a model in GET /models and in a static site's site.json."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxgen.inference.model import Model
from jaxgen.inference.model_file import Artifact
from jaxgen.sampling.process import MAX_GUIDANCE
from jaxgen.sampling.sampler_spec import choose, samplers, takes_eta, unknown_part


def described(
    model: Model,
    *,
    name: str,
    size: int,
    encoder: bool = False,
    classifier: Sequence[str] | None = None,
    max_steps: int,
) -> dict[str, Any]:
    """What a client needs to know about a model. size: bytes of its file; encoder: whether it also reads images;
    classifier: the classes that one tells apart in its images, None: there is no classifier; max_steps: limit of a
    plan's steps, besides the model's own.
    """
    inference = model.inference
    codes = inference.process is None and len(model.noise_shape) == 1
    guided = inference.guidance is not None
    return {
        "name": name,
        "family": model.artifact.fact("family", str),
        "dataset": dataset(model.artifact),
        "shape": list(model.shape),
        "classes": model.classes,
        "label_optional": model.least_label == -1,
        "untrained": model.untrained,
        "sha256": model.artifact.sha256,
        "size_bytes": size,
        "encoder": encoder,
        "classifier": None if classifier is None else list(classifier),
        "latent": model.noise_shape[0] if codes else None,
        "plan": plans(model, max_steps),
        "guidance": {"default": inference.guidance, "max": MAX_GUIDANCE} if guided else None,
        "quick": inference.evaluations == 1,
    }


def plans(model: Model, max_steps: int) -> dict[str, Any] | None:
    """The samplers of a model, its defaults, and the defaults of each sampler; None: it has no plans."""
    process, default = model.inference.process, model.inference.plan
    if process is None or default is None:
        return None
    most = default.steps if unknown_part(process) else process.max_steps  # an unknown process has only its own plan
    most, names = min(most, max_steps), samplers(model.inference)
    usual = {name: choose(model.inference, sampler=name) for name in names}
    return {
        "samplers": names,
        "sampler": default.sampler,
        "steps": default.steps,
        "max_steps": most,
        "eta": default.eta,
        "defaults": {  # eta null: the sampler takes none
            name: {"steps": min(recipe.steps, most), "eta": recipe.eta if takes_eta(process, name) else None}
            for name, recipe in usual.items()
        },
    }


def dataset(artifact: Artifact) -> str:
    """The name of the training dataset; only the last part of a folder's path."""
    name = artifact.fact("data.dataset", str) or ""
    kind, colon, place = name.partition(":")
    return f"{kind}:{place.replace(chr(92), '/').rstrip('/').rpartition('/')[2]}" if colon else name
