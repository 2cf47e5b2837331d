"""Schemas of requests and answers; `generation.checked_generation` checks what depends on the model, such as labels."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

MAX_LATENT = 4096  # numbers of a latent
MAX_POINTS = 64  # that an interpolation leads through

Name = Annotated[str, StringConstraints(max_length=200)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Count = Annotated[int, Field(ge=1, description="How many images; the server's own limit may be lower.", le=4096)]
SamplerName = Annotated[Name, Field(description="One of the model's `plan.samplers` in /models; default: the model's.")]
Steps = Annotated[int, Field(ge=1, le=100_000, description="Network evaluations; default: the model's.")]
Eta = Annotated[
    float, Field(ge=0, le=1, allow_inf_nan=False, description="How much noise the sampler adds; default: the model's.")
]
Guidance = Annotated[
    float, Field(ge=0, le=100, allow_inf_nan=False, description="How strongly the label pulls; default: the model's.")
]
Code = Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=1, max_length=MAX_LATENT)]
SHA256 = Annotated[
    str,
    StringConstraints(pattern="^[0-9a-f]{64}$"),
    Field(description="SHA-256 of the model's file, from /models; if it has changed, the answer is 409. Default: any."),
]
Label = Annotated[
    int | Name, Field(description="A class by its number or name, or '#' and its number; 'all': each image's in turn.")
]


class Strict(BaseModel):
    """A JSON body: takes no text for a number, and no unknown field."""

    model_config = ConfigDict(strict=True, extra="forbid")


class PlanSettings(BaseModel):
    """How an image is sampled; the model's defaults hold for what is left out."""

    model_config = ConfigDict(extra="forbid")

    sha256: SHA256 | None = None
    sampler: SamplerName | None = None
    steps: Steps | None = None
    eta: Eta | None = None
    guidance: Guidance | None = None


class ImageQuery(PlanSettings):
    """The query of /images: what its path does not name."""

    label: Name | None = Field(default=None, description="A class by its number or name, or 'all'.")


class SampleSettings(PlanSettings):
    """Selects an image of a model and how it is sampled."""

    model: Name | None = Field(default=None, description="Default: the first of /models.")
    seed: Seed | None = Field(default=None, description="Default: a random one, which the answer names.")
    index: Seed = Field(default=0, description="Which image of the seed, or the first of them.")


class SampleRequest(SampleSettings, Strict):
    """Which image to sample. It depends on these settings and the model's file alone.

    The settings of an answer can be sent back as they are.
    """

    label: Label | None = None
    latent: Code | None = Field(default=None, description="For a model with short latents: decode this one.")
    class_name: str | None = Field(default=None, description="Ignored: `label` names the class.")
    untrained: bool | None = Field(default=None, description="Ignored: the model's file says so.")


class BatchRequest(SampleRequest):
    """Which images to sample."""

    indices: Annotated[list[Seed], Field(min_length=1, max_length=4096)] | None = Field(
        default=None, description="The index of each image; default: `num_images` of them, from `index` on."
    )


class StreamQuery(SampleSettings):
    """The query of /stream: a `SampleRequest` and the number of images."""

    num_images: Count = 1
    label: Name | None = Field(
        default=None, description="A class by its number or name, or '#' and its number, or 'all'."
    )

    def body(self) -> SampleRequest:
        return SampleRequest(**self.model_dump(exclude={"num_images"}))


class InterpolationRequest(Strict):
    """The ends of an interpolation: it leads from each seed, or each latent, to the next."""

    model: Name | None = Field(default=None, description="Default: the first of /models.")
    seeds: Annotated[list[Seed], Field(min_length=2, max_length=MAX_POINTS)] | None = None
    latents: Annotated[list[Code], Field(min_length=2, max_length=MAX_POINTS)] | None = None
    frames: Annotated[int, Field(ge=2, le=1000, description="Frames from each end to the next.")] = 8
    path: Literal["spherical", "linear"] = "spherical"
    indices: Annotated[list[Seed], Field(max_length=MAX_POINTS)] | None = Field(
        default=None, description="Which image of each seed; default: 0."
    )
    label: Label | None = None
    labels: Annotated[list[Label | None], Field(max_length=MAX_POINTS)] | None = Field(
        default=None, description="The class of each end; a frame has that of the nearer one. Default: label."
    )
    sampler: SamplerName | None = None
    steps: Steps | None = None
    guidance: Guidance | None = None


class UsedSettings(BaseModel):
    """The settings of a sampled image: sent back, they give the same image, or 409 if the model has changed."""

    model: str
    sha256: str = Field(description="SHA-256 of the model's file.")
    seed: int | None
    index: int
    label: int | Literal["all"] | None
    class_name: str | None
    guidance: float | None
    sampler: str | None
    steps: int | None
    eta: float | None
    untrained: bool
    latent: list[float] | None = None


class SampledImage(UsedSettings):
    image: str = Field(description="A PNG in base64.")
    milliseconds: float


class BatchImage(BaseModel):
    image: str
    index: int
    label: int | None
    class_name: str | None


class SampledBatch(UsedSettings):
    images: list[BatchImage]
    milliseconds: float


class InterpolationFrame(BaseModel):
    image: str


class Interpolation(BaseModel):
    """The ends, their settings, and the frames between them."""

    model: str
    sha256: str
    seeds: list[int] | None
    indices: list[int] | None
    latents: list[list[float]] | None
    labels: list[int | None] | None
    frames: int
    path: str
    guidance: float | None
    sampler: str | None
    steps: int | None
    untrained: bool
    images: list[InterpolationFrame]


class Reconstruction(BaseModel):
    model: str
    sha256: str
    label: int | None
    class_name: str | None
    untrained: bool
    original: str = Field(description="The image at the model's size: a PNG in base64.")
    reconstruction: str
    latent: list[float]


class Anomaly(Reconstruction):
    score: float = Field(description="reconstruction_nats + kl, in nats.")
    reconstruction_nats: float
    kl: float
    heat: str = Field(description="The image, red where it differs from its reconstruction.")
    usual: list[float] = Field(description="Scores of the model's own images: the 5th and the 95th percentile.")


class Classification(BaseModel):
    model: str
    sha256: str = Field(description="SHA-256 of the classifier's file.")
    original: str = Field(description="The image at the model's size: a PNG in base64.")
    class_name: str = Field(description="The most probable class.")
    probabilities: dict[str, float] = Field(description="The probability of each class, by its name.")


class Login(Strict):
    token: Annotated[str, StringConstraints(max_length=1000)]


class Error(BaseModel):
    detail: str = Field(description="One line: what was wrong, and what to do.")


def responses(*codes: int) -> dict[int | str, dict[str, object]]:
    """The failures of a route, for the OpenAPI document."""
    return {code: {"model": Error, "description": WHY[code]} for code in (*ALWAYS, *codes)}


PNG: dict[str, Any] = {
    "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
    "description": "The image, which carries what it was sampled from.",
}


def answers(model: Any, *media: str) -> dict[str, Any]:
    """The successful answers of a route, for the OpenAPI document: `model` as JSON, or one of `media`."""
    binary: dict[str, Any] = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in media}
    return {"model": model, "description": "Success.", "content": binary}


ALWAYS = (401, 403, 408, 422)
WHY = {
    400: "The model does not take a value, or an image or a file cannot be read.",
    401: "The request lacks the server's token.",
    403: "The request comes from another site's page, uses another name of this server, or is not allowed here.",
    404: "There is no such model or image.",
    408: "The body was not sent in time.",
    409: "The model has changed: its file is not the one of `sha256`.",
    413: "The request is larger than the server takes.",
    422: "The request does not fit this document.",
    503: "Busy: try again after as many seconds as Retry-After says.",
}
