"""Models by name, from files and folders that are watched: added, changed and removed while requests go on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Unpack

from jaxgen.errors import JaxgenError, UsageError, nearest
from jaxgen.files import read_bytes
from jaxgen.inference import model_file as artifacts
from jaxgen.inference.model_file import Artifact
from jaxgen.inference.predictor import Predictor
from jaxgen.inference.required_inputs import with_required_inputs
from jaxgen.inference.runtime import How
from jaxgen.inference.sampler import Model
from jaxgen.latent.spaces import Codes

ENCODER = ".encoder.onnx"
Look = tuple[tuple[int, int, int] | None, ...]  # of a model's file and its encoder's: inode, bytes, time; None: no file

log = logging.getLogger(__name__)


class NotServed(UsageError):
    """A name that no model has."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ServedModel:
    """A loaded file. The messages of `sampler` and `reader` know it by its name, and never by its path."""

    name: str
    sampler: Model
    reader: Predictor | None  # the encoder beside it
    path: Path
    size: int  # bytes

    @cached_property
    def with_required_inputs(self) -> Artifact:
        """The same file without defaults, as browsers need it; made when it is first asked for."""
        return with_required_inputs(self.sampler.artifact)


class Library:
    """The models of some files and folders; where two files have one name, the first of them in this order is meant."""

    def __init__(
        self,
        places: Sequence[Path],
        *,
        interval: float = 1.0,
        extra: Path | None = None,
        **how: Unpack[How],
    ) -> None:
        """places: model files, and folders whose *.onnx are meant; extra: a folder of uploads, in which a file may also
        lie in a folder of its own; interval: seconds between looks; how: each model is run; threads where nothing is
        said: one for those that draw in one evaluation, for others as many as the runtime thinks right."""
        self._places, self._extra, self._interval, self._how = list(places), extra, interval, how
        self._files: dict[Path, _File] = {}
        self._models: dict[str, ServedModel] = {}
        self.refused: dict[str, str] = {}  # file name -> one line why it is not served as it is now
        self._looking = threading.Lock()
        self._closed = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="jaxgen-library", daemon=True)
        self.refresh()

    def models(self) -> list[ServedModel]:
        """In the order of the places; alphabetical within a folder."""
        return list(self._models.values())

    def get(self, name: str | None) -> ServedModel:
        """The model of a name; None: the first one. Raises NotServed, with the names that there are."""
        models = self._models  # one table, whatever a look changes meanwhile
        if not models:
            raise NotServed("no model is served here yet")
        if name is None:
            return next(iter(models.values()))
        if name not in models:
            shown = name[:60]
            raise NotServed(f"no model {shown!a}{nearest(shown, models)}; there is {', '.join(models)}")
        return models[name]

    def refresh(self, *, patient: bool = False) -> None:
        """Look for what was added, changed or removed, and load it; what is being drawn meanwhile is not disturbed.

        patient: believe only what two looks in a row have found, for a file may be in the middle of being written.
        """
        with self._looking:
            models: dict[str, ServedModel] = {}
            refused: dict[str, str] = {}
            files = {path: self._files.get(path) or _File(path) for path in self._listed()}
            taken = set()
            for path, file in (files | self._files).items():
                if path.stem in taken:
                    if path in files:
                        files[path] = _File(path)  # to be loaded if the name becomes free
                        refused[path.name] = f"the name {path.stem!a} is taken by another file; rename one of them"
                    continue
                file.refresh(patient, self._how)
                if file.there:
                    files[path] = file  # where this look alone has not found it, too
                    taken.add(path.stem)
                if path in files:
                    refused |= file.complaints
                    models |= {path.stem: file.model} if file.model else {}
            if patient:  # else it is asked for, and told, by somebody who reads `refused`
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
            except Exception:  # whatever a file does, the next look comes
                log.exception("looking for models failed")

    def _listed(self) -> list[Path]:
        paths = [path for place in self._places for path in (_onnx(place, "*") if place.is_dir() else [place])]
        return paths if self._extra is None else paths + _onnx(self._extra, "*") + _onnx(self._extra, "*/*")


