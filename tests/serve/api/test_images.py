"""Sampling over the API: on a real server, what `Model.sample` gives in this process; and failures in a line."""

import base64
import io
import json
import subprocess
import sys
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from servers import pixels

from jaxgen.images import grid, png_pixels
from jaxgen.inference.model_file import read
from jaxgen.inference.verify import same_images

JSON = {"content-type": "application/json"}


# --- sampling


@pytest.mark.parametrize(
    ("body", "plan"),
    [
        ({"model": "classes", "seed": 5, "index": 3, "label": 2, "steps": 4, "sampler": "ancestral"}, True),
        ({"model": "classes", "seed": 5, "label": "ant", "guidance": 3.0, "steps": 3, "sampler": "ddim"}, True),
        ({"model": "vae", "seed": 4294967295, "index": 7, "label": 1}, False),
        ({"model": "plane", "seed": 0}, False),
    ],
    ids=["ancestral", "guided", "vae", "plane"],
)
def test_generate_gives_the_image_that_the_model_samples(client, loaded, body, plan):
    answer = client.post("/generate", json=body).json()
    model = loaded(body["model"])
    options = {}
    if plan:
        options = {"plan": model.plan(sampler=body["sampler"], steps=body["steps"])}
        options["guidance"] = body.get("guidance", 1.5)  # the model's own
    if "label" in body:
        options["label"] = np.array([model.label(body["label"])])
    want, _ = model.sample(np.array([body["seed"]]), np.array([body.get("index", 0)]), **options)
    assert np.array_equal(pixels(answer["image"]), want[0])
    assert answer["sha256"] == model.artifact.sha256
    assert {key: answer[key] for key in body if key != "label"} == {k: v for k, v in body.items() if k != "label"}
    assert answer["label"] == (options["label"][0] if "label" in body else None)


def test_class_is_the_same_by_number_as_an_integer_and_as_text_and_a_doubtful_text_is_refused(client):
    """The class called "2" is number 1, and number 2 is called bee."""
    body = {"model": "vae", "seed": 5}
    images = [client.post("/generate", json={**body, "label": label}).json()["image"] for label in (2, "#2", "bee")]
    assert images[0] == images[1] == images[2]
    refused = client.post("/generate", json={**body, "label": "2"})
    assert refused.status_code == 400
    assert "number 1 is called '2', and number 2 is called 'bee'; say #1 or #2" in refused.json()["detail"]
    assert client.post("/generate", json={**body, "label": 1}).json()["class_name"] == "2"


def test_image_without_a_seed_can_be_sampled_again_from_what_was_used(client):
    first, second = (client.post("/generate").json() for _ in range(2))
    assert first["seed"] != second["seed"]
    used = {key: first[key] for key in ("model", "seed", "index", "label", "guidance", "sampler", "steps", "eta")}
    assert client.post("/generate", json=used).json()["image"] == first["image"]


@pytest.mark.parametrize(
    "body",
    [
        {"model": "classes", "label": "bee", "sampler": "ancestral", "steps": 6},
        {"model": "classes", "sampler": "ddim", "steps": 4, "eta": 0.25, "index": 9},
        {"model": "classes", "sampler": "dpmpp-2m", "steps": 4, "guidance": 0.0},
        {"model": "vae", "index": 4},
        {"model": "plane"},
        {"model": "plane", "latent": [0.25, -2.0]},
    ],
)
def test_what_was_used_is_taken_as_it_is_and_samples_the_same_again(client, body):
    first = client.post("/generate", json=body).json()
    used = {key: value for key, value in first.items() if key not in ("image", "milliseconds")}
    assert used["sha256"] and "class_name" in used and "untrained" in used
    assert client.post("/generate", json=used).json() | {"milliseconds": 0} == first | {"milliseconds": 0}
    if "latent" not in body:
        header = client.post("/generate", json=used, headers={"accept": "image/png"})
        again = client.post("/generate", content=header.headers["x-jaxgen"], headers=JSON)
        assert again.json()["image"] == first["image"]


