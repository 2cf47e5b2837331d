"""/gallery as a client sees it, with real models behind it."""

import base64
import json
import zipfile

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from jaxgen.images import png_pixels
from jaxgen.inference.model_file import read
from jaxgen.inference.provenance import read_provenance
from jaxgen_serve.app import create_app
from jaxgen_serve.batching.engine import Engine
from jaxgen_serve.metrics import Metrics
from jaxgen_serve.models.registry import Library
from jaxgen_serve.settings import Settings

NOWHERE = "0" * 28


def client_of(data, *models) -> TestClient:
    metrics = Metrics()
    app = create_app(Settings(data=data), Library(list(models)), Engine(metrics=metrics), metrics)
    return TestClient(app, base_url="http://127.0.0.1")


@pytest.fixture(scope="module")
def client(conditional, tmp_path_factory):
    """With one model: classes named ant, 2 and bee."""
    with client_of(tmp_path_factory.mktemp("data"), conditional.onnx) as client:
        yield client


def test_kept_images_are_those_that_generate_batch_samples(client, conditional, tmp_path):
    body = {"seed": 11, "index": 4, "label": "all", "steps": 3, "sampler": "ddim", "guidance": 2.0}
    kept = client.post("/gallery?num_images=2", json=body).json()["images"]
    drawn = client.post("/generate-batch?num_images=2", json=body).json()
    sha256 = read(conditional.onnx).sha256
    for i, (row, image) in enumerate(zip(kept, drawn["images"], strict=True)):
        number = (4 + i) % 3
        want = {"model": conditional.onnx.stem, "sha256": sha256, "seed": 11, "index": 4 + i, "label": number}
        want |= {"class_name": conditional.classes[number], "guidance": 2.0, "sampler": "ddim", "steps": 3}
        want |= {"untrained": drawn["untrained"], "favourite": False, "url": f"/gallery/{row['id']}.png"}
        assert {key: row[key] for key in want} == want
        png = client.get(row["url"])
        assert png.headers["content-type"] == "image/png"
        (tmp_path / "kept.png").write_bytes(png.content)
        (tmp_path / "drawn.png").write_bytes(base64.b64decode(image["image"]))
        assert np.array_equal(Image.open(tmp_path / "kept.png"), Image.open(tmp_path / "drawn.png"))
        made = read_provenance(tmp_path / "kept.png")
        assert (made["model"], made["seed"], made["index"], made["label"]) == (sha256, 11, 4 + i, number)


def test_row_sent_back_samples_the_image_again(client):
    (row,) = client.post("/gallery", json={"steps": 2}).json()["images"]  # the seed is the server's choice
    names = ("model", "seed", "index", "label", "guidance", "sampler", "steps", "eta")
    again = client.post("/generate", json={name: row[name] for name in names}, headers={"accept": "image/png"})
    first = client.get(row["url"]).content
    assert np.array_equal(png_pixels(again.content, "again"), png_pixels(first, "first"))


def test_search_mark_delete_and_restore(client):
    kept = client.post("/gallery?num_images=3", json={"seed": 77, "label": "bee", "steps": 1}).json()["images"]
    newest_first = [row["id"] for row in reversed(kept)]
    middle = f"/gallery/{newest_first[1]}"

    def found(**query) -> list[str]:
        return [row["id"] for row in client.get("/gallery", params={"seed": 77, **query}).json()["images"]]

    assert found() == found(label="bee") == found(label=2) == newest_first
    assert found(label="ant") == found(model="other") == found(label=-1) == []
    assert client.patch(middle, json={"favourite": True}).json()["favourite"] is True
    assert found(favourite=True) == [newest_first[1]]
    assert found(favourite=False) == [newest_first[0], newest_first[2]]
    page = client.get("/gallery?seed=77&limit=2").json()
    assert (page["next"], page["total"]) == (newest_first[1], 3)
    assert found(before=page["next"]) == newest_first[2:]
    body = {"seed": 77, "label": "bee", "steps": 1}
    again = client.post("/gallery?num_images=4", json=body).json()  # three of which are there
    assert ([row["id"] for row in again["images"][:3]], again["added"]) == (newest_first[::-1], 1)
    client.delete(f"/gallery/{again['images'][3]['id']}")
    assert client.delete(middle).json()["id"] == newest_first[1]
    assert client.get(f"{middle}.png").status_code == 404
    assert found() == [newest_first[0], newest_first[2]]
    assert client.post(f"{middle}/restore").json()["favourite"] is True
    assert found() == newest_first


def test_several_images_are_one_zip(client, tmp_path):
    rows = [
        client.post("/gallery", json={"seed": 78, "label": "bee", "steps": steps}).json()["images"][0]
        for steps in (1, 2)
    ]
    answer = client.post("/gallery/files/zip", json={"ids": [row["id"] for row in rows]})
    (tmp_path / "it.zip").write_bytes(answer.content)
    with zipfile.ZipFile(tmp_path / "it.zip") as archive:
        assert archive.namelist() == [f"{rows[0]['model']}/seed78-000000-class2.png",
                                      f"{rows[1]['model']}/{rows[1]['id']}.png"]  # fmt: skip
        for row, name in zip(rows, archive.namelist(), strict=True):
            assert archive.read(name) == client.get(row["url"]).content


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/gallery/files/zip", {"ids": [NOWHERE]}, 404),
        ("POST", "/gallery/files/zip", {"ids": []}, 422),
        ("GET", f"/gallery/{NOWHERE}.png", None, 404),
        ("GET", "/gallery/..%2fgallery.sqlite3.png", None, 404),
        ("GET", "/gallery/%2e%2e.png", None, 404),
        ("PATCH", f"/gallery/{NOWHERE}", {"favourite": True}, 404),
        ("PATCH", f"/gallery/{NOWHERE}", {"favourite": "yes"}, 422),
        ("DELETE", "/gallery/%00", None, 404),
        ("POST", f"/gallery/{NOWHERE}/restore", None, 404),
        ("GET", "/gallery?limit=0", None, 422),
        ("GET", "/gallery?seed=4294967296", None, 422),
        ("GET", "/gallery?before=..", None, 400),
        ("POST", "/gallery", {"model": "no such"}, 404),
        ("POST", "/gallery", {"label": "no such"}, 400),
        ("POST", "/gallery", {"latent": [0.5]}, 400),
        ("POST", "/gallery?num_images=4000", {}, 400),
    ],
)
def test_bad_request_is_refused_in_one_line(client, method, path, body, status):
    before = client.get("/gallery").json()["total"]
    answer = client.request(method, path, json=body)
    assert answer.status_code == status
    assert list(answer.json()) == ["detail"]
    assert len(answer.json()["detail"].splitlines()) == 1
    assert client.get("/gallery").json()["total"] == before


def test_server_whose_gallery_is_damaged_serves_all_but_the_gallery(conditional, tmp_path):
    (tmp_path / "gallery").mkdir()
    (tmp_path / "gallery" / "gallery.sqlite3").write_bytes(b"not a database" * 1000)
    with client_of(tmp_path, conditional.onnx) as client:
        assert client.post("/generate", json={"steps": 1}).status_code == 200
        for method, path in (("GET", "/gallery"), ("POST", "/gallery"), ("GET", f"/gallery/{NOWHERE}.png")):
            answer = client.request(method, path)
            assert answer.status_code == 503
            assert answer.headers["retry-after"].isdecimal()
            assert answer.json()["detail"].startswith("the gallery's database is damaged")
            assert str(tmp_path) not in json.dumps(answer.json())
