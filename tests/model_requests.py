"""Requests to a model; what is not given is the model's choice."""

from jaxgen.inference.request import Request


def ask(model, **given):
    nothing = dict.fromkeys(("label", "guidance", "sampler", "steps", "eta"))
    return Request.checked(model, **{"seed": 0, "first": 0, "count": 4, **nothing, **given})
