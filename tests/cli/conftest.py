"""The command in this process: quick, since what it imports is there already."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxgen.cli import main
from jaxgen.runs.folder import RunFolder
from jaxgen.training import trainer


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line of a failure, without 'jaxgen: '."""
        assert self.err.startswith("jaxgen: ") and self.err.endswith("\n") and self.err.count("\n") == 1, self.err
        return self.err.removeprefix("jaxgen: ").rstrip()


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """command(*arguments) -> Outcome, in an empty folder, with a cache of its own and no network to speak of."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("JAXGEN_DATA_DIR", raising=False)

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["jaxgen", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return Outcome(int(ended.value.code or 0), out, err)

    return run


@pytest.fixture
def refused(command):
    """refused(code, *arguments): that it fails with this code and one line, and prints nothing; gives the line."""

    def run(code: int, *arguments: object) -> str:
        outcome = command(*arguments)
        assert (outcome.code, outcome.out) == (code, ""), outcome
        assert "internal error" not in outcome.line
        return outcome.line

    return run


@pytest.fixture
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def sample(command, model):
    """sample(*options): the result, which must be a success."""

    def run(*options):
        result = command("sample", model.onnx, *options)
        assert (result.code, result.err) == (0, "")
        return result

    return run


@pytest.fixture
def latent(command, tmp_path):
    """latent(*arguments): what it says with --json; in a folder that holds one.png and two.png."""
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8)).save(tmp_path / f"{name}.png")

    def run(*arguments):
        result = command("latent", *arguments, "--json")
        assert result.code == 0, result
        return json.loads(result.out)

    return run


@pytest.fixture
def asked(monkeypatch):
    """What `jaxgen train` would train, without training it."""
    calls = []

    def train(config, folder, **rest):
        calls.append((config, folder, rest))
        return Path(folder) / "checkpoints" / "00000001"

    monkeypatch.setattr(trainer, "train", train)
    return calls


@pytest.fixture
def run(small, tmp_path) -> Path:
    """A run folder that has a config and a checkpoint's folder."""
    made = RunFolder(tmp_path / "made")
    made.write(small, Path("/data"))
    made.checkpoints.mkdir()
    return made.path
