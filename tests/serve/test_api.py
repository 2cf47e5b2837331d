"""The API as a client finds it, on a real server; what it draws is what `Sampler.draw` draws in this process."""

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

from jaxgen.artifact import read
from jaxgen.images import grid, png_pixels
from jaxgen.latent.paths import plane as plane_of_latents, spherical
from jaxgen.latent.scores import score
from jaxgen.latent.spaces import open_space
from jaxgen.parity import same_pictures
from jaxgen.prng import image_noise
from jaxgen.sampler import Sampler


@pytest.fixture(scope="module")
def sampler(shelf):
    """sampler(name): that model, in this process."""
    loaded = {name: Sampler.open(shelf / f"{name}.onnx") for name in ("classes", "vae", "plane")}
    return loaded.__getitem__


JSON = {"content-type": "application/json"}


def pixels(text: str) -> np.ndarray:
    return png_pixels(base64.b64decode(text), "the answer")


def png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array).save(buffer, "PNG")
    return buffer.getvalue()


def digit() -> np.ndarray:
    """uint8 [8, 8, 1]: something that is no constant."""
    return (np.arange(64).reshape(8, 8, 1) * 4).astype(np.uint8)


# --- drawing


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
def test_generate_gives_the_picture_that_the_sampler_draws(client, sampler, body, plan):
    answer = client.post("/generate", json=body).json()
    model = sampler(body["model"])
    options = {}
    if plan:
        options = {"plan": model.plan(sampler=body["sampler"], steps=body["steps"])}
        options["guidance"] = body.get("guidance", 1.5)  # the model's own
    if "label" in body:
        options["label"] = np.array([model.label(body["label"])])
    want, _ = model.draw(np.array([body["seed"]]), np.array([body.get("index", 0)]), **options)
    assert np.array_equal(pixels(answer["image"]), want[0])
    assert answer["sha256"] == model.artifact.sha256
    assert {key: answer[key] for key in body if key != "label"} == {k: v for k, v in body.items() if k != "label"}
    assert answer["label"] == (options["label"][0] if "label" in body else None)


def test_picture_without_a_seed_can_be_drawn_again_from_what_was_used(client):
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
def test_what_was_used_is_taken_as_it_is_and_draws_the_same_again(client, body):
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


def test_picture_of_an_earlier_file_is_not_drawn_from_another(client, shelf):
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


def test_png_of_a_picture_and_of_a_sheet_are_replayed_by_the_command(client, shelf, tmp_path):
    body = {"model": "vae", "seed": 8, "label": "all"}
    accept = {"accept": "image/png"}
    for path in ("/generate", "/generate-batch?format=grid&num_images=5"):
        (tmp_path / "it.png").write_bytes(client.post(path, json=body, headers=accept).content)
        command = [sys.executable, "-m", "jaxgen", "replay", tmp_path / "it.png", "--model", shelf / "vae.onnx"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode, done.stdout) == (0, "identical: every pixel\n"), done.stderr


def test_latent_is_decoded(client, sampler):
    code = [0.5, -1.25]
    answer = client.post("/generate", json={"model": "plane", "latent": code}).json()
    want, _ = sampler("plane").draw(np.zeros(1, int), np.zeros(1, int), latent=np.array([code]))
    assert np.array_equal(pixels(answer["image"]), want[0])
    assert (answer["latent"], answer["seed"]) == (code, None)


