"""A trained run as the teacher of another one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
from jax import Array

from jaxgen.config import Config
from jaxgen.models import network as networks
from jaxgen.models.network import Params


@dataclass(frozen=True)
class Teacher:
    """A run's config and averaged weights; called, it predicts what its network does, without a gradient.

    record: what a student and its file keep of it: {"name": of its config, "sha256": of its weights, "steps": trained}.
    """

    config: Config
    params: Params
    record: dict[str, Any]

    @cached_property
    def apply(self) -> Callable[..., Array]:
        """Its network, a function of weights and inputs."""
        return networks.build(self.config).apply

    def __call__(self, x_t: Array, t: Array, label: Array) -> Array:
        """The prediction [B, H, W, C]; x_t: [B, H, W, C]; t: [B] as its network takes it; label: [B], -1 for none."""
        return jax.lax.stop_gradient(self.apply(self.params, x_t, t, label))

    def guided(self, x_t: Array, t: Array, label: Array, scale: float) -> Array:
        """The prediction under classifier-free guidance; at scale 1 it is evaluated once (Ho & Salimans 2022)."""
        out = self(x_t, t, label)
        if scale == 1:
            return out
        plain = self(x_t, t, jax.numpy.full_like(label, -1))
        return plain + scale * (out - plain)
