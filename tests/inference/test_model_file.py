"""A model file's stamp and manifest: what is written is read back, and what was changed is refused."""

import hashlib
import json
import re
import tracemalloc

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx_files import INFERENCE, MANIFEST, forged, model, refusal, serialized

from jaxgen import __version__
from jaxgen.config import DDPM, from_dict, to_dict
from jaxgen.errors import JaxgenError
from jaxgen.inference.model_file import Artifact, dump_manifest, parse, read, stamp

HEAD = '{"format": 2, "sha256": "' + "0" * 64 + '"'
FORMAT_1 = HEAD.replace("2", "1", 1)


@pytest.fixture
def good() -> bytes:
    return stamp(serialized(model()))


def test_stamped_file_reads_back_with_its_manifest(tmp_path, good):
    (tmp_path / "m.onnx").write_bytes(good)
    artifact = read(tmp_path / "m.onnx")
    assert artifact.data == good and artifact.path == tmp_path / "m.onnx"
    written = {"format": 2, "sha256": artifact.sha256, "jaxgen": __version__, "requires": [], **MANIFEST}
    assert artifact.manifest == written
    assert artifact.inference.to_dict() == MANIFEST["inference"]
    assert artifact.version == __version__ and artifact.config == MANIFEST["config"]


def test_stamp_is_the_hash_of_the_file_with_zeros_in_its_place():
    unstamped = serialized(model())
    stamped = stamp(unstamped)
    digest = hashlib.sha256(unstamped).hexdigest()
    assert stamped == unstamped.replace(b"0" * 64, digest.encode(), 1)
    assert parse(stamped, "m").sha256 == digest


def test_stamped_file_is_a_valid_model_that_runs_in_onnxruntime(good):
    onnx.checker.check_model(onnx.load_model_from_string(good), full_check=True)
    session = onnxruntime.InferenceSession(parse(good, "m").data, providers=["CPUExecutionProvider"])
    assert session.run(None, {"x": np.array(2, np.float32)}) == [3.0]
    assert json.loads(session.get_modelmeta().custom_metadata_map["jaxgen"])["config"] == MANIFEST["config"]


def test_hash_is_found_where_the_manifest_holds_the_same_text_again():
    decoy = {"format": 2, "sha256": "0" * 64}
    manifest = {"inference": INFERENCE, "config": decoy, "notes": json.dumps(decoy), "a": "0" * 64}
    proto = model(producer_name=dump_manifest(manifest))  # before the manifest, and just like it
    unstamped = serialized(proto, dump_manifest(manifest))
    at = unstamped.rindex(HEAD.encode() + b', "jaxgen"') + len(HEAD) - 65  # the manifest is the file's last field
    stamped = stamp(unstamped)
    assert stamped == unstamped[:at] + hashlib.sha256(unstamped).hexdigest().encode() + unstamped[at + 64 :]
    assert parse(stamped, "m").config == decoy


def test_any_flipped_bit_of_a_small_file_is_refused(good):
    assert len(good) < 700  # few enough to try them all
    for bit in range(len(good) * 8):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        refusal(bytes(bad))


def test_flipped_bit_of_a_file_on_disk_is_refused(tmp_path, good):
    path = tmp_path / "m.onnx"
    for at in range(0, len(good), 16):
        path.write_bytes(good[:at] + bytes([good[at] ^ 32]) + good[at + 1 :])
        with pytest.raises(JaxgenError, match=re.escape(str(path))):
            read(path)


