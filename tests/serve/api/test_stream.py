"""GET /stream: the images on their way, as a browser gets them."""

import base64
import json

import numpy as np
import pytest
from servers import until

from jaxgen.images import png_pixels
from jaxgen.inference.model import Model

ASKED = {"model": "classes", "seed": 5, "num_images": 3, "label": "all", "sampler": "ancestral", "steps": 30}


def events(text: str) -> list[tuple[str, dict]]:
    blocks = [block.split("\n") for block in text.split("\n\n") if block and not block.startswith(":")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in blocks]


def pixels(texts) -> np.ndarray:
    return np.array([png_pixels(base64.b64decode(text), "the answer") for text in texts])


def test_frames_lead_to_the_images_that_the_model_samples(client, shelf):
    answer = client.get("/stream", params=ASKED)
    assert answer.headers["content-type"].startswith("text/event-stream")
    *frames, (last, done) = events(answer.text)
    assert {name for name, _ in frames} == {"frame"} and last == "done"
    rows = [frame["row"] for _, frame in frames]
    assert len(rows) >= 20 and rows == sorted(set(rows)) and rows[-1] == 30
    assert {frame["rows"] for _, frame in frames} == {30}
    model = Model.open(shelf / "classes.onnx")
    plan, index = model.plan(sampler="ancestral", steps=30), np.arange(3)
    for row, frame in ((rows[0], frames[0][1]), (rows[9], frames[9][1]), (30, frames[-1][1])):
        want, _ = model.sample(np.full(3, 5), index, label=index, guidance=1.5, plan=plan[:row])
        assert np.array_equal(pixels(frame["images"]), want), row
    assert [one["image"] for one in done["images"]] != frames[-1][1]["images"]  # these know how they were sampled
    assert np.array_equal(pixels(one["image"] for one in done["images"]), want)
    assert [one["label"] for one in done["images"]] == [0, 1, 2]
    assert (done["seed"], done["steps"], done["sampler"], done["guidance"]) == (5, 30, "ancestral", 1.5)


def test_model_without_a_plan_is_there_at_once(client):
    *_, (last, done) = events(client.get("/stream", params={"model": "plane", "seed": 1}).text)
    again = client.post("/generate", json={"model": "plane", "seed": 1}).json()
    assert last == "done" and done["images"][0]["image"] == again["image"]


def test_work_is_dropped_when_the_reader_leaves(client, server):
    """Sixty-four images in a thousand frames each would take this model much longer than the wait below."""
    asked = ASKED | {"num_images": 64, "steps": 50}
    drawn = server.metric
    before = sum_of(client, "jaxgen_images_total")
    for _ in range(4):
        with client.stream("GET", "/stream", params=asked) as answer:
            assert next(answer.iter_lines()) == "event: frame"
    assert until(lambda: server.queue() == 0, 5) and drawn("jaxgen_queue_depth") == 0
    assert sum_of(client, "jaxgen_images_total") - before < 4 * 64


def sum_of(client, name: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.split()[1]) for line in lines if line.startswith(f"{name}{{"))


@pytest.mark.parametrize(
    ("asked", "status", "says"),
    [
        ({"model": "nope"}, 404, "no model"),
        ({"label": "wasp"}, 400, "label must be"),
        ({"num_images": 65}, 400, "at most 64"),
        ({"num_images": 0}, 422, "num_images"),
        ({"latent": "1"}, 422, "latent"),
        ({"seed": "x"}, 422, "seed"),
    ],
)
def test_bad_request_fails_before_the_stream_begins(client, asked, status, says):
    answer = client.get("/stream", params=asked)
    assert answer.status_code == status and says in answer.json()["detail"]
