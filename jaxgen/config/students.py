"""The config of a student of few steps, made from that of its teacher."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from jaxgen.config import DDPM, Config, DistillationConfig, Flow, override
from jaxgen.errors import UsageError, lookup
from jaxgen.sampling.process import Diffusion

DEFAULT = "adversarial"
# Per method: what it does, in words, and the steps of the teacher's plan for each of the student's, at least so many.
METHODS: dict[str, tuple[str, int]] = {
    "reflow": ("regression on the images that the teacher makes of the same noise", 12),
    "consistency": ("agreement with itself one step of the teacher further on", 32),
    "adversarial": ("reflow and a discriminator of real images", 12),
}


def student_of(
    teacher: Config, steps: int, *, method: str = DEFAULT, guidance: float | None = None, settings: tuple[str, ...] = ()
) -> Config:
    """The config of a student that samples in `steps` steps; guidance: of the teacher, None for its own default.

    The student has the teacher's network, process and classes. One of a diffusion model that predicts eps predicts v:
    at the first step, all noise, x0 cannot be computed from eps. settings: as of `override`.
    Raises UsageError if the teacher is no model of steps, is a student itself, or takes none so few.
    """
    least = lookup(METHODS, method, "method")[1]
    if not isinstance(teacher, DDPM | Flow):
        why = "samples in one evaluation already" if teacher.is_generator else "generates no images"
        raise UsageError(f"{teacher.name} is of family {teacher.family!r}, which {why}: there is nothing to distil")
    if teacher.distilled:
        raise UsageError(f"{teacher.name} is a student of {teacher.plan.steps} steps; distil its own teacher")  # type: ignore[union-attr]
    process = teacher.process
    assert process
    if not 1 <= steps <= process.max_steps:
        raise UsageError(
            f"--steps must be from 1 to {process.max_steps}, the most that {teacher.name} takes, got {steps}"
        )
    guidance = teacher.guidance if guidance is None else guidance
    finest = min(-(-least // steps) * steps, process.max_steps // steps * steps)
    sampling: dict[str, Any] = {"sampler_steps": steps, "guidance": 1.0}
    if isinstance(process, Diffusion):
        # At eta 1 each further step has fresh noise, as its method trains it.
        fresh = method != "reflow" and steps > 1
        sampling |= {"sampler": "ddim", "eta": float(fresh)}
        sampling |= {"prediction": "v"} if process.prediction == "eps" else {}
    else:
        sampling |= {"sampler": "euler"}
    section = "diffusion" if isinstance(teacher, DDPM) else "flow"
    training = replace(
        teacher.training, steps=4000, lr=5e-4, lr_schedule="cosine", warmup=100, ema=0.999, weight_decay=0.0,
        optimizer="adam", checkpoint_every=500, sample_every=1000,
    )  # fmt: skip
    changes: dict[str, Any] = {section: replace(getattr(teacher, section), **sampling)}
    config = replace(
        teacher,
        name=f"{teacher.name[:80]}-{steps}step",
        training=training,
        distillation=DistillationConfig(method=method, teacher_steps=finest, teacher_guidance=guidance),  # type: ignore[arg-type]
        **changes,
    )
    return override(config, settings)