def test_batch_is_a_list_a_sheet_and_a_zip_of_the_same_pictures(client, sampler):
    body, model = {"model": "vae", "seed": 6, "index": 10, "label": "all"}, sampler("vae")
    index = np.arange(10, 15)
    want, _ = model.draw(np.full(5, 6), index, label=index % 3)
    listed = client.post("/generate-batch?num_images=5", json=body).json()
    assert np.array_equal([pixels(one["image"]) for one in listed["images"]], want)
    assert [one["index"] for one in listed["images"]] == index.tolist()
    assert [one["class_name"] for one in listed["images"]] == [model.classes[i % 3] for i in index]
    sheet = client.post("/generate-batch?num_images=5&format=grid", json=body).json()
    assert np.array_equal(pixels(sheet["image"]), grid(want)) and sheet["count"] == 5
    content = client.post("/generate-batch?num_images=5&format=zip", json=body)
    assert content.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(content.content)) as archive:
        assert archive.namelist() == [f"seed6-{i:06d}-class{i % 3}.png" for i in index]
        assert np.array_equal([png_pixels(archive.read(name), name) for name in archive.namelist()], want)


def test_requests_that_are_merged_give_the_pictures_that_they_give_alone(client, server, sampler):
    model = sampler("classes")
    plan = model.plan(sampler="ddim", steps=6, eta=0.5)
    want, _ = model.draw(np.full(24, 9), np.arange(24), label=np.arange(24) % 3, plan=plan, guidance=1.5)
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
    assert same_pictures(np.array(found), want)
    assert server.metric("jaxgen_batch_size_count") - calls < 24 * 6  # else nothing was merged


# --- latents


def test_interpolation_walks_the_arc_between_the_pictures_of_two_seeds(client, sampler):
    body = {"model": "vae", "seeds": [1, 2], "indices": [0, 4], "frames": 6, "labels": [2, 0]}
    walk = client.post("/interpolate", json=body).json()
    a, b = (image_noise(np.array([seed]), np.array([index]), 0, (3,))[0] for seed, index in ((1, 0), (2, 4)))
    codes = spherical(a, b, np.linspace(0, 1, 6))
    labels = np.array([2, 2, 2, 0, 0, 0])  # the class of the nearer end
    want, _ = sampler("vae").draw(np.zeros(6, int), np.arange(6), label=labels, latent=codes)
    assert np.array_equal([pixels(frame["image"]) for frame in walk["images"]], want)
    ends = [client.post("/generate", json={"model": "vae", "seed": s, "index": i, "label": c}).json()
            for s, i, c in ((1, 0, 2), (2, 4, 0))]  # fmt: skip
    assert same_pictures(want[[0, -1]], np.array([pixels(end["image"]) for end in ends]))


def test_interpolation_of_a_model_with_a_plan_ends_at_what_it_draws(client):
    plan = {"sampler": "dpmpp-2m", "steps": 4, "guidance": 2.0}
    walk = client.post("/interpolate", json={"model": "classes", "seeds": [1, 2], "frames": 3, "label": 1, **plan})
    for seed, frame in ((1, 0), (2, -1)):
        alone = client.post("/generate", json={"model": "classes", "seed": seed, "label": 1, **plan}).json()
        assert same_pictures(pixels(walk.json()["images"][frame]["image"]), pixels(alone["image"]))


def test_interpolation_is_a_gif_on_demand(client):
    body = {"model": "plane", "latents": [[-1, 0], [1, 0], [1, 1]], "frames": 4, "path": "linear"}
    answer = client.post("/interpolate?format=gif", json=body)
    assert answer.headers["content-type"] == "image/gif"
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.n_frames in (7, 8)  # two equal frames in a row may become one


def test_reconstruction_and_score_are_those_of_the_latent_commands(client, shelf):
    codes, image = open_space(shelf / "vae.onnx").codes(), digit()
    latent = codes.encode(image[None], None)
    again = codes.decode(latent, np.array([1]))[0]
    want = score(codes, image[None], np.array([1]))
    sent = {"data": {"model": "vae", "label": "1"}, "files": {"file": ("it.png", png(image))}}
    found = client.post("/reconstruct", **sent).json()
    assert np.array_equal(pixels(found["original"]), image) and np.array_equal(pixels(found["reconstruction"]), again)
    assert found["latent"] == pytest.approx(latent[0].tolist(), rel=1e-5)
    scored = client.post("/anomaly", **sent).json()
    assert np.array_equal(pixels(scored["reconstruction"]), again)
    assert scored["kl"] == pytest.approx(want.kl[0], rel=1e-5)
    assert scored["score"] == pytest.approx(scored["kl"] + scored["reconstruction_nats"], rel=1e-6)
    assert scored["score"] == pytest.approx(want.total[0], rel=1e-5)
    assert pixels(scored["heat"]).shape == (8, 8, 3)