def test_what_a_batch_used_is_taken_as_it_is(client):
    batch = {"model": "vae", "label": "all", "index": 2}
    first = client.post("/generate-batch?num_images=3", json=batch).json()
    used = {key: value for key, value in first.items() if key not in ("images", "milliseconds")}
    assert client.post("/generate-batch?num_images=3", json=used).json()["images"] == first["images"]


def test_image_of_an_earlier_file_is_not_sampled_from_another(client, shelf):
    now, body = read(shelf / "vae.onnx").sha256, {"model": "vae", "sha256": "0123456789abcdef" * 4}
    answers = [client.post(path, json=body) for path in ("/generate", "/generate-batch", "/gallery")]
    for answer in (*answers, client.get("/stream", params=body)):
        assert answer.status_code == 409
        assert answer.json()["detail"] == f"the model vae has changed since: it was 01234567..., it is {now[:8]}..."
    for path in ("/generate", "/generate-batch", "/gallery"):
        assert client.post(path, json=body | {"sha256": now}).status_code == 200
        assert client.post(path, json=body | {"sha256": now[:-1]}).status_code == 422
    assert client.get("/stream", params=body | {"sha256": now}).status_code == 200


def test_png_is_given_to_who_accepts_one_with_what_was_used_in_a_header(client):
    answer = client.post("/generate", json={"seed": 3, "steps": 2}, headers={"accept": "image/png"})
    used = json.loads(answer.headers["x-jaxgen"])
    assert (used["seed"], used["steps"], used["model"]) == (3, 2, "classes")
    again = client.post("/generate", json={"seed": 3, "steps": 2}).json()
    assert base64.b64decode(again["image"]) == answer.content


def test_png_of_an_image_and_of_a_sheet_are_replayed_by_the_command(client, shelf, tmp_path):
    body = {"model": "vae", "seed": 8, "label": "all"}
    accept = {"accept": "image/png"}
    for path in ("/generate", "/generate-batch?format=grid&num_images=5"):
        (tmp_path / "it.png").write_bytes(client.post(path, json=body, headers=accept).content)
        command = [sys.executable, "-m", "jaxgen", "replay", tmp_path / "it.png", "--model", shelf / "vae.onnx"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode, done.stdout) == (0, "identical: every pixel\n"), done.stderr


def test_image_has_an_address_that_caches_keep(client, loaded):
    asked = "/images/classes/5/3.png?label=bee&steps=4&sampler=ancestral"
    answer = client.get(asked)
    model = loaded("classes")
    plan = model.plan(sampler="ancestral", steps=4)
    want, _ = model.sample(np.array([5]), np.array([3]), label=np.array([2]), plan=plan, guidance=1.5)
    assert answer.headers["content-type"] == "image/png"
    assert np.array_equal(png_pixels(answer.content, "image"), want[0])
    assert answer.headers["cache-control"] == "private, no-cache"
    etag = answer.headers["etag"]
    again = client.get(asked, headers={"if-none-match": etag})
    assert (again.status_code, again.content) == (304, b"")
    fixed = client.get(asked, params={"label": "bee", "steps": 4, "sampler": "ancestral",
                                      "sha256": model.artifact.sha256})  # fmt: skip
    assert (fixed.content, fixed.headers["etag"]) == (answer.content, etag)
    assert fixed.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert client.get(asked.replace("bee", "%231")).headers["etag"] != etag  # class number 1
    assert client.get(asked.replace("3.png", "4.png"), headers={"if-none-match": etag}).status_code == 200


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("nope/1/0.png", 404, "no model 'nope'"),
        ("classes/-1/0.png", 422, "seed: "),
        ("classes/1/x.png", 422, "index: "),
        ("classes/1/0.png?label=wasp", 400, "label must be a class"),
        ("classes/1/0.png?step=4", 422, "step: "),
        ("plane/1/0.png?steps=4", 400, "one evaluation"),
        (f"plane/1/0.png?sha256={'0' * 64}", 409, "has changed since"),
    ],
)
def test_address_of_no_image_is_refused_in_one_line(client, path, status, says):
    answer = client.get(f"/images/{path}")
    assert (answer.status_code, list(answer.json())) == (status, ["detail"])
    assert says in answer.json()["detail"] and "\n" not in answer.json()["detail"]


