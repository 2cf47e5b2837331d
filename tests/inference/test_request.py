"""Requests: what the model fills in, what is refused, and the words in an image that give one back."""

import dataclasses
import json
import math

import pytest
from model_requests import ask

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.inference.provenance import provenance_text
from jaxgen.inference.request import Request
from jaxgen.sampling.sampler_spec import SamplerSpec


def test_request_fills_in_the_models_choice(plain, classy):
    assert ask(plain) == Request(recipe=SamplerSpec("ddim", 10), count=4)
    assert ask(classy) == Request(recipe=SamplerSpec("ddim", 8, 0.5), count=4, guidance=1.5)
    assert ask(classy, sampler="ancestral") == Request(recipe=SamplerSpec("ancestral", 50), count=4, guidance=1.5)
    assert ask(classy, label="#1", eta=0.25, guidance=0) == Request(
        recipe=SamplerSpec("ddim", 8, 0.25), count=4, guidance=0, label=1
    )


@pytest.mark.parametrize(
    ("wishes", "complaint"),
    [
        ({"seed": -1}, "seed must be"), ({"seed": 2**32}, "seed must be"),
        ({"first": -1}, "a seed has images"), ({"first": 2**32 - 3}, "a seed has images"),
        ({"count": 0}, "a seed has images"), ({"count": -4}, "a seed has images"),
        ({"steps": 0}, "sampling steps must be"), ({"steps": 61}, "sampling steps must be from 1 to 60"),
        ({"sampler": "dddim"}, "unknown sampler 'dddim' .did you mean 'ddim'"),
        ({"sampler": "dpmpp-2m", "eta": 0.1}, "eta must be from 0 to 1, and 0 for samplers other"),
        ({"eta": 1.5}, "eta"), ({"eta": math.nan}, "eta"),
        ({"label": "0"}, "is unconditional: it takes no label"), ({"label": "all"}, "it takes no label"),
        ({"guidance": 1.0}, "is unconditional: it takes no guidance"),
        ({"palette": ["#638596"]}, "the images are grey"),
    ],
)  # fmt: skip
def test_impossible_request_is_refused(plain, wishes, complaint):
    with pytest.raises(UsageError, match=complaint):
        ask(plain, **wishes)


@pytest.mark.parametrize("guidance", [-0.1, 100.1, math.nan, math.inf])
def test_guidance_outside_its_range_is_refused(classy, guidance):
    with pytest.raises(UsageError, match="guidance must be from 0 to 100"):
        ask(classy, guidance=guidance)


@pytest.mark.parametrize(
    "wishes",
    [{}, {"label": "all"}, {"label": "#1"}, {"label": "ant", "guidance": 0.0}, {"label": -1},
     {"first": 7, "seed": 2**32 - 1}, {"sampler": "dpmpp-2m", "steps": 3}, {"sampler": "ancestral"},
     {"sampler": "ddim", "eta": 1.0}, {"palette": ["#638596", "#000000"]}],
    ids=str,
)  # fmt: skip
def test_provenance_gives_the_request_back(classy, wishes):
    """Through JSON, as a PNG keeps it; class 1 is called "2", which must not come back as class 2."""
    request = ask(classy, **wishes)
    text = provenance_text(request.provenance(classy, request.first, request.count).record())
    assert Request.from_provenance(classy, json.loads(text["jaxgen"])) == request


def test_provenance_of_one_image_names_its_own_class(classy):
    request = ask(classy, label="all", first=3)
    assert [request.provenance(classy, index).label for index in (3, 4, 5)] == [0, 1, 2]
    assert request.provenance(classy, 3, 4).label == "all"


GOOD = {"seed": 1, "index": 2, "count": 3, "label": -1, "guidance": None}
GOOD["plan"] = {"sampler": "ddim", "steps": 5, "eta": 0.0}
BAD = ["missing", "text", None, True, 1.5, -7, 10**30, math.nan, math.inf, [1], {"a": 1}]
PAIRS = [(key, value) for key in [*GOOD, "plan.sampler", "plan.steps", "plan.eta"] for value in BAD]
PAIRS.remove(("guidance", None))  # that is what it is


@pytest.mark.parametrize(("key", "value"), PAIRS, ids=str)
def test_broken_provenance_is_the_images_fault(plain, key, value):
    broken = json.loads(json.dumps(GOOD))
    table, leaf = (broken["plan"], key[5:]) if key.startswith("plan.") else (broken, key)
    if value == "missing":
        del table[leaf]
    else:
        table[leaf] = value
    with pytest.raises(JaxgenError) as caught:
        Request.from_provenance(plain, broken)
    assert type(caught.value) is JaxgenError
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [None, "#638596", {"a": 1}, ["blue"], [7], ["#000000"] * 3 + ["#638596"]])
def test_broken_palette_is_the_images_fault(plain, value):
    """The last one is whole, and of colours, which a grey image cannot have been snapped to."""
    with pytest.raises(JaxgenError) as caught:
        Request.from_provenance(plain, GOOD | {"palette": value})
    assert type(caught.value) is JaxgenError and "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["guidance", "plan"])
def test_provenance_of_a_conditional_model_is_complete(classy, key):
    """An image is not redrawn with whatever the model's default is where it does not say."""
    words = ask(classy).provenance(classy, 0).record() | {key: None}
    with pytest.raises(JaxgenError):
        Request.from_provenance(classy, words)


def test_requests_are_values():
    request = Request(recipe=SamplerSpec("ddim", 3))
    assert dataclasses.replace(request, seed=0) == request
    with pytest.raises(dataclasses.FrozenInstanceError):
        request.seed = 4
