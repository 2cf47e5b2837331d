"""An environment for each library, and processes in it: a worker that runs a model file when it is asked."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

INSTALL_SECONDS = 400
ERROR = 110  # characters of one
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TVM_NUM_THREADS", "NUM_CPU_THREADS"), "1"
)  # the last is tinygrad's


class Failed(Exception):
    """Of a library, a tool or an installation, in its own words."""


class Worker:
    """A process that has loaded a file in a library, run it once, and does it again when it is asked."""

    def __init__(self, command: Sequence[str | Path], folder: Path, until: float) -> None:
        """until: of time.monotonic(), when it must be ready. Raises Failed, with what the library says."""
        self._process = subprocess.Popen(
            [*map(str, command)], cwd=folder, text=True,
            env={**os.environ, **ONE_THREAD, "XDG_CACHE_HOME": str(folder)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            self.unsteady = self._answer("ready|unsteady", until) == "unsteady"
        except BaseException:
            self.close()
            raise

    def seconds(self, until: float) -> float:
        """Of one run."""
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._answer(r"[\d.e-]+", until))

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _answer(self, wanted: str, until: float) -> str:
        """The next line that is one; libraries print others."""
        assert self._process.stdout
        late = threading.Timer(max(until - time.monotonic(), 0), self._process.kill)
        late.start()
        try:
            for line in self._process.stdout:
                if line.startswith("error "):
                    raise Failed(line.removeprefix("error "))
                if re.fullmatch(wanted, line.strip()):
                    return line.strip()
        finally:
            late.cancel()
        raise Failed("it crashes" if time.monotonic() < until else "it takes too long")


class Environments:
    """Venvs and npm folders, made when they are first needed."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._made: dict[frozenset[str], tuple[Path | str, Path] | Failed] = {}

    def command(self, packages: tuple[str, ...]) -> tuple[Path | str, Path]:
        """What runs a worker where these packages are, and the folder to run it in. Raises Failed."""
        key = frozenset(packages)
        if key not in self._made:
            try:
                self._made[key] = self._install(packages)
            except Failed as err:
                self._made[key] = Failed(f"cannot be installed: {err}")
        made = self._made[key]
        if isinstance(made, Failed):
            raise made
        return made

    def _install(self, packages: tuple[str, ...]) -> tuple[Path | str, Path]:
        folder = self._folder / f"environment{len(self._made)}"
        folder.mkdir()
        until = time.monotonic() + INSTALL_SECONDS
        if "@" in packages[0]:
            run(["npm", "install", "--silent", "--ignore-scripts", *packages], folder, until)
            return "node", folder
        python = folder / "bin" / "python"
        run([sys.executable, "-m", "venv", "--without-pip", folder], folder, until)
        pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-compile"]
        run([*pip, *packages], folder, until)
        return python, folder


def run(command: Sequence[str | Path], folder: Path, until: float) -> None:
    """Raises Failed with the command's last words, or what a worker says of an error."""
    seconds = max(until - time.monotonic(), 0)
    try:
        done = subprocess.run(
            [*map(str, command)], cwd=folder, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise Failed("it takes too long") from None
    except FileNotFoundError:
        raise Failed(f"{command[0]} is missing") from None
    if done.returncode:
        told = [line.removeprefix("error ") for line in done.stdout.splitlines() if line.startswith("error ")]
        printed = (done.stderr or done.stdout).strip().splitlines()
        raise Failed((told or printed or [f"it ends with {done.returncode}"])[-1])


def shortened(text: str) -> str:
    """An error on one line of a table: no addresses, no folders of this machine, no more than ERROR characters."""
    text = re.sub(r"\w+://\S+|host='[^']*'", "...", " ".join(text.split()))
    text = re.sub(r"(?:/[\w.+@-]+)+/([\w.+@-]+)", r"\1", text)
    text = text.replace("|", "/").replace("`", "'")
    return text if len(text) <= ERROR else f"{text[: ERROR - 3]}..."
