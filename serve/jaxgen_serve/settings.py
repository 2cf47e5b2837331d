"""Settings of a server: its address, limits and data folder."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from jaxgen.errors import UsageError
from jaxgen.inference import runtime as runtimes
from jaxgen.inference.runtime import How

MEGABYTE = 2**20


def data_folder() -> Path:
    """The folder of models, uploads and the gallery: JAXGEN_HOME, or else the user's data folder."""
    home = os.environ.get("JAXGEN_HOME")
    if home:
        return Path(home)
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "jaxgen"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of one server. Raises UsageError on an invalid value."""

    data: Path = field(default_factory=data_folder)
    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None  # None: whoever reaches the port may use it
    cors: tuple[str, ...] = ()  # origins of other sites whose pages may use the server
    allow_uploads: bool = False  # of model files

    # One worker runs every graph; see `engine.Engine`.
    max_batch: int = 64  # images a call
    max_delay: float = 0.002  # seconds that a request waits for others to join
    max_queue: int = 1024  # images requested and not sampled yet
    deadline: float = 60.0  # seconds from a request to its images
    how: How = field(default_factory=How)  # options of the runtime

    max_images: int = 256  # of one request
    max_bytes: int = 64 * MEGABYTE  # of its images, before they are PNGs
    max_steps: int = 1000  # of its plan
    max_frames: int = 1000  # of a walk, all segments together
    max_body: int = 4 * MEGABYTE
    max_model: int = 64 * MEGABYTE  # of a model file that is uploaded
    max_models: int = 32  # of them
    max_upload_pixels: int = 4 * MEGABYTE  # of an image, before it is decoded
    max_open: int = 1024  # requests at a time, those that wait included

    def __post_init__(self) -> None:
        if self.token is not None and (len(self.token) < 8 or not self.token.isascii() or not self.token.isprintable()):
            raise UsageError("a token must be 8 printable ASCII characters or more, so that nobody guesses it")
        for origin in self.cors:
            scheme, separator, rest = origin.partition("://")
            if not separator or scheme not in ("http", "https") or not rest or set("/?#*@ ") & set(rest):
                raise UsageError(f"--cors takes an origin such as https://example.org, got {origin!r}")
        if min(self.max_batch, self.max_queue) < 1 or self.max_delay < 0 or self.deadline <= 0:
            raise UsageError("batch, queue and deadline must be above 0, and the delay at least 0")
        runtimes.check(self.how)
        other = runtimes.other(self.how)
        if self.allow_uploads and other is not None:
            raise UsageError(f"uploads are only tried in onnxruntime on the CPU: allow none, or do without {other}")

    @property
    def loopback(self) -> bool:
        """Whether only this machine reaches the server."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def most_images(self) -> int:
        """Images of one request; more than fit into the queue would never be sampled."""
        return min(self.max_images, self.max_queue)

    @property
    def uploads(self) -> Path:
        """The folder of uploaded models, each in a subfolder named by its hash."""
        return self.data / "uploads"
