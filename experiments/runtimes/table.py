"""The tables of docs/runtimes.md: every runtime and tool that was tried, on a VAE, a GAN and a diffusion model.

    jaxgen train --preset cvae-digits --out cvae && jaxgen export cvae -o vae.onnx --network vae.network.onnx
    ... cgan-digits and cddpm-digits likewise: gan.onnx, gan.network.onnx, diffusion.onnx, diffusion.network.onnx
    python experiments/runtimes/table.py vae.onnx gan.onnx diffusion.onnx --write docs/runtimes.md
    python experiments/runtimes/table.py vae.onnx gan.onnx diffusion.onnx --write docs/runtimes.md --only MNN TVM

The page is written after each row. With --only, the other rows stay as they are there; without it, all are new.

Each row has an environment of its own (a venv or an npm folder with pinned versions, made in a temporary folder, so it
needs a package index) and processes of its own, with a time limit. What is compared is 16 images, by DDIM in 10 steps
of the diffusion model, with those of the newest onnxruntime on the file as exported; of a network alone, what it gives
for its certificate's inputs. Both take turns, in one thread each; the ratio is the median of those of a turn. Needs
jaxgen[export], npm, and gcc for emx-onnx-cgen.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from environments import Environments, Failed
from measure import NETWORK, USUAL, Cell, Row, Subject
from page import KINDS, line, lines, section, table, written
from rows import RUNTIMES, TOOLS

from jaxgen.inference.benchmark import machine

ROW_SECONDS = 300  # for all files of a row, besides its installation
TABLES = {  # line before it -> rows, names of the first columns
    "<!-- runtimes: made by experiments/runtimes/table.py -->": (RUNTIMES, ("runtime", "version", "file")),
    "<!-- tools: likewise -->": (TOOLS, ("tool", "version")),
}


@contextmanager
def subjects(models: Sequence[Path]) -> Iterator[dict[tuple[str, bool], Subject]]:
    """By kind and whether it is the network alone."""
    with tempfile.TemporaryDirectory() as folder:
        environments = Environments(Path(folder) / "environments")
        environments.command(USUAL.packages)
        made = {}
        for kind, path in zip(KINDS, models, strict=True):
            for alone, file in ((False, path), (True, network_of(path))):
                own = Path(folder) / f"{kind}{'-network' * alone}"
                made[kind, alone] = Subject(file, environments, own, time.monotonic() + ROW_SECONDS)
        try:
            yield made
        finally:
            for subject in made.values():
                subject.close()


def measured(row: Row, subjects: dict[tuple[str, bool], Subject]) -> dict[str, Cell]:
    """One row, by kind."""
    chosen = {kind: subjects[kind, row.inputs == NETWORK] for kind in KINDS}
    with suppress(Failed):  # each cell says it again
        chosen[KINDS[0]].install(row)
    until = time.monotonic() + ROW_SECONDS
    return {kind: subject.cell(row, until) for kind, subject in chosen.items()}


def network_of(model: Path) -> Path:
    """vae.network.onnx of vae.onnx."""
    return model.with_suffix(".network.onnx")


class Page:
    """A page's tables, of which the rows that are measured are replaced; without a page they are only kept here."""

    def __init__(self, path: Path | None, *, keep: bool) -> None:
        """keep: whether rows stay that are on the page. They must be of this machine."""
        self._path, self._lines, self._machine = path, {}, f"{machine()}, one thread each."
        text = path.read_text() if path else ""
        for begin, (rows, head) in TABLES.items() if path else ():
            old = section(text, begin)
            self._lines |= lines(old, rows, head) if keep else {}
        if self._lines and self._machine not in text:
            raise SystemExit(f"{path}: its rows are of another machine; measure all of them here, without --only")

    def add(self, row: Row, found: dict[str, Cell]) -> None:
        _, head = next(entry for entry in TABLES.values() if row in entry[0])
        self._lines[row] = line(row, found, head)
        print(self._lines[row], flush=True)
        if self._path:
            text = self._path.read_text()
            for begin, (rows, head) in TABLES.items():
                text = written(text, begin, f"{self._machine}\n\n{table(rows, self._lines, head)}")
            self._path.write_text(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs=3, type=Path, metavar="MODEL.onnx", help=", ".join(KINDS))
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="Rows with these names alone.")
    parser.add_argument("--write", type=Path, metavar="FILE.md", help="Replace the tables in this file.")
    asked = parser.parse_args()
    every = (*RUNTIMES, *TOOLS)
    if unknown := set(asked.only) - {row.name for row in every}:
        parser.error(f"no row has the name {', '.join(sorted(unknown))}; there are {sorted({r.name for r in every})}")
    if missing := [path for model in asked.models for path in (model, network_of(model)) if not path.exists()]:
        parser.error(f"{', '.join(map(str, missing))}: missing; 'jaxgen export' writes it")
    page = Page(asked.write, keep=bool(asked.only))
    begin = time.monotonic()
    with subjects(asked.models) as made:
        for row in every:
            if not asked.only or row.name in asked.only:
                page.add(row, measured(row, made))
                print(f"{time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
