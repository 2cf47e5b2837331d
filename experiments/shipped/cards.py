"""Write docs/models.md, the cards of the models that come with jaxgen, and an image of each, from the files themselves.

python experiments/shipped/cards.py
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from jaxgen import config as configs, data, shipped
from jaxgen.cli.summary import summary
from jaxgen.config.presets import preset
from jaxgen.config.students import student_of
from jaxgen.inference.model_file import Artifact, read

DOCS = Path(__file__).parents[2] / "docs"
INTRODUCTION = """\
# The models that come with jaxgen

`jaxgen models` lists them, `jaxgen models show NAME` says what stands here, and every command that takes a model file
takes their names. Scores compare as many generated images as training images, in the features of the dataset's
extractor; the floor is what test images of the dataset score. Written by `experiments/shipped/cards.py` from the files
in `jaxgen/shipped`, which `experiments/shipped/build.py` makes from trained runs.
"""


def main() -> None:
    (DOCS / "models").mkdir(exist_ok=True)
    for name, path in shipped.models().items():
        sample = [sys.executable, "-m", "jaxgen", "sample", name, "-n", "60", "-o", DOCS / "models" / f"{name}.png"]
        sample += ["--label", "all"] if read(path).inference.classes else []
        subprocess.run(sample, check=True, stdout=subprocess.DEVNULL)
    (DOCS / "models.md").write_text(page(), "utf-8")


def page() -> str:
    """The text of docs/models.md."""
    return "\n".join([INTRODUCTION, *(card(name, read(path)) for name, path in shipped.models().items())])


def card(name: str, artifact: Artifact) -> str:
    facts, kept = summary(artifact), artifact.manifest["scores"]
    scores = "\n".join(
        f"| {metric} | {score['value']:.4g} ± {score['margin_95']:.2g} | {_floor(score['floor'])} |"
        for metric, score in kept["scores"].items()
    )
    rows = "\n".join(
        f"- {what}: {facts[key]}"
        for what, key in {
            "Model": "model", "Images": "images", "Classes": "classes", "Trained on": "trained on",
            "Default": "default", "Certificate": "certificate", "File": "file", "SHA-256": "sha256",
        }.items()
        if key in facts
    )  # fmt: skip
    return f"""\
## {name}

![60 images of {name}](models/{name}.png)

{rows}
- Data: {data.info(kept["dataset"]).source}
- Trained by: `{command(artifact)}`; scored by `{kept["command"]}`, commit {kept["commit"]}

| score | {kept["n"]:,} images | floor, {kept["floor_n"]:,} test images |
|---|---:|---:|
{scores}
"""


def command(artifact: Artifact) -> str:
    """The command that trained the model: a preset with what was changed of it, or the distillation of another run."""
    config = configs.from_dict(artifact.manifest["config"])
    distillation = getattr(config, "distillation", None)
    if distillation and distillation.method != "none":
        teacher, steps = artifact.manifest["training"]["teacher"]["name"], config.sampling.sampler_steps
        how = {"method": distillation.method, "guidance": distillation.teacher_guidance}
        start, base = f"jaxgen distill runs/{teacher} --steps {steps}", student_of(preset(teacher), steps, **how)
        start += "".join(f" --{key} {value}" for key, value in how.items())
    else:
        start, base = f"jaxgen train --preset {config.name}", preset(config.name)
    changed = configs.differences(base, config)
    return " ".join([start, *(f"--set {key}={new}" for key, (_, new) in changed.items())])


def _floor(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


if __name__ == "__main__":
    main()
