"""GET /stream: images while they are being denoised, as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from jaxgen.errors import JaxgenError
from jaxgen.images import png_bytes
from jaxgen_serve.api.dependencies import Service, off_loop, service_of
from jaxgen_serve.api.generation import GenerationRequest, GenerationResult, base64_png, checked_generation
from jaxgen_serve.api.schemas import StreamQuery, responses

router = APIRouter(tags=["sample"])
AHEAD = 64  # frames that a slow client may be behind; more are dropped
EVENT_SCHEMA = {
    "type": "object",
    "properties": {
        "event": {"enum": ["frame", "done", "error"]},
        "data": {"type": "string", "description": "JSON"},
    },
    "required": ["event", "data"],
}
QUIET = 10.0  # seconds after which a comment keeps proxies from hanging up

Event = tuple[int, int, np.ndarray] | None


@router.get(
    "/stream",
    response_class=StreamingResponse,
    responses={
        **responses(400, 404, 409, 503),
        200: {
            "description": "Events: frame {row, rows, images} a step, then done {settings, images} or error {detail}.",
            "content": {"text/event-stream": {"schema": EVENT_SCHEMA}},
        },
    },
)
async def stream(request: Request, query: Annotated[StreamQuery, Query()]) -> StreamingResponse:
    """Sample as /generate-batch does, and send the images after each step of the denoising."""
    service = service_of(request)
    return Events(service, checked_generation(service, query.body(), query.num_images))


class Events(StreamingResponse):
    """Streams frames as they come, then the result. Cancels the work when the client leaves. Raises Busy."""

    def __init__(self, service: Service, generation: GenerationRequest) -> None:
        self.loop = asyncio.get_running_loop()
        self.frames: asyncio.Queue[Event] = asyncio.Queue()
        self.generation, self.start = generation, self.loop.time()
        self.ticket = generation.submit(service, self.on_frame)
        self.ticket.future.add_done_callback(lambda _: self.send_event(None))
        super().__init__(self.events(), media_type="text/event-stream", headers={"cache-control": "no-store"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.ticket.cancel()

    def on_frame(self, row: int, rows: int, images: np.ndarray) -> None:
        if self.frames.qsize() < AHEAD:
            self.send_event((row, rows, images))

    def send_event(self, event: Event) -> None:
        """Queue an event from the engine's thread, which may outlive the loop."""
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self.frames.put_nowait, event)

    async def events(self) -> AsyncIterator[str]:
        async for text in _frames(self.frames):
            yield text
        try:
            images, _ = self.ticket.future.result(timeout=0)
        except JaxgenError as err:
            yield event("error", {"detail": str(err)})
            return
        made = GenerationResult(
            generation=self.generation, images=images, milliseconds=round((self.loop.time() - self.start) * 1000, 2)
        )
        used = {**self.generation.used(count=len(images)), "milliseconds": made.milliseconds}
        yield event("done", {**used, "images": await off_loop(images.size, made.all)})


async def _frames(frames: asyncio.Queue[Event]) -> AsyncIterator[str]:
    while True:
        try:
            async with asyncio.timeout(QUIET):
                frame = await frames.get()
        except TimeoutError:
            yield ": still sampling\n\n"
            continue
        if frame is None:
            return
        row, rows, images = frame
        texts = await off_loop(images.size, partial(_encoded, images))
        yield event("frame", {"row": row, "rows": rows, "images": texts})


def _encoded(images: np.ndarray) -> list[str]:
    return [base64_png(png_bytes(image)) for image in images]


def event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
