"""The table of presets in README.md beside this, from runs that were trained: each is exported, sampled and a row.

    JAXGEN_DATA_DIR=~/data python experiments/presets/table.py runs/cvae-mnist runs/gan-mnist ...

Writes experiments/presets/NAME.png and out/presets/NAME.onnx. The time is the wall time from a run's start to its
last checkpoint, testing and sampling included; of a run that was interrupted, that of its steps alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from jaxgen.config import Config
from jaxgen.inference import model_file
from jaxgen.inference.verify import worst
from jaxgen.runs.folder import RunFolder
from jaxgen.training.data_loading import open_data
from jaxgen.training.restore import load_trained
from jaxgen.training.train_step import total_steps

HERE, OUT = Path(__file__).parent, Path("out/presets")
SAMPLE_OPTIONS = ["-n", "12", "--seed", "0"]


def seconds(run: Path, batch_size: int, step: int) -> float:
    """From the start to the last checkpoint, but at least what all steps take at the speeds that were logged."""
    last = run / "checkpoints" / f"{step:08d}" / "jaxgen.json"
    wall = last.stat().st_mtime - (run / "environment.json").stat().st_mtime
    total, done = 0.0, 0
    for line in (run / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        if speed := row.get("images_per_second"):
            total += (row["step"] - done) * batch_size / speed
            done = row["step"]
    return max(wall, total)


def steps(config: Config, done: int) -> str:
    """How far it was trained, and how far the preset goes where that is farther."""
    batches, _ = open_data(config, None)
    total = total_steps(config, batches.steps_per_epoch)
    return f"{done:,} steps" if done >= total else f"{done:,} of {total:,} steps"


def jaxgen(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "jaxgen", *map(str, arguments)], check=True)


def row(run: Path) -> str:
    config = RunFolder(run).config()
    trained = load_trained(run)
    path = OUT / f"{config.name}.onnx"
    if not path.exists() or model_file.read(path).value("training.steps", int) != trained.step:
        jaxgen("export", run, "-o", path)
    model = model_file.read(path)
    image = "reads"
    if config.is_generator:
        label = ["--label", "all"] if config.class_count else []
        jaxgen("sample", path, *SAMPLE_OPTIONS, *label, "-o", HERE / f"{config.name}.png")
        image = f"![{config.name}](experiments/presets/{config.name}.png)"
    count, size = model.value("weights.parameters", int), len(model.data) / 1e6
    minutes = seconds(run, config.training.batch_size, trained.step) / 60
    length = f"{minutes:.0f} min" if minutes >= 1 else f"{60 * minutes:.0f} s"
    score = "" if trained.score is None else f"{trained.score:.4g}"
    rows = worst(model.value("certificate", dict)).values()
    same = f"{min(found['identical'] for found in rows):.2%}" if config.is_generator else "numbers"
    return (
        f"| `{config.name}` | {count:,} | {steps(config, trained.step)}, {length} | {score} | {size:.1f} MB "
        f"| {same} | {image} |"
    )


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    rows = [row(Path(run)) for run in sys.argv[1:]]
    print("| preset | parameters | trained | test loss | ONNX | pixels equal | samples |")
    print("|---|---:|---:|---:|---:|---:|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
