"""The old name of `jaxgen.Model`, from jaxgen 0.1: `from jaxgen.sampler import Sampler`."""

from __future__ import annotations

from jaxgen.inference.model import Model


class Sampler(Model):
    """`jaxgen.Model` with `draw`, the old name of `sample`."""

    draw = Model.sample
