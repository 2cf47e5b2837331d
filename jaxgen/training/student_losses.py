"""The losses by which a student of few steps learns from its teacher. A student's steps are the rows of its own plan:
in each of them its network makes x0 from x, and the loss compares this x0 with what the teacher makes of the same x."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.config import Config
from jaxgen.models.network import Network, Params
from jaxgen.models.sampling import image_noise
from jaxgen.sampling import sampler_spec
from jaxgen.sampling.plan import COLUMNS
from jaxgen.sampling.process import Diffusion, Process
from jaxgen.sampling.sampler_spec import SamplerSpec
from jaxgen.training.diffusion import drop_labels
from jaxgen.training.teacher import Teacher
from jaxgen.training.teacher_pairs import SEED, Pairs
from jaxgen.training.train_step import Metrics

# (params, images, batch, *, key, step) -> scalar, its terms. images: [B, H, W, C] in [-1, 1], real ones; batch: their
# labels [B], or `Pairs`; step: of the run.
StudentLoss = Callable[..., tuple[Array, Metrics]]

SMOOTH = 0.03  # of the pseudo-Huber distance: errors below it count as squares


class Rows(NamedTuple):
    """Rows of a plan, one for each image: the columns of `COLUMNS`, [B, 1, 1, 1] each; `at` is the time, [B]."""

    at: Array
    x0_x: Array
    x0_out: Array
    clip: Array
    x: Array
    x0: Array

    @classmethod
    def of(cls, table: Array) -> Rows:
        """table: [B, 9]."""
        columns = {name: table[:, COLUMNS.index(name)][:, None, None, None] for name in cls._fields[1:]}
        return cls(at=table[:, COLUMNS.index("t")], **columns)


def distance(found: Array, wanted: Array) -> Array:
    """The pseudo-Huber distance of images, from their root mean square error: [B] (Song & Dhariwal 2024, section 3.3).

    It punishes one large error less than a square does, so that a student need not blur what it is unsure of.
    """
    square = jnp.square(found - wanted).mean((1, 2, 3))
    return jnp.sqrt(square + SMOOTH**2) - SMOOTH


def denoised(network: Network, params: Params, x: Array, rows: Rows, label: Array, key: Array | None = None) -> Array:
    """x0 as a network finds it from x in one row, unclipped: [B, H, W, C]. key: of the dropout."""
    return rows.x0_x * x + rows.x0_out * network.apply(params, x, rows.at, label, key=key)


def deterministic(process: Process, steps: int) -> np.ndarray:
    """The plan of the process' ODE in `steps` first-order steps, [steps, 9]."""
    return sampler_spec.table(process, SamplerSpec("ddim" if isinstance(process, Diffusion) else "euler", steps))


def scales(process: Process, table: np.ndarray) -> np.ndarray:
    """The scales of image and noise in x at each row of a plan: [S, 2]."""
    levels = sampler_spec.kind_of(process).levels(process, table[:, 0].astype(np.float64))
    return np.stack(levels, axis=1)


def start_noise(batch: Pairs) -> Array:
    """The noise that each pair starts with: [B, H, W, C]."""
    return image_noise(jnp.full_like(batch.index, SEED), batch.index, 0, batch.points.shape[2:])


def reflow(config: Config, network: Network, teacher: Teacher) -> StudentLoss:
    """Regression on the teacher's ODE: each row shall take the teacher's x there to the teacher's x at the next row.

    The x0 of which the row makes that next x is known, since a row is linear in x and x0; it is what the student
    learns. With one row that is the teacher's image (Liu et al. 2023, section 2.2; Luhman & Luhman 2021).
    """
    table = jnp.asarray(sampler_spec.from_config(config))

    def loss(params: Params, images: Array, batch: Pairs, *, key: Array, step: Array) -> tuple[Array, Metrics]:
        row_key, dropout_key = jax.random.split(key)
        row = jax.random.randint(row_key, batch.index.shape, 0, len(table))
        path = jnp.concatenate([start_noise(batch)[:, None], batch.points.astype(jnp.float32)], axis=1)
        x, after = (path[jnp.arange(len(row)), row + ahead] for ahead in (0, 1))
        rows = Rows.of(table[row])
        wanted = jnp.clip((after - rows.x * x) / rows.x0, -rows.clip, rows.clip)
        dropout = dropout_key if getattr(config.model, "dropout", 0) else None
        return distance(denoised(network, params, x, rows, batch.wanted, dropout), wanted).mean(), {}

    return loss


def consistency(config: Config, network: Network, teacher: Teacher) -> StudentLoss:
    """Consistency distillation: what the student finds at one time is what it finds at the time before, to which one
    step of the teacher leads; at the last one it is the teacher's image (Song et al. 2023, algorithm 2).

    The times are few at first and twice as many after a quarter and after half of the run, up to `teacher_steps`. The
    student itself, without a gradient, is the target (Song & Dhariwal 2024, section 3.2).
    """
    section, process, plan = config.distilled, config.process, config.plan
    taught = teacher.config.process
    assert section and process and plan and taught
    most = section.teacher_steps
    counts = [n for n in (most // 4, most // 2, most) if n and most % n == 0 and n % plan.steps == 0]
    own, theirs, levels = (
        jnp.asarray(np.stack([np.resize(make(n), (most, width)) for n in counts]), jnp.float32)
        for make, width in (
            (lambda n: deterministic(process, n), len(COLUMNS)),
            (lambda n: deterministic(taught, n), len(COLUMNS)),
            (lambda n: scales(process, deterministic(process, n)), 2),
        )
    )
    starts = jnp.asarray([0, config.training.steps // 4, config.training.steps // 2][-len(counts) :]).at[0].set(0)
    share = config.model.label_dropout if config.class_count else 0.0  # type: ignore[union-attr]

    def loss(params: Params, images: Array, batch: Array, *, key: Array, step: Array) -> tuple[Array, Metrics]:
        row_key, eps_key, label_key, dropout_key = jax.random.split(key, 4)
        stage = (step >= starts).sum() - 1
        count = jnp.asarray(counts)[stage]
        row = jax.random.randint(row_key, batch.shape, 0, count)
        label = drop_labels(batch, share, key=label_key)
        signal, noise = (levels[stage, row, i][:, None, None, None] for i in (0, 1))
        x = signal * images + noise * jax.random.normal(eps_key, images.shape)
        step_of = Rows.of(theirs[stage, row])
        out = teacher.guided(x, step_of.at, label, section.teacher_guidance)
        x0 = jnp.clip(step_of.x0_x * x + step_of.x0_out * out, -step_of.clip, step_of.clip)
        before = step_of.x * x + step_of.x0 * x0
        at_last = (row == count - 1)[:, None, None, None]
        dropout = dropout_key if getattr(config.model, "dropout", 0) else None
        next_rows = Rows.of(own[stage, jnp.minimum(row + 1, count - 1)])
        known = denoised(network, params, before, next_rows, label, dropout)
        wanted = jnp.where(at_last, before, jnp.clip(known, -next_rows.clip, next_rows.clip))
        found = denoised(network, params, x, Rows.of(own[stage, row]), label, dropout)
        return distance(found, jax.lax.stop_gradient(wanted)).mean(), {}

    return loss