def test_uploaded_picture_of_another_size_kind_and_colour_is_made_to_measure(client):
    large = np.kron(digit()[..., 0], np.ones((4, 4), np.uint8))
    buffer = io.BytesIO()
    Image.fromarray(large).convert("RGB").save(buffer, "WEBP", lossless=True)
    found = client.post("/reconstruct", data={"model": "plane"}, files={"file": ("it.webp", buffer.getvalue())}).json()
    assert np.array_equal(pixels(found["original"]), digit())


def test_inpainting_keeps_what_is_known_and_draws_the_rest(client):
    image = np.repeat(digit(), 3, axis=-1)
    half = np.zeros((8, 8, 1), np.uint8)
    half[4:] = 255
    form = {"model": "classes", "steps": "4", "seed": "3", "num_images": "2", "label": "bee"}
    by_name = client.post("/inpaint", data={**form, "mask": "bottom"}, files={"file": ("a", png(image))}).json()
    files = {"file": ("a", png(image)), "mask_file": ("b", png(half))}
    by_picture = client.post("/inpaint", data=form, files=files).json()
    drawn = np.array([pixels(one["image"]) for one in by_name["images"]])
    assert np.array_equal(drawn, [pixels(one["image"]) for one in by_picture["images"]])
    assert (drawn[:, :4] == image[:4]).all() and (drawn[:, 4:] != image[4:]).mean() > 0.5
    assert not np.array_equal(drawn[0], drawn[1])


def test_latent_map_shows_the_plane(client, sampler):
    answer = client.get("/latent-map?model=plane&size=4")
    codes = plane_of_latents(4)
    want, _ = sampler("plane").draw(np.zeros(16, int), np.arange(16), latent=codes)
    rows = want.reshape(4, 4, 8, 8).swapaxes(1, 2).reshape(32, 32, 1)
    assert np.array_equal(png_pixels(answer.content, "map"), rows)
    assert float(answer.headers["x-jaxgen-reach"]) == pytest.approx(float(codes.max()), abs=1e-5)


# --- models


def test_models_say_what_they_are(client, shelf):
    found = {model["name"]: model for model in client.get("/models").json()["models"]}
    assert list(found) == ["classes", "plane", "vae"]
    want = {"family": "ddpm", "shape": [8, 8, 3], "classes": ["ant", "2", "bee"], "label_optional": True}
    want |= {"encoder": False, "latent": None, "quick": False, "guidance": {"default": 1.5, "max": 100}}
    plan = {"samplers": ["ancestral", "ddim", "dpmpp-2m"], "sampler": "ddim", "steps": 8, "max_steps": 50, "eta": 0.5}
    assert {key: found["classes"][key] for key in want} == want and found["classes"]["plan"] == plan
    assert (found["vae"]["latent"], found["vae"]["encoder"], found["vae"]["label_optional"]) == (3, True, False)
    assert (found["plane"]["plan"], found["plane"]["guidance"], found["plane"]["quick"]) == (None, None, True)
    assert found["vae"]["size_bytes"] == (shelf / "vae.onnx").stat().st_size


def test_model_info_has_the_manifest_without_pictures(client, shelf):
    found = client.get("/model-info?model=vae").json()
    manifest = read(shelf / "vae.onnx").manifest
    assert found["config"] == manifest["config"] and found["training"] == manifest["training"]
    assert set(found["certificate"]) == set(manifest["certificate"]) - {"probe"}


