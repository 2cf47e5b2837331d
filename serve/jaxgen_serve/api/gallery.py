"""POST and GET /gallery; get, mark, delete and restore an image in it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from jaxgen.errors import UsageError
from jaxgen.files import zipped
from jaxgen.inference.provenance import Provenance
from jaxgen_serve.api.dependencies import service_of
from jaxgen_serve.api.generation import checked_generation, sample
from jaxgen_serve.api.images import attachment
from jaxgen_serve.api.schemas import PNG, BatchRequest, Count, Name, Seed, Strict, responses
from jaxgen_serve.gallery.database import Unavailable
from jaxgen_serve.gallery.records import GalleryImage
from jaxgen_serve.gallery.store import MAX_LIMIT, Gallery

router = APIRouter(prefix="/gallery", tags=["gallery"])
ZIP: dict[str, Any] = {
    "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
    "description": "The ZIP.",
}
# A file never changes under its id; `private`, since the server may ask for a token.
CACHED = {"cache-control": "private, max-age=31536000, immutable"}


@dataclass(frozen=True, kw_only=True)
class KeptImage(GalleryImage):
    """A kept image and its settings; url: of its PNG."""

    url: str


@dataclass(frozen=True, kw_only=True)
class KeptImages:
    """The kept images; added: how many of them are new in the gallery."""

    images: list[KeptImage]
    added: int


@dataclass(frozen=True, kw_only=True)
class Listing:
    """A page of the gallery; next: `before` for the next page, null on the last; total: all matching images."""

    images: list[KeptImage]
    next: str | None
    total: int


class Mark(Strict):
    favourite: bool


class Several(Strict):
    ids: Annotated[list[Name], Field(min_length=1, max_length=MAX_LIMIT)]


def gallery_of(request: Request) -> Gallery:
    """The gallery. Raises Unavailable with the reason if the server runs without one."""
    gallery = service_of(request).gallery
    if isinstance(gallery, Unavailable):
        raise Unavailable(str(gallery))  # a new one each time: an exception that is raised keeps its traceback
    return gallery


@router.post("", responses=responses(400, 404, 409, 413, 503))
async def keep(request: Request, num_images: Count = 1, body: BatchRequest | None = None) -> KeptImages:
    """Sample images as POST /generate-batch does, and keep them. An image that is kept already is not kept twice."""
    gallery = gallery_of(request)
    generation = checked_generation(service_of(request), body or BatchRequest(), num_images)
    if generation.latent is not None:
        raise UsageError("the gallery keeps images of seeds, which can be sampled again; it takes no latent")
    made = await sample(request, generation)
    count = len(made.images)
    kept, added = await to_thread.run_sync(lambda: gallery.add([(made.used(i), made.png(i)) for i in range(count)]))
    return KeptImages(images=[_shown(image) for image in kept], added=added)


@router.get("", responses=responses(400, 503))
def search(
    request: Request,
    model: Name | None = None,
    label: Annotated[
        Name | None, Query(description="A class by its number or name; -1: images without a class.")
    ] = None,
    seed: Seed | None = None,
    favourite: bool | None = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 60,
    before: Annotated[Name | None, Query(description="The `next` of the page before; default: the newest.")] = None,
) -> Listing:
    """The kept images that match every given filter, newest first."""
    page = gallery_of(request).search(
        model=model, label=label, seed=seed, favourite=favourite, limit=limit, before=before
    )
    return Listing(images=[_shown(image) for image in page.images], next=page.next, total=page.total)


@router.get("/{image_id}.png", response_class=Response, responses={**responses(404, 503), 200: PNG})
def file(request: Request, image_id: str) -> Response:
    """The PNG, which carries its provenance."""
    return Response(gallery_of(request).png(image_id), media_type="image/png", headers=CACHED)


@router.post("/files/zip", response_class=Response, responses={**responses(404, 413, 503), 200: ZIP})
def download(request: Request, body: Several) -> Response:
    """Kept images as a ZIP, in a folder for each model."""
    gallery = gallery_of(request)
    files = {}
    for name in body.ids:
        image = gallery.get(name)
        label = -1 if image.label is None else image.label
        made = Provenance(model="", seed=image.seed, index=image.index, label=label, untrained=image.untrained)
        file = f"{image.model}/{made.file_name}"
        files[file if file not in files else f"{image.model}/{name}.png"] = gallery.png(name)  # other steps, say
    return Response(zipped(files.items()), media_type="application/zip", headers=attachment("gallery.zip"))


@router.patch("/{image_id}", responses=responses(404, 413, 503))
def mark(request: Request, image_id: str, body: Mark) -> KeptImage:
    """Make an image a favourite, or no longer one."""
    return _shown(gallery_of(request).set_favourite(image_id, body.favourite))


@router.delete("/{image_id}", responses=responses(404, 503))
def delete(request: Request, image_id: str) -> KeptImage:
    """Take an image out; for a day it can be restored."""
    return _shown(gallery_of(request).delete(image_id))


@router.post("/{image_id}/restore", responses=responses(404, 503))
def restore(request: Request, image_id: str) -> KeptImage:
    """Bring back an image that was deleted."""
    return _shown(gallery_of(request).restore(image_id))


def _shown(image: GalleryImage) -> KeptImage:
    return KeptImage(**asdict(image), url=f"/gallery/{image.id}.png")
