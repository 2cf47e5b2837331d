"""`jaxgen serve` in a process of its own, on a free port of this machine."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Server:
    url: str
    pid: int

    def resident_megabytes(self) -> float:
        """What the process holds of the machine's memory."""
        return psutil.Process(self.pid).memory_info().rss / 2**20


@contextlib.contextmanager
def serving(models: list[str], *options: str) -> Iterator[Server]:
    """A server that answers; it is stopped, as by Ctrl-C, at the end of the block."""
    with tempfile.TemporaryDirectory() as data, tempfile.TemporaryFile("w+") as log:
        command = [sys.executable, "-m", "jaxgen", "serve", *models, "--port", "0", "--data", data, *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert process.stdout is not None
        too_long = threading.Timer(120, process.kill)
        too_long.start()
        try:
            line = process.stdout.readline()
            too_long.cancel()
            if " at http" not in line:
                process.wait()
                log.seek(0)
                raise SystemExit(f"the server did not start: {log.read()[-2000:]}")
            yield Server(line.split(" at ")[1].strip(), process.pid)
        finally:
            too_long.cancel()
            process.terminate()
            process.wait(timeout=60)
