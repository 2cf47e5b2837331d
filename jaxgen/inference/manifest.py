"""The inference section of a file's manifest: all that opening and running the file needs, and nothing else.

It is checked when a file is opened. Unknown keys are ignored, because a newer jaxgen may write more; `requires` names
the features that a reader must not ignore. docs/manifest.schema.json is the same as a JSON schema.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Self

from jaxgen import __version__
from jaxgen.errors import JaxgenError
from jaxgen.inference.section import Section
from jaxgen.sampling.process import MAX_GUIDANCE, MAX_STEPS, Diffusion, Flow, Process, Unknown
from jaxgen.sampling.sampler_spec import SamplerSpec

KINDS = ("sampler", "network", "encoder", "classifier")
SAMPLES = ("sampler", "network")  # the kinds that generate images: the whole model, or its network alone
MAX_SIDE = 4096  # pixels, or dimensions of a code
MAX_CLASSES = 100_000
MAX_BATCH = 100_000
TAKES_LABEL = "takes_label"  # of encoders whose graph has the input `label`
FEATURES = frozenset({TAKES_LABEL})  # the names in `requires` that this reader knows


@dataclass(frozen=True, kw_only=True)
class Likelihood:
    """A VAE's likelihood of an image given its latent, for anomaly scores."""

    kind: str  # 'bernoulli', or 'gaussian'; a newer jaxgen may know others
    sigma: float = 0.1  # of 'gaussian', for pixels in [0, 1]


@dataclass(frozen=True, kw_only=True)
class Inference:
    """The inference section: a file's kind, image shape, classes and process.

    guidance: the default scale, for conditional models with a process. plan: the recipe of the graph's default plan,
    None without a process. noise_shape: of one image's noise, for samplers and networks.
    """

    kind: str  # of KINDS
    image_shape: tuple[int, int, int]  # H, W, C
    classes: tuple[str, ...] = ()  # their names; (): unconditional
    null_class: bool = True  # whether label -1, "no class", is allowed
    noise_shape: tuple[int, ...] | None = None  # [H, W, C] or [D]
    process: Process | None = None  # None: one evaluation, no plan
    plan: SamplerSpec | None = None
    guidance: float | None = None
    likelihood: Likelihood | None = None
    takes_label: bool = False  # whether an encoder takes the class of each image besides the image
    batch: int | None = None  # a network's fixed batch size; None: any

    @property
    def evaluations(self) -> int:
        """Evaluations of the network for an image by default: the steps of its plan, 1 without one."""
        return self.plan.steps if self.plan else 1

    @classmethod
    def parse(cls, values: object, name: str) -> Self:
        """Parse the section of a manifest; name: of the file in messages.

        Raises JaxgenError, in one line that names the key, if a key is missing, mistyped or out of range.
        """
        section = Section(values, "inference", name)
        kind = section.choice("kind", KINDS)
        shape = section.integers("image_shape", (3,), MAX_SIDE)
        if shape[2] not in (1, 3):
            raise section.error("image_shape", "[height, width, 1 or 3]", list(shape))
        common: dict[str, Any] = {
            "kind": kind,
            "image_shape": shape,
            "classes": section.names("classes", MAX_CLASSES),
            "likelihood": _likelihood(section.section("likelihood")),
        }
        if kind not in SAMPLES:
            return cls(**common, takes_label=kind == "encoder" and _takes_label(section, common["classes"]))
        process = _process(section.section("process", nullable=True, required=True))
        noise_shape = section.integers("noise_shape", (1, 3), MAX_SIDE)
        if process and noise_shape != shape:
            expected = f"{list(shape)}, the image's, for a model with a process"
            raise section.error("noise_shape", expected, list(noise_shape))
        return cls(
            **common,
            null_class=section.boolean("null_class"),
            noise_shape=noise_shape,
            process=process,
            plan=_plan(section.section("plan", required=True)) if process else None,
            guidance=section.number("guidance", 0, MAX_GUIDANCE) if process and common["classes"] else None,
            batch=section.integer("batch", 1, MAX_BATCH) if kind == "network" and section.has("batch") else None,
        )

    def to_dict(self) -> dict[str, Any]:
        """The section as JSON values, which `parse` reads."""
        values: dict[str, Any] = {
            "kind": self.kind,
            "image_shape": list(self.image_shape),
            "classes": list(self.classes),
        }
        if self.kind in SAMPLES:
            assert self.noise_shape
            values |= {"null_class": self.null_class, "noise_shape": list(self.noise_shape)}
            values["process"] = None if self.process is None else _process_dict(self.process)
        if self.takes_label:
            values["takes_label"] = True
        if self.plan:
            values["plan"] = self.plan._asdict()
        if self.guidance is not None:
            values["guidance"] = self.guidance
        if self.batch is not None:
            values["batch"] = self.batch
        if self.likelihood:
            values["likelihood"] = {"kind": self.likelihood.kind}
            if self.likelihood.kind == "gaussian":
                values["likelihood"]["sigma"] = self.likelihood.sigma
        return values


def require_known(features: object, name: str) -> None:
    """Raise JaxgenError if a manifest's `requires` names an unknown feature, or is no list of names."""
    if not isinstance(features, list) or not all(isinstance(feature, str) for feature in features):
        raise JaxgenError(f"{name}: its manifest: 'requires' must be a list of names, got {ascii(features)[:60]}")
    unknown = [feature for feature in features if feature not in FEATURES]
    if unknown:
        named = ", ".join(ascii(feature[:60]) for feature in unknown[:9])
        raise JaxgenError(f"{name}: needs {named}, which jaxgen {__version__} does not know; upgrade jaxgen to open it")


def _takes_label(section: Section, classes: tuple[str, ...]) -> bool:
    taken = section.has("takes_label") and section.boolean("takes_label")
    if taken and not classes:
        raise section.error("takes_label", "false without classes", taken)
    return taken


def _process(section: Section | None) -> Process | None:
    if section is None:
        return None
    kind = section.text("kind")
    if kind == "diffusion":
        return _diffusion(section)
    if kind == "flow":
        return Flow(time_scale=section.number("time_scale", 0, 1e6, open_left=True))
    return Unknown(kind=kind)


def _diffusion(section: Section) -> Diffusion:
    steps, schedule = section.integer("steps", 1, MAX_STEPS), section.text("schedule")
    betas = {}
    if schedule == "linear":
        end = section.number("beta_end", 0, 1, open_left=True, open_right=True)
        betas = {"beta_start": section.number("beta_start", 0, end, open_left=True), "beta_end": end}
    clip = math.inf if section.is_null("clip") else section.number("clip", 0, 1e30, open_left=True)
    return Diffusion(steps=steps, schedule=schedule, prediction=section.text("prediction"), clip=clip, **betas)


def _process_dict(process: Process) -> dict[str, Any]:
    values = asdict(process)
    if isinstance(process, Unknown):
        return values
    if values.get("clip") == math.inf:
        values["clip"] = None  # JSON has no infinity
    return {"kind": type(process).__name__.lower(), **values}


def _plan(section: Section | None) -> SamplerSpec:
    assert section  # it is required
    return SamplerSpec(section.text("sampler"), section.integer("steps", 1, MAX_STEPS), section.number("eta", 0, 1))


def _likelihood(section: Section | None) -> Likelihood | None:
    if section is None:
        return None
    kind = section.text("kind")
    if kind != "gaussian":
        return Likelihood(kind=kind)
    return Likelihood(kind=kind, sigma=section.number("sigma", 0, 1e6, open_left=True))