def test_latent_is_decoded(client, loaded):
    code = [0.5, -1.25]
    answer = client.post("/generate", json={"model": "plane", "latent": code}).json()
    want, _ = loaded("plane").sample(np.zeros(1, int), np.zeros(1, int), latent=np.array([code]))
    assert np.array_equal(pixels(answer["image"]), want[0])
    assert (answer["latent"], answer["seed"]) == (code, None)


def test_batch_is_a_list_a_sheet_and_a_zip_of_the_same_images(client, loaded):
    body, model = {"model": "vae", "seed": 6, "index": 10, "label": "all"}, loaded("vae")
    index = np.arange(10, 15)
    want, _ = model.sample(np.full(5, 6), index, label=index % 3)
    listed = client.post("/generate-batch?num_images=5", json=body).json()
    assert np.array_equal([pixels(one["image"]) for one in listed["images"]], want)
    assert [one["index"] for one in listed["images"]] == index.tolist()
    assert [one["class_name"] for one in listed["images"]] == [model.classes[i % 3] for i in index]
    sheet = client.post("/generate-batch?num_images=5&format=grid", json=body)  # without a header, as the ZIP
    assert sheet.headers["content-type"] == "image/png"
    assert np.array_equal(png_pixels(sheet.content, "sheet"), grid(want))
    assert json.loads(sheet.headers["x-jaxgen"])["seed"] == 6
    content = client.post("/generate-batch?num_images=5&format=zip", json=body)
    assert content.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(content.content)) as archive:
        assert archive.namelist() == [f"seed6-{i:06d}-class{i % 3}.png" for i in index]
        assert np.array_equal([png_pixels(archive.read(name), name) for name in archive.namelist()], want)


def test_images_are_picked_one_by_one(client, loaded, tmp_path):
    body = {"model": "vae", "seed": 6, "label": "all", "indices": [9, 2, 4_000_000_000]}
    want, _ = loaded("vae").sample(np.full(3, 6), np.array(body["indices"]), label=np.array(body["indices"]) % 3)
    listed = client.post("/generate-batch?num_images=64", json=body).json()["images"]
    assert np.array_equal([pixels(one["image"]) for one in listed], want)
    assert [(one["index"], one["label"]) for one in listed] == [(9, 0), (2, 2), (4_000_000_000, 1)]
    with zipfile.ZipFile(io.BytesIO(client.post("/generate-batch?format=zip", json=body).content)) as archive:
        assert archive.namelist()[2] == "seed6-4000000000-class1.png"
    for indices, says in (([3, 4, 5], True), ([3, 5], False)):
        sent = body | {"indices": indices}
        sheet = client.post("/generate-batch?format=grid", json=sent, headers={"accept": "image/png"})
        (tmp_path / "sheet.png").write_bytes(sheet.content)
        with Image.open(tmp_path / "sheet.png") as image:
            assert ("jaxgen" in image.info) is says  # only a run of images can be sampled again from its first
    kept = client.post("/gallery", json=body).json()["images"]
    assert [row["index"] for row in kept] == body["indices"]


def test_gif_leads_from_noise_to_the_images(client, loaded):
    body = {"model": "classes", "seed": 6, "label": "bee", "steps": 5, "indices": [1, 7]}
    answer = client.post("/generate-batch?format=gif", json=body)
    assert answer.headers["content-type"] == "image/gif"
    plan = loaded("classes").plan(steps=5)
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.n_frames == 5
        for frame, rows in ((0, 1), (4, 5)):
            want, _ = loaded("classes").sample(
                np.array([6, 6]), np.array([1, 7]), label=np.array([2, 2]), plan=plan[:rows], guidance=1.5
            )
            image.seek(frame)
            assert np.abs(np.asarray(image.convert("RGB")).astype(int) - grid(want)).mean() < 3  # of 256 colours


