"""The command in this process: quick, since what it imports is there already."""

import sys
from dataclasses import dataclass

import pytest

from jaxgen.cli import main


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
