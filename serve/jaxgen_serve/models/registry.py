"""The served models by name, from watched files and folders; they may change while requests go on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Unpack

from jaxgen import shipped
from jaxgen.errors import JaxgenError, UsageError, nearest
from jaxgen.files import read_bytes
from jaxgen.inference import model_file as artifacts
from jaxgen.inference.model import Model
from jaxgen.inference.model_file import Artifact
from jaxgen.inference.predictor import Predictor
from jaxgen.inference.required_inputs import with_required_inputs
from jaxgen.inference.runtime import How
from jaxgen.latent.spaces import Codes
from jaxgen_serve.models import description

ENCODER = ".encoder.onnx"
FileState = tuple[tuple[int, int, int] | None, ...]  # of a model and its encoder: inode, bytes, time; None: no file

log = logging.getLogger(__name__)


class NotServed(UsageError):
    """No model has this name."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ServedModel:
    """A loaded model file. Messages of `model` and `encoder` use its name, never its path."""

    name: str
    model: Model
    encoder: Predictor | None  # from the file beside it
    path: Path
    size: int  # bytes

    @cached_property
    def with_required_inputs(self) -> Artifact:
        """The same file without defaults, as browsers need it; made on first use."""
        return with_required_inputs(self.model.artifact)

    @property
    def classifier(self) -> Predictor | None:
        """The classifier of its images that comes with jaxgen; None: there is none."""
        return classifier_of(self.model)


class Library:
    """The models of some files and folders; if two files have the same name, the first one is served."""

    def __init__(
        self,
        places: Sequence[Path],
        *,
        interval: float = 1.0,
        extra: Path | None = None,
        **how: Unpack[How],
    ) -> None:
        """places: model files, and folders of *.onnx; extra: a folder of uploads, with subfolders; interval: seconds
        between looks; how: options of the runtime; threads default to one for models that sample in one
        evaluation, and to the runtime's choice for others."""
        self._places, self._extra, self._interval, self._how = list(places), extra, interval, how
        self._files: dict[Path, _File] = {}
        self._models: dict[str, ServedModel] = {}
        self.refused: dict[str, str] = {}  # file name -> one line why it is not served
        self._looking = threading.Lock()
        self._closed = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="jaxgen-library", daemon=True)
        self.refresh()

    def models(self) -> list[ServedModel]:
        """All models in the order of the places, alphabetical within a folder."""
        return list(self._models.values())

    def get(self, name: str | None) -> ServedModel:
        """The model of a name; None: the first one. Raises NotServed, which lists the names."""
        models = self._models  # one table, even if a refresh replaces it meanwhile
        if not models:
            raise NotServed("no model is served here yet")
        if name is None:
            return next(iter(models.values()))
        if name not in models:
            shown = name[:60]
            raise NotServed(f"no model {shown!a}{nearest(shown, models)}; there is {', '.join(models)}")
        return models[name]

    def refresh(self, *, patient: bool = False) -> None:
        """Load files that were added or changed and drop removed ones; running requests are not disturbed.

        patient: load a file only if it has not changed between two calls, since it may still be being written.
        """
        with self._looking:
            models: dict[str, ServedModel] = {}
            refused: dict[str, str] = {}
            files = {path: self._files.get(path) or _File(path) for path in self._listed()}
            taken = set()
            for path, file in (files | self._files).items():
                if path.stem in taken:
                    if path in files:
                        files[path] = _File(path)  # loaded if the name becomes free
                        refused[path.name] = f"the name {path.stem!a} is taken by another file; rename one of them"
                    continue
                file.refresh(patient, self._how)
                if file.there:
                    files[path] = file  # even if only this look has missed it
                    taken.add(path.stem)
                if path in files:
                    refused |= file.complaints
                    models |= {path.stem: file.served} if file.served else {}
            if patient:  # else the caller reads `refused`
                for name in refused.keys() - self.refused.keys():
                    kept = (
                        "not replaced, the earlier file is still served" if Path(name).stem in models else "not served"
                    )
                    log.warning("%s: %s: %s", name, kept, refused[name])
            self._files, self._models, self.refused = files, models, refused

    def start(self) -> None:
        """Look every `interval` seconds, in a thread of its own."""
        self._watcher.start()

    def close(self) -> None:
        self._closed.set()
        if self._watcher.is_alive():
            self._watcher.join()

    def _watch(self) -> None:
        while not self._closed.wait(self._interval):
            try:
                self.refresh(patient=True)
            except Exception:  # go on looking, whatever a file causes
                log.exception("looking for models failed")

    def _listed(self) -> list[Path]:
        paths = [path for place in self._places for path in (_onnx(place, "*") if place.is_dir() else [place])]
        return paths if self._extra is None else paths + _onnx(self._extra, "*") + _onnx(self._extra, "*/*")