def test_flipped_bits_of_a_large_file_are_refused():
    weights = np.random.default_rng(0).standard_normal(250_000, dtype=np.float32)
    data = stamp(serialized(model(initializers=[onnx.numpy_helper.from_array(weights, "big")])))
    parse(data, "m")
    bad = bytearray(data)
    for bit in np.random.default_rng(1).integers(0, len(data) * 8, 200):
        bad[bit // 8] ^= 1 << bit % 8
        refusal(bytes(bad))
        bad[bit // 8] ^= 1 << bit % 8


def test_every_truncation_is_refused(good):
    for cut in range(len(good)):
        refusal(good[:cut])
    refusal(good + b"\0")
    refusal(good + b"\x10\x01")  # a whole field more


@pytest.mark.parametrize(
    "data", [b"", b"hello world", b"\x89PNG\r\n\x1a\n" + bytes(64), b"\x08\x0a", b"\xff" * 99, b"\x38\x01"]
)
def test_file_of_another_kind_is_not_onnx_or_damaged(data):
    assert "is not an ONNX file or is damaged" in refusal(data)


def test_file_that_another_tool_rewrote_is_not_called_damaged(good):
    """The bytes alone do not tell a tool from a broken download, so the line names both, and what to do."""
    rewritten = onnx.load_model_from_string(good)
    rewritten.doc_string = "optimised"
    line = refusal(rewritten.SerializeToString())
    assert line == (
        "some/model.onnx: its bytes are not those that were exported: a download that broke, or another tool that "
        "rewrote it; get it again, or 'jaxgen adopt --resign some/model.onnx' measures it anew"
    )
    parse(onnx.load_model_from_string(good).SerializeToString(), "m")  # read and written, and nothing changed


def test_foreign_onnx_file_is_called_one():
    proto = model()
    assert "is an ONNX file, but not one of jaxgen's" in refusal(proto.SerializeToString())
    proto.metadata_props.add(key="jaxgen2", value="{}")
    assert "is an ONNX file, but not one of jaxgen's" in refusal(proto.SerializeToString())


def test_missing_file_folder_and_oversize_file_are_refused(tmp_path):
    with pytest.raises(JaxgenError, match="no such file"):
        read(tmp_path / "m.onnx")
    with pytest.raises(JaxgenError, match="expected a file"):
        read(tmp_path)
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(2**31)  # sparse: takes no room
    tracemalloc.start()
    with pytest.raises(JaxgenError, match="at most 2147483647 bytes, got 2147483648"):
        read(tmp_path / "huge")
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_message_on_a_newer_format_names_the_upgrade():
    newer = dump_manifest(MANIFEST).replace('"format": 2', '"format": 3')
    assert "made by a newer jaxgen (format 3, this one reads 2); upgrade" in refusal(forged(model(), newer))


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ("", "its manifest is no JSON"),
        ("[1]", "no JSON object"),
        ("null", "no JSON object"),
        ("[" * 100_000, "its manifest is no JSON"),
        ("9" * 5000, "its manifest is no JSON"),
        (HEAD, "its manifest is no JSON"),
        (HEAD + ', "jaxgen": "1", "config": {}, "x": NaN}', "its manifest is no JSON"),
        (HEAD + ', "jaxgen": "1", "config": {}, "x": 1e999}', "its manifest is no JSON"),
        (HEAD + ', "jaxgen": "1", "config": {}, "x": "\\ud800"}', "its manifest is no JSON"),
        (HEAD + ', "jaxgen": "1", "config": {}, "config": {}}', "a key occurs twice"),
        (HEAD + ', "jaxgen": "1", "config": {}, "sha256": "0"}', "a key occurs twice"),
        (HEAD + ', "jaxgen": "1", "config": {}}', "has no 'inference'"),
        (HEAD + ', "inference": {}}', "has no 'jaxgen'"),
        (HEAD + ', "jaxgen": 1, "inference": {}}', "'jaxgen' must be a string, got an integer"),
        (HEAD + ', "jaxgen": "1", "inference": []}', "'inference' must be an object, got a list"),
        (HEAD + ', "jaxgen": "1", "inference": {}}', "its manifest has no 'inference.kind'; export it again"),
        (FORMAT_1 + ', "jaxgen": "1", "inference": {}}', "has no 'config'"),
        (FORMAT_1 + ', "jaxgen": "1", "config": []}', "'config' must be an object, got a list"),
        (HEAD.replace("2", "true", 1) + ', "jaxgen": "1", "config": {}}', "no format number"),
        (HEAD.replace("2", "0", 1) + ', "jaxgen": "1", "config": {}}', "no format number"),
        (HEAD.replace("2", "02", 1) + ', "jaxgen": "1", "config": {}}', "its manifest is no JSON"),
        (HEAD.replace("00", "", 1) + ', "jaxgen": "1", "inference": {}}', "does not start with its format and hash"),
        (HEAD.replace(" ", "") + ', "jaxgen": "1", "inference": {}}', "does not start with its format and hash"),
        ('{"jaxgen": "1", "inference": {}, ' + HEAD[1:] + "}", "does not start with its format and hash"),
    ],
)
def test_manifest_that_cannot_be_trusted_is_refused(manifest, message):
    assert message in refusal(forged(model(), manifest))


