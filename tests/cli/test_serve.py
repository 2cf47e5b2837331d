"""jaxgen serve: what it says before it answers, and how it ends."""

import shutil
import signal
import socket
import sys

import pytest
from servers import serving


@pytest.fixture
def taken():
    """A port that somebody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize(
    ("code", "arguments", "says"),
    [
        (2, ["nowhere.onnx"], "no such file or folder, and no model of this name"),
        (2, ["../models/x"], "no such file or folder"),
        (2, ["cvae-mnis"], "(did you mean 'cvae-mnist'?)"),
        (2, ["--cors", "example.org"], "an origin such as https://example.org"),
        (2, ["--cors", "*"], "an origin such as https://example.org"),
        (2, ["--token", "short"], "8 printable ASCII characters"),
        (2, ["--port", "65536"], "65536"),
        (2, ["--max-batch", "0"], "0"),
        (2, ["--deadline", "0"], "0"),
        (3, ["broken.onnx"], "is not an ONNX file or is damaged"),
    ],
)
def test_what_cannot_be_served_is_refused_in_one_line(refused, tmp_path, code, arguments, says):
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    assert says in refused(code, "serve", "--data", tmp_path / "data", *arguments)


def test_port_that_is_taken_is_named_and_an_open_door_warned_of(command, tmp_path, taken):
    outcome = command("serve", "--data", tmp_path, "--port", taken)
    assert outcome.code == 3 and f"127.0.0.1, port {taken}: Address already in use" in outcome.err
    assert "token" not in outcome.err
    with socket.create_server(("0.0.0.0", 0)) as listener:
        port = listener.getsockname()[1]
        warned = command("serve", "--data", tmp_path, "--host", "0.0.0.0", "--port", port)
        guarded = command("serve", "--data", tmp_path, "--host", "0.0.0.0", "--port", port, "--token", "open-sesame")
    assert "whoever reaches 0.0.0.0 may use this server; give it a --token" in warned.err
    assert "token" not in guarded.err


@pytest.mark.parametrize(
    "missing", ["fastapi", "fastapi_offline", "psutil", "uvicorn", "prometheus_client", "python_multipart"]
)
def test_missing_extra_explains_itself(command, monkeypatch, missing):
    for name in [name for name in sys.modules if name.partition(".")[0] == "jaxgen_serve"]:
        monkeypatch.delitem(sys.modules, name)  # so that it is imported again
    monkeypatch.setitem(sys.modules, missing, None)
    outcome = command("serve")
    assert outcome.code == 4 and outcome.err.count("\n") == 1
    assert "pip install -c constraints.txt -e '.[serve]'" in outcome.err


def test_model_is_served_by_its_name_and_ctrl_c_ends_it_cleanly(unconditional, tmp_path):
    (tmp_path / "models").mkdir()
    shutil.copy(unconditional.onnx, tmp_path / "models" / "digits.onnx")
    with serving("digits", data=tmp_path) as server:
        with server.client() as client:
            assert [model["name"] for model in client.get("/models").json()["models"]] == ["digits"]
            with client.stream("GET", "/stream", params={"steps": 60, "num_images": 64}) as answer:
                assert next(answer.iter_lines()) == "event: frame"
                server.process.send_signal(signal.SIGINT)
                assert server.process.wait(timeout=30) == 0
        assert server.process.stdout.read() == ""  # the address was all
        log = server.log.read_text()
        assert '"GET /models HTTP/1.1" 200' in log and "stopped" in log and "Traceback" not in log


def test_server_without_a_model_waits_for_one_and_says_so(unconditional, tmp_path):
    (tmp_path / "empty").mkdir()
    with serving(tmp_path / "empty", data=tmp_path) as server, server.client() as client:
        assert "no model to sample from yet" in server.log.read_text()
        answer = client.get("/ready")
        assert answer.status_code == 503 and int(answer.headers["retry-after"]) >= 1
        assert client.post("/generate").status_code == 404
        assert client.get("/health").status_code == 200
