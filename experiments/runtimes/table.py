"""The tables of docs/runtimes.md: every runtime and tool that was tried, on a VAE, a GAN and a diffusion model.

    jaxgen train --preset cvae-digits --out cvae && jaxgen export cvae -o vae.onnx    # and cgan-digits, cddpm-digits
    python experiments/runtimes/table.py vae.onnx gan.onnx diffusion.onnx --write docs/runtimes.md

Each row has an environment of its own (a venv or an npm folder with pinned versions, made in a temporary folder, so it
needs a package index) and processes of its own with a time limit. What is compared is 16 images, by DDIM in 10 steps of
the diffusion model, with those of the newest onnxruntime on the file as exported. Both take turns, in one thread each;
the ratio is the median of those of a turn. Needs jaxgen[export], npm, and clang for tinygrad.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from measure import EXPORTED, FED, NEWEST, NUMPY, REQUIRED, Cell, Environments, Row, Subject

from jaxgen.inference.benchmark import machine

REPOSITORY = Path(__file__).parents[2]
KINDS = ("VAE", "GAN", "diffusion")
RUNTIMES_BEGIN, TOOLS_BEGIN = "<!-- runtimes: made by experiments/runtimes/table.py -->", "<!-- tools: likewise -->"
END = "<!-- end -->"
Found = Mapping[str, Cell]  # by kind


def _python(name: str, *packages: str, worker: str = "", inputs: str = EXPORTED) -> Row:
    return Row(name=name, worker=worker or name, packages=(*packages, NUMPY), inputs=inputs)


def _tool(name: str, tool: str, *packages: str) -> Row:
    return Row(name=name, worker="onnxruntime", packages=(*packages, NUMPY), tool=tool)


OPENVINO, TRACT, ONNX = "openvino==2026.4.1", "tract==0.23.9", "onnx==1.23.2"
RUNTIMES = (
    *(_python("onnxruntime", f"onnxruntime=={version}") for version in ("1.20.1", "1.21.1", "1.31.1")),
    _python("onnx.reference", ONNX, worker="reference"),
    *(_python("OpenVINO", OPENVINO, worker="openvino", inputs=inputs) for inputs in (EXPORTED, REQUIRED, FED)),
    _python("OpenVINO in jaxgen", OPENVINO, str(REPOSITORY), worker="jaxgen-openvino"),
    _python("tract", TRACT),
    _python("tract in jaxgen", TRACT, str(REPOSITORY), worker="jaxgen-tract"),
    *(
        Row(name=name, worker=name, packages=(f"{name}@1.30.0",), inputs=inputs)
        for name in ("onnxruntime-node", "onnxruntime-web")
        for inputs in (EXPORTED, REQUIRED)
    ),
    _python("tinygrad", "tinygrad==0.14.0"),
    _python("OpenCV", "opencv-python-headless==5.0.0.93", worker="opencv"),
    _python("IREE", "iree-base-compiler[onnx]==3.13.0", "iree-base-runtime==3.13.0", worker="iree"),
    _python("MNN", "MNN==3.6.1", worker="mnn"),
)
TOOLS = (
    _tool("onnxslim", "onnxslim", "onnxslim==0.1.98", ONNX),
    _tool("onnxsim", "onnxsim", "onnxsim==0.8.1", ONNX),
    _tool("onnxoptimizer", "onnxoptimizer", "onnxoptimizer==0.4.2", ONNX),
    _tool("onnxruntime's optimised model", "optimized", NEWEST),
    _tool("onnxconverter-common float16", "float16", "onnxconverter-common==1.16.0", ONNX),
    _tool("onnxruntime quantize_dynamic", "quantized", NEWEST, ONNX),
)


def cell(found: Cell) -> str:
    """'100 %, 1.36' of equal pixels and speed; a share is rounded down, so that 100 % is all of them."""
    if found.identical is None:
        return "no"
    share = int(found.identical * 10_000) / 100
    differs = "" if found.identical == 1 else f" (off by {found.off_by})"
    return f"{share:g} %{differs}, {found.speed:.2f}"


def note(found: Found) -> str:
    """What went wrong, in the library's words, once for all files that it is the same for."""
    kinds: dict[str, list[str]] = {}
    for kind, each in found.items():
        told = {
            f"`{each.error}`": each.error,
            f"loses {each.lost}": each.lost,
            "its first run gives other images than later ones": each.unsteady,
        }
        for words in (words for words, so in told.items() if so):
            kinds.setdefault(words, []).append(kind)
    return "; ".join(words if len(of) == len(found) else f"{', '.join(of)}: {words}" for words, of in kinds.items())


def table(rows: Sequence[Row], found: Mapping[Row, Found], head: Sequence[str]) -> str:
    """In Markdown, without rows that were not measured; head: 'runtime', 'version', 'file', or fewer of them."""
    lines = [[*head, *KINDS, "what it says"], ["---"] * (len(head) + len(KINDS) + 1)]
    for row in rows:
        if row in found:
            told = [row.name, row.version, row.inputs][: len(head)]
            lines.append([*told, *(cell(found[row][kind]) for kind in KINDS), note(found[row])])
    return "\n".join("| " + " | ".join(parts).rstrip() + " |" for parts in lines)


def measured(models: Sequence[Path], names: Sequence[str]) -> dict[Row, dict[str, Cell]]:
    """Each row with one of these names, or with any if there is none."""
    with tempfile.TemporaryDirectory() as folder:
        environments = Environments(Path(folder) / "environments")
        subjects = [Subject(kind, path, environments, Path(folder)) for kind, path in zip(KINDS, models, strict=True)]
        found: dict[Row, dict[str, Cell]] = {}
        for row in (*RUNTIMES, *TOOLS):
            if names and row.name not in names:
                continue
            found[row] = {subject.kind: subject.cell(row) for subject in subjects}
            print(row.name, row.version, row.inputs, found[row], file=sys.stderr)
        for subject in subjects:
            subject.close()
    return found


def written(text: str, begin: str, table: str) -> str:
    """The text with the table after the line `begin` replaced."""
    head, found, tail = text.partition(f"{begin}\n")
    if not found:
        raise SystemExit(f"expected the line {begin!r}")
    return f"{head}{begin}\n{table}\n{tail[tail.index(END) :]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs=3, type=Path, metavar="MODEL.onnx", help=", ".join(KINDS))
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="A row's name; may be repeated.")
    parser.add_argument("--write", type=Path, metavar="FILE.md", help="Replace the tables in this file.")
    asked = parser.parse_args()
    found = measured(asked.models, asked.only)
    tables = {
        RUNTIMES_BEGIN: f"{machine()}, one thread each.\n\n{table(RUNTIMES, found, ('runtime', 'version', 'file'))}",
        TOOLS_BEGIN: table(TOOLS, found, ("tool", "version")),
    }
    print("\n\n".join(tables.values()))
    if asked.write:
        text = asked.write.read_text()
        for begin, made in tables.items():
            text = written(text, begin, made)
        asked.write.write_text(text)


if __name__ == "__main__":
    main()