def test_two_manifests_are_refused():
    proto = model()
    proto.metadata_props.add(key="jaxgen", value=dump_manifest(MANIFEST))
    assert "2 jaxgen manifests" in refusal(forged(proto))


def test_oversize_manifest_is_refused_unparsed(monkeypatch, good):
    monkeypatch.setattr("jaxgen.inference.model_file.MAX_MANIFEST_BYTES", 100)
    assert "more than 100 bytes" in refusal(good)


def test_value_gives_a_dotted_entry_of_its_type():
    manifest = {**MANIFEST, "a": {"b": 3, "c": True}}
    artifact = parse(stamp(serialized(model(), dump_manifest(manifest))), "m.onnx")
    assert artifact.value("a.b", int) == 3
    assert artifact.value("a.b", float) == 3.0
    assert artifact.value("a", dict) == {"b": 3, "c": True}
    for key, kind, message in [
        ("a.x", int, r"m\.onnx: its manifest has no 'a.x' \(made by jaxgen '"),
        ("a.b.x", int, "no 'a.b.x'"),
        ("a.c", int, "'a.c' must be an integer, got true or false"),
        ("a.b", str, "'a.b' must be a string, got an integer"),
    ]:
        with pytest.raises(JaxgenError, match=message):
            artifact.value(key, kind)


def recording(config: object) -> Artifact:
    return parse(stamp(serialized(model(), dump_manifest({"inference": INFERENCE, "config": config}))), "m.onnx")


def test_config_of_a_run_survives_the_manifest():
    config = DDPM()
    assert from_dict(recording(to_dict(config)).config) == config


def test_fact_of_the_record_is_there_or_not_and_never_an_error():
    artifact = recording({"family": "vae", "data": {"dataset": "digits", "size": "large"}, "training": 3})
    assert (artifact.fact("family", str), artifact.fact("data.dataset", str)) == ("vae", "digits")
    for key, kind in [
        ("name", str), ("data.size", int), ("data", str), ("training.lr", float), ("family.x", str), ("a.b.c", int)
    ]:  # fmt: skip
        assert artifact.fact(key, kind) is None
    assert recording([1]).fact("family", str) is None and recording([1]).config == {}


def test_dumped_manifest_starts_with_format_and_zeros_whatever_was_given():
    text = dump_manifest({"inference": {}, "sha256": "f" * 64, "format": 9, "jaxgen": "7.1", "name": "é"})
    assert text == HEAD + ', "jaxgen": "7.1", "requires": [], "inference": {}, "name": "\\u00e9"}'


@pytest.mark.parametrize(
    "manifest", [{}, {"inference": 1}, {"inference": {"clip": float("inf")}}, {"inference": {"x": object()}}]
)
def test_manifest_that_could_not_be_read_back_is_not_written(manifest):
    with pytest.raises(JaxgenError, match="manifest"):
        dump_manifest(manifest)


def test_stamping_what_has_no_fresh_manifest_is_refused(good):
    with pytest.raises(JaxgenError, match="stamped already"):
        stamp(good)
    with pytest.raises(JaxgenError, match="not one of jaxgen's"):
        stamp(model().SerializeToString())
    with pytest.raises(JaxgenError, match="is not an ONNX file"):
        stamp(b"")