class _File:
    """One path: what was found there, and the model that came of it."""

    def __init__(self, path: Path) -> None:
        self.path, self.beside = path, path.with_suffix(ENCODER)
        self.there = False
        self.model: ServedModel | None = None
        self.complaints: dict[str, str] = {}  # file name -> why
        self._seen: Look | None = None  # at the last look
        self._tried: Look | None = None  # as which it was loaded or refused

    def refresh(self, patient: bool, how: How) -> None:
        """Load the file if it is not what was tried last; a model that was there stays if that fails."""
        look = _look(self.path), _look(self.beside)
        settled = look == self._seen or not patient
        self._seen = look
        if not settled or look == self._tried:
            return
        self._tried, self.there, self.complaints = look, look[0] is not None, {}
        if self.there:
            self._load(how)
        else:
            self.model = None
            self.complaints[self.path.name] = "there is no such file"

    def _load(self, how: How) -> None:
        name, old = self.path.stem, self.model
        with self._noting(self.path):
            artifact = read(self.path, name)
            same = old is not None and old.sampler.artifact.sha256 == artifact.sha256
            sampler = old.sampler if old and same else _sampler(artifact, how)
            reader = old.reader if old and same and self.beside.exists() else None
            with self._noting(self.beside):
                reader = _encoder(self.beside, sampler, how) if self.beside.exists() else None
            self.model = ServedModel(
                name=name, sampler=sampler, reader=reader, path=self.path, size=len(artifact.data)
            )  # fmt: skip

    @contextmanager
    def _noting(self, path: Path) -> Iterator[None]:
        """Make a complaint of what is wrong with a file."""
        try:
            yield
        except JaxgenError as err:
            self.complaints[path.name] = str(err)
        except Exception as err:  # a file can make onnxruntime or NumPy fail in ways of their own
            self.complaints[path.name] = f"cannot be loaded ({type(err).__name__})"
            log.exception("%s", path.name)


def read(path: Path, name: str) -> Artifact:
    """A model file, checked; messages call it `name`, and tell nobody where it lies. Raises JaxgenError."""
    try:
        return artifacts.parse(read_bytes(path, artifacts.MAX_BYTES), name)
    except JaxgenError as err:
        raise JaxgenError(str(err).replace(str(path), name)) from err


def require_pair(sampler: Model, encoder: Predictor) -> None:
    """Raise JaxgenError unless `encoder` is this model's."""
    if sampler.inference.process is not None:
        drawing, reading = sampler.artifact.path, encoder.artifact.path
        raise JaxgenError(f"{reading}: {drawing} draws by a plan, which is run backwards: no encoder")
    Codes(sampler, encoder)  # raises if their weights differ


def _sampler(artifact: Artifact, how: How) -> Model:
    """One evaluation is too short to be shared by two threads, and a core that waits busily is one that answers lack;
    a plan is long enough for both to pay (experiments/serving)."""
    at_once = artifact.inference.process is None
    fitting: How = {**how, "threads": how.get("threads") or (1 if at_once else None), "spin": not at_once}
    return Model.of(artifact, **fitting)


def _encoder(path: Path, sampler: Model, how: How) -> Predictor:
    """Raises JaxgenError if the file is not the encoder of this model."""
    fitting: How = {**how, "threads": how.get("threads") or 1, "spin": False}
    reader = Predictor.of(read(path, path.name), **fitting)
    require_pair(sampler, reader)
    return reader


def _onnx(folder: Path, pattern: str) -> list[Path]:
    return sorted(
        path
        for path in folder.glob(f"{pattern}.onnx")
        if not path.name.endswith(ENCODER) and not path.name.startswith(".")
    )


def _look(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
