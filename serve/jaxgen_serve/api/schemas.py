"""What requests hold, checked before anything is drawn. `MODEL.label()` and the rest are checked against the model."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

MAX_LATENT = 4096  # numbers of a code
MAX_POINTS = 64  # that a walk leads through

Name = Annotated[str, StringConstraints(max_length=200)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Count = Annotated[int, Field(ge=1, description="How many images; the server's own limit may be lower.", le=4096)]
SamplerName = Annotated[Name, Field(description="Of the model's plan.samplers, as /models has them. Default: its own.")]
Steps = Annotated[int, Field(ge=1, le=100_000, description="Network evaluations; default: the model's.")]
Eta = Annotated[
    float, Field(ge=0, le=1, allow_inf_nan=False, description="Noise of samplers that take it; default: the model's.")
]
Guidance = Annotated[
    float, Field(ge=0, le=100, allow_inf_nan=False, description="Pull towards the label; default: the model's.")
]
Code = Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=1, max_length=MAX_LATENT)]
SHA256 = Annotated[
    str,
    StringConstraints(pattern="^[0-9a-f]{64}$"),
    Field(description="Of the model's file, as /models has it: 409 if it has changed since. Default: whichever it is."),
]
Label = Annotated[int | Name, Field(description="A class by its number or name; 'all': each image's in turn.")]


class Strict(BaseModel):
    """As JSON says it: no text for a number, and no field that nobody reads."""

    model_config = ConfigDict(strict=True, extra="forbid")


class Wishes(BaseModel):
    """Which image, and how: what is not wished for is the model's choice."""

    model_config = ConfigDict(extra="forbid")

    model: Name | None = Field(default=None, description="Default: the first of /models.")
    sha256: SHA256 | None = None
    seed: Seed | None = Field(default=None, description="Default: one is chosen, and returned.")
    index: Seed = Field(default=0, description="Which image of the seed, or the first of them.")
    sampler: SamplerName | None = None
    steps: Steps | None = None
    eta: Eta | None = None
    guidance: Guidance | None = None


class Draw(Wishes, Strict):
    """Which image. It is a function of these and the model's file alone; it takes what an answer says was used."""

    label: Label | None = None
    latent: Code | None = Field(default=None, description="Of models with short codes: draw this, and not the seed's.")
    class_name: str | None = Field(default=None, description="Not read: label says which class.")
    untrained: bool | None = Field(default=None, description="Not read: the model's file says it.")


class Several(Draw):
    """Which images, where there may be more than one."""

    indices: Annotated[list[Seed], Field(min_length=1, max_length=4096)] | None = Field(
        default=None, description="Each image's own; default: index and those after it, as many as num_images says."
    )


class Stream(Wishes):
    """`Draw` as a query has it."""

    num_images: Count = 1
    label: Name | None = Field(default=None, description="A class by its number or name, or 'all'.")

    def body(self) -> Draw:
        return Draw(**self.model_dump(exclude={"num_images"}))


class Walk(Strict):
    """From each seed, or each code, to the next."""

    model: Name | None = Field(default=None, description="Default: the first of /models.")
    seeds: Annotated[list[Seed], Field(min_length=2, max_length=MAX_POINTS)] | None = None
    latents: Annotated[list[Code], Field(min_length=2, max_length=MAX_POINTS)] | None = None
    frames: Annotated[int, Field(ge=2, le=1000, description="From one end to the other.")] = 8
    path: Literal["spherical", "linear"] = "spherical"
    indices: Annotated[list[Seed], Field(max_length=MAX_POINTS)] | None = Field(
        default=None, description="Which image of each seed; default: 0."
    )
    label: Label | None = None
    labels: Annotated[list[Label | None], Field(max_length=MAX_POINTS)] | None = Field(
        default=None, description="Of each end; a frame has the class of the nearer one. Default: label."
    )
    sampler: SamplerName | None = None
    steps: Steps | None = None
    guidance: Guidance | None = None


class Used(BaseModel):
    """What an image was drawn from: sent back, it draws the same image again, or says that the model has changed."""

    model: str
    sha256: str = Field(description="Of the model's file.")
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


class Image(Used):
    image: str = Field(description="A PNG in base64.")
    milliseconds: float


class OneOf(BaseModel):
    image: str
    index: int
    label: int | None
    class_name: str | None


class Images(Used):
    images: list[OneOf]
    milliseconds: float


class Sheet(Used):
    image: str
    count: int
    milliseconds: float


class Frame(BaseModel):
    image: str


class Walked(BaseModel):
    """The ends, how they were drawn, and what lies between: images for format=list, image for grid."""

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
    images: list[Frame] | None = None
    image: str | None = None


class Reconstruction(BaseModel):
    model: str
    sha256: str
    label: int | None
    class_name: str | None
    untrained: bool
    original: str = Field(description="As the model sees it: a PNG in base64.")
    reconstruction: str
    latent: list[float]


class Anomaly(Reconstruction):
    score: float = Field(description="In nats: reconstruction_nats + kl.")
    reconstruction_nats: float
    kl: float
    heat: str = Field(description="The image, red where it differs from its reconstruction.")


class Login(Strict):
    token: Annotated[str, StringConstraints(max_length=1000)]


class Error(BaseModel):
    detail: str = Field(description="One line: what was wrong, and what to do.")


def responses(*codes: int) -> dict[int | str, dict[str, object]]:
    """How a route says in the OpenAPI document which failures it has."""
    return {code: {"model": Error, "description": WHY[code]} for code in (*ALWAYS, *codes)}


def answers(model: Any, *media: str) -> dict[str, Any]:
    """How a route says what it answers with: `model` as JSON, or one of these, as Accept or a parameter asks."""
    binary: dict[str, Any] = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in media}
    return {"model": model, "description": "What was asked for.", "content": binary}


ALWAYS = (401, 403, 408, 422)
WHY = {
    400: "A value that the model cannot be given, or an image or file that cannot be read.",
    401: "The server has a token, and this request does not.",
    403: "From another site's page, by another name of this server, or not allowed here.",
    404: "There is no such model or image.",
    408: "The body was not sent in time.",
    409: "The model has changed since: its file is not the one of sha256.",
    413: "More bytes than the server takes.",
    422: "Not what this document says.",
    503: "Busy: try again after as many seconds as Retry-After says.",
}