class _File:
    """One path: the state of its file, and the model loaded from it."""

    def __init__(self, path: Path) -> None:
        self.path, self.beside = path, path.with_suffix(ENCODER)
        self.there = False
        self.served: ServedModel | None = None
        self.complaints: dict[str, str] = {}  # file name -> why
        self._last: FileState | None = None  # state at the last refresh
        self._loaded: FileState | None = None  # state when it was loaded or refused

    def refresh(self, patient: bool, how: How) -> None:
        """Load the file if it has changed since the last attempt; if that fails, an earlier model stays."""
        state = _file_state(self.path), _file_state(self.beside)
        settled = state == self._last or not patient
        self._last = state
        if not settled or state == self._loaded:
            return
        self._loaded, self.there, self.complaints = state, state[0] is not None, {}
        if self.there:
            self._load(how)
        else:
            self.served = None
            self.complaints[self.path.name] = "there is no such file"

    def _load(self, how: How) -> None:
        name, old = self.path.stem, self.served
        with self._noting(self.path):
            artifact = read(self.path, name)
            same = old is not None and old.model.artifact.sha256 == artifact.sha256
            model = old.model if old and same else _loaded(artifact, how)
            encoder = old.encoder if old and same and self.beside.exists() else None
            with self._noting(self.beside):
                encoder = _encoder(self.beside, model, how) if self.beside.exists() else None
            self.served = ServedModel(name=name, model=model, encoder=encoder, path=self.path, size=len(artifact.data))

    @contextmanager
    def _noting(self, path: Path) -> Iterator[None]:
        """Record errors as complaints about a file."""
        try:
            yield
        except JaxgenError as err:
            self.complaints[path.name] = str(err)
        except Exception as err:  # a bad file can make onnxruntime or NumPy raise anything
            self.complaints[path.name] = f"cannot be loaded ({type(err).__name__})"
            log.exception("%s", path.name)


def classifier_of(model: Model) -> Predictor | None:
    """The classifier of a model's images that comes with jaxgen; None: there is none."""
    found = _classifier(description.dataset(model.artifact))
    return found if found and found.shape == model.shape else None


@cache
def _classifier(dataset: str) -> Predictor | None:
    """That of a dataset, loaded once; None: there is none."""
    try:
        return Predictor.open(shipped.extractor(dataset), threads=1, spin=False)
    except UsageError:
        return None


def read(path: Path, name: str) -> Artifact:
    """Read and check a model file; messages call it `name` and do not show its path. Raises JaxgenError."""
    try:
        return artifacts.parse(read_bytes(path, artifacts.MAX_BYTES), name)
    except JaxgenError as err:
        raise JaxgenError(str(err).replace(str(path), name)) from err


def require_pair(model: Model, encoder: Predictor) -> None:
    """Raise JaxgenError unless `encoder` is this model's."""
    if model.inference.process is not None:
        name = model.artifact.path
        raise JaxgenError(f"{encoder.artifact.path}: {name} samples by a plan, which is run backwards: no encoder")
    Codes(model, encoder)  # raises if their weights differ


def _loaded(artifact: Artifact, how: How) -> Model:
    """Load a model. One evaluation is too short for several threads, and a spinning thread takes a core from the
    server; a plan of several steps is long enough for both to pay off (experiments/serving)."""
    short = artifact.inference.evaluations == 1
    fitting: How = {**how, "threads": how.get("threads") or (1 if short else None), "spin": not short}
    return Model.of(artifact, **fitting)


def _encoder(path: Path, model: Model, how: How) -> Predictor:
    """Load a model's encoder. Raises JaxgenError if the file is not this model's."""
    fitting: How = {**how, "threads": how.get("threads") or 1, "spin": False}
    encoder = Predictor.of(read(path, path.name), **fitting)
    require_pair(model, encoder)
    return encoder


def _onnx(folder: Path, pattern: str) -> list[Path]:
    return sorted(
        path
        for path in folder.glob(f"{pattern}.onnx")
        if not path.name.endswith(ENCODER) and not path.name.startswith(".")
    )


def _file_state(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns
