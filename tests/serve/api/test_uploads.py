"""Model files of whoever means harm: each refused with one line, and nothing read or written outside."""

import pickle
import threading
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from servers import before_all, constant, forged, loops_for_ever, until

from jaxgen.inference.model_file import parse


class Planted:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def outside(location: str):
    """Data that lies in a file of the server's."""

    def change(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer.add(name="secret", data_type=TensorProto.UINT8, dims=[16])
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)

    return change


def foreign(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    model.graph.node.append(helper.make_node("Inverse", ["seed"], ["unused"], domain="com.microsoft"))


def function(model: onnx.ModelProto) -> None:
    opset = helper.make_opsetid("", 18)
    node = helper.make_node("Identity", ["x"], ["y"])
    model.functions.append(helper.make_function("", "Mine", ["x"], ["y"], [node], [opset]))


def huge(*dims: int):
    """A graph that asks for so many numbers before it samples."""

    def change(model: onnx.ModelProto) -> None:
        before_all(
            model,
            constant("shape", np.array(dims)),
            helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
            helper.make_node("ReduceMax", ["zeros"], ["one"], keepdims=0),
            helper.make_node("Cast", ["one"], ["zero"], to=TensorProto.INT64),
            helper.make_node("Add", ["seed", "zero"], ["checked"]),
        )

    return change


def at_the_end(model: onnx.ModelProto, *nodes: onnx.NodeProto) -> None:
    """Let these nodes make "images" of what was to be that, "unchanged"."""
    for node in model.graph.node:
        node.output[:] = ["unchanged" if name == "images" else name for name in node.output]
    model.graph.node.extend(nodes)


def twice_as_high(model: onnx.ModelProto) -> None:
    at_the_end(model, helper.make_node("Concat", ["unchanged", "unchanged"], ["images"], axis=1))


def secretly_wider(model: onnx.ModelProto) -> None:
    """Of seed 13 an image of 9 x 8 pixels, which no look at the graph tells."""
    for node in (
        constant("thirteen", 13),
        helper.make_node("ReduceMax", ["seed"], ["most"], keepdims=0),
        helper.make_node("Equal", ["most", "thirteen"], ["odd"]),
        helper.make_node("Cast", ["odd"], ["more"], to=TensorProto.INT64),
        helper.make_node("Unsqueeze", ["more", "first"], ["more_1"]),
        constant("zeros", np.zeros(5, np.int64)),
        constant("zeros_2", np.zeros(2, np.int64)),
        constant("first", np.array([0])),
    )[::-1]:
        model.graph.node.insert(0, node)
    at_the_end(
        model,
        helper.make_node("Concat", ["zeros", "more_1", "zeros_2"], ["pads"], axis=0),
        helper.make_node("Cast", ["unchanged"], ["as_float"], to=TensorProto.FLOAT),
        helper.make_node("Pad", ["as_float", "pads"], ["wide"]),
        helper.make_node("Cast", ["wide"], ["images"], to=TensorProto.UINT8),
    )


def change(key: str, value: object):
    return lambda entries: entries.update({key: value})


def inference(**values: object):
    return lambda entries: entries["inference"].update(values)


GRAPHS = {
    "data in another file": (outside("../../../../etc/passwd"), "external data"),
    "data at an absolute place": (outside("/etc/passwd"), "external data"),
    "an operator of another domain": (foreign, "com.microsoft"),
    "a function": (function, "functions of its own"),
    "no end": (loops_for_ever, "no image in 3 seconds"),
    "a billion billion numbers": (huge(10**9, 10**9), ""),
    "ten billion numbers": (huge(10**10), ""),
    "images of another size": (twice_as_high, "expected the outputs"),
}
MANIFESTS = {
    "a list of training": (change("training", [1]), None),  # odd, and harmless
    "a config of code": (change("config", {"family": "__import__('os').system('true')"}), None),
    "a thousand classes": (inference(classes=["x"] * 1000, null_class=False), "expected the inputs"),
    "another process": (
        inference(process={"kind": "__import__"}, noise_shape=[8, 8, 1], plan={"sampler": "x", "steps": 1, "eta": 0}),
        "expected the inputs",
    ),
    "a huge image": (inference(image_shape=[2**30, 2**30, 1]), "image_shape"),
    "an image as large as there may be": (inference(image_shape=[4096, 4096, 3]), "expected the outputs"),
    "a code of another length": (inference(noise_shape=[4096]), "latent"),
    "another kind": (inference(kind="encoder"), "generates no images"),
    "what nobody knows": (change("requires", ["telepathy"]), "needs 'telepathy'"),
}


@pytest.fixture(scope="module")
def watched(strict):
    """What is in the server's folders, to be compared when all is over."""

    def there() -> set[Path]:
        return {path for root in (strict.data, strict.folder) for path in root.rglob("*") if "gallery" not in str(path)}

    before = there()
    yield strict
    assert there() == before
    assert strict.process.poll() is None


def refusal(insider, name: str, content: bytes) -> str:
    """That a file is refused, in one line without a path."""
    answer = insider.post("/models", files={"file": (name, content, "application/octet-stream")})
    assert answer.status_code in (400, 422), answer.text
    detail = answer.json()["detail"]
    assert "\n" not in detail and "/tmp" not in detail and "Traceback" not in detail
    return detail


@pytest.mark.parametrize("what", GRAPHS)
def test_harmful_graph_is_refused(insider, watched, model_files, what):
    proto, says = GRAPHS[what]
    assert says in refusal(insider, "mine.onnx", forged(model_files["plane"], proto=proto))


@pytest.mark.parametrize("what", [name for name, (_, says) in MANIFESTS.items() if says is not None])
def test_manifest_that_does_not_fit_its_graph_is_refused(insider, watched, model_files, what):
    manifest, says = MANIFESTS[what]
    assert says in refusal(insider, "mine.onnx", forged(model_files["plane"], manifest=manifest))


def test_file_of_another_kind_is_refused_and_none_of_it_runs(insider, watched, family, tmp_path):
    canary = tmp_path / "canary"
    vae = family("vae")
    good = vae.onnx.read_bytes()
    files = {
        "a pickle": pickle.dumps(Planted(canary)),
        "TorchScript": vae.torchscript.read_bytes(),
        "a state dict": vae.state.read_bytes(),
        "safetensors": vae.safetensors.read_bytes(),
        "an encoder": vae.encoder.read_bytes(),
        "half a file": good[: len(good) // 2],
        "a flipped bit": good[:5000] + bytes([good[5000] ^ 1]) + good[5001:],
        "a web page": b"<!doctype html>",
        "nothing": b"",
        "zeros": bytes(100_000),
    }
    for content in files.values():
        refusal(insider, "mine.onnx", content)
    for ending in (".pth", ".pt", ".ts", ".pkl", ".zip", ".ONNX", ".onnx.pth", ""):
        assert "NAME.onnx" in refusal(insider, f"mine{ending}", pickle.dumps(Planted(canary)))
    assert not canary.exists()


def test_files_that_wait_to_be_tried_are_few_and_hold_up_nobody(strict, insider, watched, model_files):
    """Each takes all of its three seconds; were they to wait in the threads that the gallery uses, so would it."""
    content, found = forged(model_files["plane"], proto=loops_for_ever), []

    def send(i: int) -> None:
        with strict.client() as own:
            found.append(own.post("/models", files={"file": (f"mine-{i}.onnx", content)}))

    begin = time.monotonic()
    threads = [threading.Thread(target=send, args=(i,)) for i in range(44)]
    for thread in threads:
        thread.start()
    assert until(lambda: len(found) >= 41)
    early = list(found)
    assert insider.get("/gallery").status_code == 200
    assert time.monotonic() - begin < 3
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in early} == {503}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in found if answer.status_code == 503)
    tried = [answer.json()["detail"] for answer in found if answer.status_code == 400]
    assert 1 <= len(tried) <= 3 and all("no image in 3 seconds" in line for line in tried)


NAMES = [
    "../x.onnx", "../../x.onnx", "/tmp/x.onnx", "a/b.onnx", "..\\x.onnx", "%2e%2e%2fx.onnx",
    ".onnx", "..onnx", ".x.onnx", "-x.onnx", "x y.onnx", "plane.encoder.onnx",
    "x\x00.onnx", "x.onnx\x00", "x\n.onnx", "\u202ex.onnx", "\u00e9.onnx", f"{'x' * 65}.onnx", f"{'x' * 5000}.onnx",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_name_that_is_no_plain_one_is_refused(insider, watched, model_files, name):
    content = model_files["vae"].read_bytes()
    boundary = b"0123456789"
    head = b'--%b\r\nContent-Disposition: form-data; name="file"; filename="%b"\r\n\r\n' % (boundary, name.encode())
    body = head + content + b"\r\n--" + boundary + b"--\r\n"
    kind = f"multipart/form-data; boundary={boundary.decode()}"
    answer = insider.post("/models", content=body, headers={"content-type": kind})
    assert answer.status_code in (400, 422), answer.text
    assert "\n" not in answer.json()["detail"]


def test_file_larger_than_allowed_is_refused_before_it_is_read(insider, watched):
    answer = insider.post("/models", files={"file": ("mine.onnx", bytes(66 * 2**20))})
    assert answer.status_code == 413


def test_model_that_never_ends_is_stopped_and_the_next_one_samples(insider, strict):
    """It lies in the served folder: nobody tried it first."""
    answer = insider.post("/generate", json={"model": "runaway"})
    assert answer.status_code == 503 and int(answer.headers["retry-after"]) >= 1
    assert "in time" in answer.json()["detail"]
    assert insider.post("/generate", json={"model": "plane"}).status_code == 200
    assert strict.queue() == 0


def test_images_of_another_size_than_the_graph_says_are_refused_when_they_are_sampled(client, model_files, server):
    content = forged(model_files["plane"], proto=secretly_wider)
    answer = client.post("/models", files={"file": ("odd.onnx", content)})
    assert answer.status_code == 201  # of seed 0 it samples as it should
    assert client.post("/generate", json={"model": "odd", "seed": 12}).status_code == 200
    for path in ("/generate", "/generate-batch?format=grid", "/stream?model=odd&seed=13"):
        sent = {"json": {"model": "odd", "seed": 13}} if "stream" not in path else {}
        answer = client.request("POST" if sent else "GET", path, **sent)
        assert answer.status_code == 400 or "event: error" in answer.text, answer.text
    assert client.post("/generate", json={"model": "plane"}).status_code == 200
    (server.data / "uploads" / content_hash(content) / "odd.onnx").unlink()


def content_hash(content: bytes) -> str:
    return parse(content, "it").sha256


def test_good_file_is_served_under_its_name_and_kept_under_its_hash(client, server, model_files):
    harmless, _ = MANIFESTS["a list of training"]
    content = forged(model_files["plane"], manifest=harmless)
    sha256 = content_hash(content)
    sent = {"files": {"file": ("mine-2.onnx", content)}}
    answer = client.post("/models", **sent)
    assert (answer.status_code, answer.json()) == (201, {"name": "mine-2", "sha256": sha256})
    assert client.post("/models", **sent).status_code == 201  # the same again changes nothing
    assert [path.relative_to(server.data).as_posix() for path in server.data.rglob("*.onnx")] == [
        f"uploads/{sha256}/mine-2.onnx"
    ]
    answer = client.post("/generate", json={"model": "mine-2", "seed": 4}).json()
    assert answer["image"] and answer["sha256"] == sha256
    taken = client.post("/models", files={"file": ("vae.onnx", content)})
    assert taken.status_code == 400 and "another model 'vae'" in taken.json()["detail"]
    (server.data / "uploads" / sha256 / "mine-2.onnx").unlink()  # for those who count the models


def test_nothing_is_taken_unless_allowed():
    from jaxgen_serve.settings import Settings

    assert Settings().allow_uploads is False
