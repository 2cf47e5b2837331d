"""Running commands of jaxgen on a model, each in a process of its own: the files it writes, and its command line."""

from __future__ import annotations

import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from jaxgen.errors import JaxgenError
from jaxgen_serve.dashboard import background_jobs
from jaxgen_serve.dashboard.models import LoadedModel
from jaxgen_serve.models.registry import ENCODER

SECONDS = 120.0  # that a command may take


@dataclass(frozen=True, kw_only=True)
class Command:
    """verb: of one word or more; words: what follows the model; file: an image that somebody uploaded, to be read."""

    verb: tuple[str, ...]
    words: tuple[str, ...]
    file: tuple[str, bytes] | None = None  # name, content

    def line(self, loaded: LoadedModel) -> str:
        """The command as it is typed at a terminal."""
        files = [self.file[0]] if self.file else []
        return shlex.join(["jaxgen", *self.verb, loaded.file, *files, *self.words])


@dataclass(frozen=True, kw_only=True)
class Answer:
    """files: those that were written, by name; printed: stdout."""

    files: dict[str, bytes]
    printed: str

    @property
    def content(self) -> bytes:
        """The content of the first file, which may be the only one."""
        return next(iter(self.files.values()))


def answer(loaded: LoadedModel, command: Command, output: str, *options: str) -> Answer:
    """The files and the output of a command with `-o OUTPUT` (a file name, or a folder's with a slash) and options
    besides. It is run once, then cached.

    Raises JaxgenError with its line, in which files have the names that people gave them.
    """
    return _answer(loaded.model.artifact.sha256, command, output, options, loaded)


@st.cache_data(max_entries=32, show_spinner=False)
def _answer(sha256: str, command: Command, output: str, options: tuple[str, ...], _loaded: LoadedModel) -> Answer:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        file = place / f"{Path(_loaded.name).name}.onnx"
        file.write_bytes(_loaded.model.artifact.data)
        if _loaded.encoder:
            file.with_suffix(ENCODER).write_bytes(_loaded.encoder.data)
        read = []
        if command.file:
            read = [place / "read" / Path(command.file[0]).name]
            read[0].parent.mkdir()
            read[0].write_bytes(command.file[1])
        words = [*command.verb, str(file), *map(str, read), *command.words, "-o", f"{place}/{output}", *options]
        try:
            printed = background_jobs.run(words, deadline=SECONDS)
        except JaxgenError as err:
            raise JaxgenError(str(err).replace(f"{place}/read/", "").replace(f"{place}/", "")) from err
        made = sorted((place / output).iterdir()) if output.endswith("/") else [place / output]
        files = {path.name: path.read_bytes() for path in made}
        return Answer(files=files, printed=printed.replace(f"{place}/read/", "").replace(f"{place}/", ""))