def test_model_file_is_the_file_and_is_not_sent_twice(client, shelf):
    answer = client.get("/model-file?model=plane")
    assert answer.content == (shelf / "plane.onnx").read_bytes()
    assert answer.headers["etag"] == f'"{read(shelf / "plane.onnx").sha256}"'
    again = client.get("/model-file?model=plane", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_plan_is_the_table_that_the_graph_takes(client, sampler):
    found = client.get("/plan?model=classes&sampler=dpmpp-2m&steps=5").json()
    table = np.frombuffer(base64.b64decode(found["table"]), "<f4").reshape(found["rows"], 9)
    assert np.array_equal(table, sampler("classes").plan(sampler="dpmpp-2m", steps=5))


# --- what it says of itself


def test_root_leads_programs_to_links_and_people_to_the_page(client):
    about = client.get("/").json()
    assert about["name"] == "jaxgen"
    for link in about["links"].values():
        assert client.get(link).status_code == 200, link
    browser = client.get("/", headers={"accept": "text/html,*/*"}, follow_redirects=False)
    assert (browser.status_code, browser.headers["location"]) == (307, "/app/")


def test_server_is_ready_once_it_has_models(client):
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/ready").json() == {"status": "ready", "models": 3}


def test_who_watches_a_server_may_ask_for_headers_alone(client):
    for path in ("/", "/health", "/ready"):
        head, full = client.head(path), client.get(path)
        assert (head.status_code, head.content) == (200, b"") and full.content
        assert head.headers["content-length"] == full.headers["content-length"]


def test_metrics_count_what_was_answered_and_drawn(client, server):
    def counted() -> float:
        lines = client.get("/metrics").text.splitlines()
        return sum(float(line.split()[1]) for line in lines if line.startswith('jaxgen_images_total{model="plane"'))

    before = counted()
    client.post("/generate-batch?num_images=7", json={"model": "plane"})
    assert counted() - before == 7
    assert 'jaxgen_requests_total{method="POST",route="/generate-batch",status="200"}' in client.get("/metrics").text
    assert server.queue() == 0


def test_changed_model_is_in_the_document(client):
    document = client.get("/openapi.json").json()
    for path in ("/generate", "/generate-batch", "/gallery"):
        assert "409" in document["paths"][path]["post"]["responses"], path
    assert "409" in document["paths"]["/stream"]["get"]["responses"]
    assert "409" in document["components"]["schemas"]["Draw"]["properties"]["sha256"]["anyOf"][0]["description"]


def test_docs_are_complete_and_need_no_other_host(client):
    page = client.get("/docs")
    paths = client.get("/openapi.json").json()["paths"]
    assert all(f"</b> {path}</h3>" in page.text for path in paths)
    assert "://" not in page.text.replace("localhost", "") and "<script" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]


# --- failures


@pytest.mark.parametrize(
    ("status", "method", "path", "body", "says"),
    [
        (404, "POST", "/generate", {"model": "nope"}, "no model 'nope'"),
        (400, "POST", "/generate", {"label": "wasp"}, "label must be a class"),
        (400, "POST", "/generate", {"model": "plane", "label": 1}, "unconditional"),
        (400, "POST", "/generate", {"model": "plane", "steps": 5}, "one evaluation"),
        (400, "POST", "/generate", {"steps": 51}, "from 1 to 50"),
        (400, "POST", "/generate", {"sampler": "euler"}, "choose from"),
        (400, "POST", "/generate", {"model": "plane", "latent": [1.0]}, "latent must have the shape"),
        (422, "POST", "/generate", {"seed": -1}, "seed: "),
        (422, "POST", "/generate", {"seed": "7"}, "seed: "),
        (422, "POST", "/generate", {"label": "\ud800"}, "label."),
        (422, "POST", "/generate", {"sede": 7}, "sede: "),
        (422, "POST", "/generate", [], "body: "),
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
