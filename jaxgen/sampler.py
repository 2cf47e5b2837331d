"""The name that the loaded model had in jaxgen 0.1: `from jaxgen.sampler import Sampler`. It is `jaxgen.Model` now."""

from __future__ import annotations

from jaxgen.inference.sampler import Model


class Sampler(Model):
    """`jaxgen.Model`, whose `sample` was called `draw`."""

    draw = Model.sample
