"""What a server says of its models and of itself: manifests, files, plans, links, health, metrics, documents."""

import base64

import numpy as np
import pytest

from jaxgen.inference.model_file import parse, read
from jaxgen.inference.required_inputs import with_required_inputs

# --- models


def test_models_say_what_they_are(client, shelf):
    found = {model["name"]: model for model in client.get("/models").json()["models"]}
    assert list(found) == ["classes", "plane", "vae"]
    want = {"family": "ddpm", "shape": [8, 8, 3], "classes": ["ant", "2", "bee"], "label_optional": True}
    want |= {"encoder": False, "latent": None, "quick": False, "guidance": {"default": 1.5, "max": 100}}
    plan = {"samplers": ["ancestral", "ddim", "dpmpp-2m"], "sampler": "ddim", "steps": 8, "max_steps": 50, "eta": 0.5}
    steps = {"ancestral": 50, "ddim": 8, "dpmpp-2m": 8}
    plan["defaults"] = {name: {"steps": steps[name], "eta": 0.5 if name == "ddim" else None} for name in steps}
    assert {key: found["classes"][key] for key in want} == want and found["classes"]["plan"] == plan
    assert (found["vae"]["latent"], found["vae"]["encoder"], found["vae"]["label_optional"]) == (3, True, False)
    assert (found["plane"]["plan"], found["plane"]["guidance"], found["plane"]["quick"]) == (None, None, True)
    assert found["vae"]["size_bytes"] == (shelf / "vae.onnx").stat().st_size


def test_model_info_has_the_manifest_without_images(client, shelf):
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


@pytest.mark.parametrize("name", ["classes", "vae"])
def test_model_file_with_required_inputs_is_the_same_model_without_defaults(client, shelf, name):
    served = read(shelf / f"{name}.onnx")
    answer = client.get(f"/model-file?model={name}&inputs=required")
    file = parse(answer.content, "answer")
    assert file.data == with_required_inputs(served).data != served.data
    assert answer.headers["etag"] == f'"{file.sha256}"'
    again = client.get(f"/model-file?model={name}&inputs=required", headers={"if-none-match": f'"{file.sha256}"'})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(f"/model-file?model={name}&inputs=none").status_code == 422


def test_plan_is_the_table_that_the_graph_takes(client, loaded):
    found = client.get("/plan?model=classes&sampler=dpmpp-2m&steps=5").json()
    table = np.frombuffer(base64.b64decode(found["table"]), "<f4").reshape(found["rows"], 9)
    assert np.array_equal(table, loaded("classes").plan(sampler="dpmpp-2m", steps=5))


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


def test_who_watches_a_server_may_request_headers_alone(client):
    for path in ("/", "/health", "/ready"):
        head, full = client.head(path), client.get(path)
        assert (head.status_code, head.content) == (200, b"") and full.content
        assert head.headers["content-length"] == full.headers["content-length"]


def test_metrics_count_what_was_answered_and_sampled(client, server):
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
    for path in ("/stream", "/images/{model}/{seed}/{index}.png"):
        assert "409" in document["paths"][path]["get"]["responses"]
    assert (
        "409" in document["components"]["schemas"]["SampleRequest"]["properties"]["sha256"]["anyOf"][0]["description"]
    )
