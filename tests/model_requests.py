"""Requests with wishes; what is not wished for is the model's choice."""

from jaxgen.inference.request import Request


def ask(model, **wishes):
    nothing = dict.fromkeys(("label", "guidance", "sampler", "steps", "eta"))
    return Request.checked(model, **{"seed": 0, "first": 0, "count": 4, **nothing, **wishes})
