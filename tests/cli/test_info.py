"""What jaxgen info shows of a file's graph and certificate; see test_model.py for the rest."""

from pathlib import Path

import onnx
import pytest
from golden import calls
from onnx_files import forged, model as onnx_model, restamp, wire

GOLDEN = calls.FOLDERS[-1]


def rows(command, path) -> dict[str, str]:
    outcome = command("info", path)
    assert outcome.code == 0
    return {line[:12].strip(): line[12:] for line in outcome.out.splitlines()}


@pytest.mark.parametrize("name", sorted(calls.stems(GOLDEN)))
def test_info_says_whether_inputs_are_required_and_what_batch_is_taken(command, name):
    path = GOLDEN / f"{name}.onnx"
    graph, said = onnx.load(path).graph, rows(command, path)
    with_default = {port.name for port in graph.input} & {tensor.name for tensor in graph.initializer}
    origin = said.get("inputs", "").partition(";")[2]
    assert ("inputs" in said) is (not with_default) and said.get("inputs", "required").startswith("required")
    assert ("made from" in origin) is (name in calls.REQUIRED)
    assert said.get("batch") == {"gan.network": "3, and no other"}.get(name)
    assert said["onnxruntime"] == "certified at the graph optimisation level ORT_ENABLE_ALL"


def test_info_of_a_sampler_that_was_exported_without_defaults_says_so(command, restamped):
    path = restamped(GOLDEN / "flow.required.onnx", manifest=lambda entries: entries.pop("made_from"))
    assert rows(command, path)["inputs"] == "required"


def test_info_shows_the_level_of_no_certificate_that_has_none(command):
    assert "onnxruntime" not in rows(command, calls.FOLDERS[0] / "gan.onnx")


def test_info_of_a_graph_whose_inputs_cannot_be_read_shows_the_rest(command):
    Path("odd.onnx").write_bytes(restamp(forged(onnx_model()) + wire(7, wire(11, b"\xff"))))
    said = rows(command, "odd.onnx")
    assert said["inputs"].startswith("not understood: ") and said["images"] == "8x8x1"