def test_requests_that_are_merged_give_the_images_that_they_give_alone(client, server, loaded):
    model = loaded("classes")
    plan = model.plan(sampler="ddim", steps=6, eta=0.5)
    want, _ = model.sample(np.full(24, 9), np.arange(24), label=np.arange(24) % 3, plan=plan, guidance=1.5)
    calls = server.metric("jaxgen_batch_size_count")
    start = threading.Barrier(24)

    def one(index: int) -> np.ndarray:
        body = {"seed": 9, "index": index, "label": index % 3, "sampler": "ddim", "steps": 6, "eta": 0.5}
        with server.client() as own:
            own.get("/health")  # the connection is there
            start.wait(30)
            return pixels(own.post("/generate", json=body).json()["image"])

    with ThreadPoolExecutor(24) as pool:
        found = list(pool.map(one, range(24)))
    assert same_images(np.array(found), want)
    assert server.metric("jaxgen_batch_size_count") - calls < 24 * 6  # else nothing was merged


# --- failures


@pytest.mark.parametrize(
    ("status", "method", "path", "body", "says"),
    [
        (404, "POST", "/generate", {"model": "nope"}, "no model 'nope'"),
        (400, "POST", "/generate", {"label": "wasp"}, "label must be a class"),
        (400, "POST", "/generate", {"model": "plane", "label": 1}, "unconditional"),
        (400, "POST", "/generate", {"model": "plane", "steps": 5}, "one evaluation"),
        (400, "POST", "/generate", {"steps": 51}, "from 1 to 50"),
        (400, "POST", "/generate-batch?format=gif", {"model": "plane"}, "one evaluation"),
        (400, "POST", "/generate-batch?format=gif&num_images=65", {}, "64 images can be watched"),
        (422, "POST", "/generate-batch", {"indices": []}, "at least 1 item"),
        (422, "POST", "/generate-batch", {"indices": [-1]}, "greater than or equal to 0"),
        (422, "POST", "/generate", {"indices": [1]}, "not permitted"),
        (400, "POST", "/generate", {"sampler": "euler"}, "choose from"),
        (400, "POST", "/generate", {"model": "plane", "latent": [1.0]}, "latent must have the shape"),
        (422, "POST", "/generate", {"seed": -1}, "seed: "),
        (422, "POST", "/generate", {"seed": "7"}, "seed: "),
        (422, "POST", "/generate", {"label": "\ud800"}, "label."),
        (422, "POST", "/generate", {"sede": 7}, "sede: "),
        (422, "POST", "/generate", [], "must be a JSON object"),
        (400, "POST", "/interpolate", {}, "seeds or latents"),
        (400, "POST", "/interpolate", {"seeds": [1, 2], "sampler": "ancestral"}, "adds no noise"),
        (400, "GET", "/latent-map?model=vae", None, "3 dimensions"),
        (400, "GET", "/latent-map?model=classes", None, "short codes"),
        (400, "GET", "/plan?model=vae", None, "one evaluation"),
        (404, "GET", "/nothing", None, "nothing at this path"),
        (405, "PUT", "/generate", None, "this method"),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict | list) else None,
)
def test_failure_is_one_line_that_says_what_is_wrong(client, status, method, path, body, says):
    content = None if body is None else json.dumps(body)
    answer = client.request(method, path, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert list(answer.json()) == ["detail"]
    assert says in answer.json()["detail"] and "\n" not in answer.json()["detail"]


def test_body_that_is_no_json_is_refused_in_one_line(client):
    for content in (b'{"seed":', b"\xff\xfe", b"[" * 100_000):
        answer = client.post("/generate", content=content, headers={"content-type": "application/json"})
        assert answer.status_code in (400, 422) and "\n" not in answer.json()["detail"]


def test_message_on_a_body_without_its_type_names_what_is_missing(client):
    answer = client.post(
        "/generate", content=b'{"seed": 7}', headers={"content-type": "application/x-www-form-urlencoded"}
    )
    assert answer.status_code == 422 and "Content-Type: application/json" in answer.json()["detail"]
