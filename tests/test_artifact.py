import base64
import hashlib
import json
import re
import tracemalloc

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from jaxgen import __version__, protobuf
from jaxgen.artifact import Artifact, decode_pictures, dump_manifest, encode_pictures, parse, read, stamp
from jaxgen.config import DDPM, from_dict, to_dict
from jaxgen.errors import JaxgenError
from jaxgen.images import png_bytes

FLOAT = TensorProto.FLOAT
ONNX_18 = helper.make_opsetid("", 18)
MANIFEST = {"config": {"name": "tiny", "data": {"size": 8}}, "classes": ["null", "eins"]}
HEAD = '{"format": 1, "sha256": "' + "0" * 64 + '"'


def value(name: str, kind: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, [])


def tensor(name: str = "w", number: float = 1.0) -> TensorProto:
    return helper.make_tensor(name, FLOAT, [], [number])


def model(nodes=(), initializers=(), opsets=(ONNX_18,), **fields) -> onnx.ModelProto:
    """x + w, besides what is given."""
    nodes = [helper.make_node("Add", ["x", "w"], ["y"]), *nodes]
    graph = helper.make_graph(nodes, "g", [value("x")], [value("y")], [tensor(), *initializers])
    return helper.make_model(graph, opset_imports=opsets, ir_version=10, **fields)


def serialized(proto: onnx.ModelProto, manifest: str | None = None) -> bytes:
    """The model with its manifest, not yet stamped."""
    stated = onnx.ModelProto()
    stated.CopyFrom(proto)
    stated.metadata_props.add(key="jaxgen", value=dump_manifest(MANIFEST) if manifest is None else manifest)
    return stated.SerializeToString()


def restamp(data: bytes) -> bytes:
    """As a forger would stamp: independently of the code under test, and without any of its checks."""
    found = re.search(rb'"sha256": "(.{64})"', data, re.DOTALL)
    if not found:
        return data
    zeroed = data[: found.start(1)] + b"0" * 64 + data[found.end(1) :]
    return data[: found.start(1)] + hashlib.sha256(zeroed).hexdigest().encode() + data[found.end(1) :]


def forged(proto: onnx.ModelProto, manifest: str | None = None) -> bytes:
    return restamp(serialized(proto, manifest))


def body(*nodes, initializers=(), name="body") -> onnx.GraphProto:
    """A subgraph without inputs, as the branches of If are."""
    return helper.make_graph(list(nodes), name, [], [value("out")], list(initializers))


def branching(graph: onnx.GraphProto) -> onnx.NodeProto:
    return helper.make_node("If", ["c"], ["z"], then_branch=graph, else_branch=body(constant(tensor())))


def constant(held: TensorProto, **attributes) -> onnx.NodeProto:
    return helper.make_node("Constant", [], ["out"], value=held, **attributes)


def looping(graph: onnx.GraphProto) -> onnx.NodeProto:
    return helper.make_node("Loop", ["n", "c"], ["z"], body=graph)


def external(location: str | None = "secret.bin") -> TensorProto:
    held = tensor("e")
    held.data_location = TensorProto.EXTERNAL
    if location:
        held.external_data.add(key="location", value=location)
    return held


def sparse(held: TensorProto, at: str = "values") -> onnx.SparseTensorProto:
    proto = onnx.SparseTensorProto(dims=[4])
    getattr(proto, at).CopyFrom(held)
    return proto


def refusal(data: bytes) -> str:
    with pytest.raises(JaxgenError) as caught:
        parse(data, "some/model.onnx")
    message = str(caught.value)
    assert message.startswith("some/model.onnx: ") and "\n" not in message
    return message


@pytest.fixture
def good() -> bytes:
    return stamp(serialized(model()))


def test_stamped_file_reads_back_with_its_manifest(tmp_path, good):
    (tmp_path / "m.onnx").write_bytes(good)
    artifact = read(tmp_path / "m.onnx")
    assert artifact.data == good and artifact.path == tmp_path / "m.onnx"
    assert artifact.manifest == {"format": 1, "sha256": artifact.sha256, "jaxgen": __version__, **MANIFEST}
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
    decoy = {"format": 1, "sha256": "0" * 64}
    manifest = {"config": decoy, "notes": json.dumps(decoy), "a": "0" * 64}
    proto = model(producer_name=dump_manifest(manifest))  # before the manifest, and just like it
    unstamped = serialized(proto, dump_manifest(manifest))
    at = unstamped.rindex(HEAD.encode() + b', "jaxgen"') + len(HEAD) - 65  # the manifest is the file's last field
    stamped = stamp(unstamped)
    assert stamped == unstamped[:at] + hashlib.sha256(unstamped).hexdigest().encode() + unstamped[at + 64 :]
    assert parse(stamped, "m").config == decoy


def test_any_flipped_bit_of_a_small_file_is_refused(good):
    assert len(good) < 600
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


def test_newer_format_asks_for_an_upgrade():
    newer = dump_manifest(MANIFEST).replace('"format": 1', '"format": 2')
    assert "made by a newer jaxgen (format 2, this one reads 1); upgrade" in refusal(forged(model(), newer))


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
        (HEAD + ', "jaxgen": "1"}', "has no 'config'"),
        (HEAD + ', "config": {}}', "has no 'jaxgen'"),
        (HEAD + ', "jaxgen": 1, "config": {}}', "'jaxgen' must be a string, got an integer"),
        (HEAD + ', "jaxgen": "1", "config": []}', "'config' must be an object, got a list"),
        (HEAD + ', "jaxgen": "1", "config": {}, "classes": "ab"}', "'classes' must be a list, got a string"),
        (HEAD + ', "jaxgen": "1", "config": {}, "plans": null}', "'plans' must be an object, got null"),
        (HEAD.replace("1", "true") + ', "jaxgen": "1", "config": {}}', "no format number"),
        (HEAD.replace("1", "0") + ', "jaxgen": "1", "config": {}}', "no format number"),
        (HEAD.replace("00", "", 1) + ', "jaxgen": "1", "config": {}}', "does not start with its format and hash"),
        (HEAD.replace(" ", "") + ', "jaxgen": "1", "config": {}}', "does not start with its format and hash"),
        ('{"jaxgen": "1", "config": {}, ' + HEAD[1:] + "}", "does not start with its format and hash"),
    ],
)
def test_manifest_that_cannot_be_trusted_is_refused(manifest, message):
    assert message in refusal(forged(model(), manifest))


def test_two_manifests_are_refused():
    proto = model()
    proto.metadata_props.add(key="jaxgen", value=dump_manifest(MANIFEST))
    assert "2 jaxgen manifests" in refusal(forged(proto))


@pytest.mark.parametrize(
    "node",
    [
        constant(external()),
        constant(external(location=None)),
        branching(body(constant(external()))),
        branching(body(branching(body(constant(external()))))),
        looping(body(constant(tensor()), initializers=[external()])),
        helper.make_node("Constant", [], ["z"], sparse_value=sparse(external())),
        helper.make_node("Constant", [], ["z"], sparse_value=sparse(external(), "indices")),
        helper.make_node("X", [], ["z"], many=[tensor(), external()]),
        helper.make_node("X", [], ["z"], many=[body(), body(constant(external()))]),
        helper.make_node("X", [], ["z"], many=[sparse(tensor()), sparse(external())]),
    ],
)
def test_external_data_in_a_node_is_refused_however_deep(node):
    assert "tensor data in another file" in refusal(forged(model([node])))


def test_external_data_outside_nodes_is_refused():
    initializer, both, training = model(initializers=[external()]), model(), model()
    both.graph.sparse_initializer.append(sparse(external()))
    training.training_info.add().algorithm.CopyFrom(body(constant(external())))
    without_location = model(initializers=[external(location=None)])
    named_only = external()
    named_only.ClearField("data_location")
    for proto in (initializer, both, training, without_location, model(initializers=[named_only])):
        assert "tensor data in another file" in refusal(forged(proto))


def test_external_data_that_exists_is_refused_before_it_is_read(tmp_path):
    proto = model(initializers=[onnx.numpy_helper.from_array(np.zeros(64, np.float32), "big")])
    proto.metadata_props.add(key="jaxgen", value=dump_manifest(MANIFEST))
    onnx.save_model(proto, tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    assert (tmp_path / "w.bin").exists()
    (tmp_path / "m.onnx").write_bytes(stamp((tmp_path / "m.onnx").read_bytes()))
    with pytest.raises(JaxgenError, match="tensor data in another file"):
        read(tmp_path / "m.onnx")


@pytest.mark.parametrize("domain", ["com.microsoft", "ai.onnx.ml", "ai.onnx\0", "AI.ONNX", "ü\n", "x" * 10_000])
@pytest.mark.parametrize("place", ["opset", "node", "subgraph"])
def test_foreign_operator_domain_is_refused(domain, place):
    node = helper.make_node("Evil", ["x"], ["out"], domain=domain)
    proto = {
        "opset": lambda: model(opsets=[ONNX_18, helper.make_opsetid(domain, 1)]),
        "node": lambda: model([node]),
        "subgraph": lambda: model([looping(body(branching(body(node))))]),
    }[place]()
    message = refusal(forged(proto))
    assert "operators of the domain" in message and len(message) < 400


def test_both_spellings_of_the_standard_domain_are_accepted():
    node = helper.make_node("Neg", ["x"], ["z"], domain="ai.onnx")
    parse(forged(model([node], opsets=[helper.make_opsetid("ai.onnx", 18)])), "m")


def test_subgraphs_sparse_tensors_and_training_graphs_of_its_own_are_accepted():
    proto = model([looping(body(branching(body(constant(tensor())))))])
    proto.graph.sparse_initializer.append(sparse(tensor()))
    proto.training_info.add().algorithm.CopyFrom(body(constant(tensor())))
    parse(forged(proto), "m")


def test_local_functions_are_refused():
    node = helper.make_node("Neg", ["a"], ["b"])
    function = helper.make_function("", "Twice", ["a"], ["b"], [node], [ONNX_18])
    assert "functions of its own" in refusal(forged(model(functions=[function])))


def test_file_that_onnxruntime_would_take_for_its_own_format_is_refused():
    data = forged(model(producer_name="ORTM"))
    assert data[4:8] == b"ORTM" and onnx.load_model_from_string(data).producer_name == "ORTM"
    with pytest.raises(Exception, match="ORT model verification failed"):
        onnxruntime.InferenceSession(data)
    assert "a model of its own format" in refusal(data)


def wire(number: int, payload: bytes | int) -> bytes:
    """One protobuf field, written by hand."""
    tag = number << 3 | (0 if isinstance(payload, int) else 2)
    return varint(tag) + (varint(payload) if isinstance(payload, int) else varint(len(payload)) + payload)


def varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (wire(7, wire(5, wire(14, 1))), "tensor data in another file"),  # a second graph: protobuf merges the two
        (wire(7, wire(5, wire(14, 2**32 + 1))), "tensor data in another file"),  # an enum has 32 bits: reads as 1
        (wire(7, wire(5, wire(14, 1) + wire(14, 0))), "tensor data in another file"),
        (wire(7, wire(1, wire(7, b"evil") + wire(7, b""))), "operators of the domain"),
        (wire(7, wire(1, wire(7, 1))), "damaged (the domain of a node is no text)"),
        (wire(7, 1), "damaged (field 7 of a model is no message)"),
        (wire(14, 1), "damaged (a metadata entry"),
        (wire(7, wire(5, wire(14, b""))), "tensor data in another file"),
        (wire(7, b"\x12\x03") + wire(2, b"abc"), "damaged (a field runs past"),  # past the graph, not past the file
        (wire(7, b"\x10\x80") + wire(2, b"abc"), "damaged (a number"),
        (wire(14, wire(1, b"k")), "damaged (a metadata entry"),
        (wire(14, wire(2, b"v")), "damaged (a metadata entry"),
        (wire(14, wire(1, b"k") + wire(1, b"jaxgen") + wire(2, b"{}")), "damaged (a metadata entry"),
        (b"\x0b\x0c", "damaged (wire type 3)"),  # a group
        (b"\x00\x00", "damaged (field number 0)"),
        (b"\x80\x80\x80\x80\x10\x00", "damaged (field number"),  # 2^29
        (b"\x08" + b"\xff" * 9 + b"\x02", "damaged (a number"),  # 65 bits
        (b"\x08" + b"\x80" * 10 + b"\x00", "damaged (a number"),
        (b"\x0d\x00", "damaged (a field runs past"),
    ],
)
def test_field_that_readers_could_take_in_two_ways_is_refused(field, message):
    assert message in refusal(restamp(serialized(model()) + field))


def test_fixed_size_fields_are_stepped_over():
    alpha = helper.make_node("LeakyRelu", ["x"], ["z"], alpha=0.5)  # 4 bytes, in the middle of a message
    eight = varint(99 << 3 | 1) + bytes(8)
    parse(restamp(serialized(model([alpha])) + eight + wire(2, b"me") + eight), "m")


def test_deep_nesting_is_refused_without_recursion():
    graph = b""
    for _ in range(20_000):
        graph = wire(1, wire(5, wire(6, graph)))
    assert "more than 100 messages inside one another" in refusal(restamp(serialized(model()) + wire(7, graph)))


def test_more_fields_than_any_model_has_are_refused(monkeypatch):
    monkeypatch.setattr(protobuf, "MAX_FIELDS", 1000)
    monkeypatch.setattr("jaxgen.onnxfile.MAX_FIELDS", 1000)
    parse(restamp(serialized(model()) + wire(7, b"\x10\x00" * 900)), "m")
    assert "more than 1000 fields" in refusal(restamp(serialized(model()) + wire(7, b"\x10\x00" * 1000)))
    assert "more than 1000 fields" in refusal(model().SerializeToString() + b"\x10\x00" * 1000)


def test_oversize_manifest_is_refused_unparsed(monkeypatch, good):
    monkeypatch.setattr("jaxgen.artifact.MAX_MANIFEST_BYTES", 100)
    assert "more than 100 bytes" in refusal(good)


def everything() -> bytes:
    """A model with something in every place that the checks look at."""
    proto = model([looping(body(branching(body(constant(tensor()))))), helper.make_node("X", [], [], g=[body()])])
    proto.graph.sparse_initializer.append(sparse(tensor()))
    proto.training_info.add().algorithm.CopyFrom(body(constant(tensor())))
    proto.metadata_props.add(key="k", value="v")
    return serialized(proto)


def reaches_outside(proto) -> bool:
    """The same question put to protobuf's own reflection."""
    if isinstance(proto, TensorProto) and (proto.data_location != TensorProto.DEFAULT or proto.external_data):
        return True
    if isinstance(proto, onnx.NodeProto | onnx.OperatorSetIdProto) and proto.domain not in ("", "ai.onnx"):
        return True
    if isinstance(proto, onnx.FunctionProto):
        return True
    children = []
    for field, found in proto.ListFields():
        if field.message_type:
            children += found if isinstance(found, list) or hasattr(found, "append") else [found]
    return any(map(reaches_outside, children))


def mutations(data: bytes, count: int):
    rng = np.random.default_rng(3)
    for _ in range(count):
        bad = bytearray(data)
        for at in rng.integers(0, len(bad), rng.integers(1, 5)):
            choice = rng.integers(4)
            if choice == 0:
                bad[at % len(bad)] = rng.integers(256)
            elif choice == 1:
                bad[at % len(bad)] ^= 1 << rng.integers(8)
            elif choice == 2:
                del bad[at : at + rng.integers(1, 9)]
            else:
                bad[at:at] = rng.bytes(rng.integers(1, 9))
        yield bytes(bad)


def test_mutated_files_are_refused_or_harmless_and_never_crash():
    accepted = refused = 0
    for bad in map(restamp, mutations(everything(), 20_000)):
        try:
            artifact = parse(bad, "m")
        except JaxgenError as err:
            assert "\n" not in str(err)
            refused += 1
            continue
        assert isinstance(artifact, Artifact)
        accepted += 1
        try:
            proto = onnx.load_model_from_string(bad)
        except Exception:  # stricter than we are; so is onnxruntime
            continue
        assert not reaches_outside(proto)
    assert accepted > 500 and refused > 5000


def test_random_bytes_never_crash():
    rng = np.random.default_rng(4)
    for size in rng.integers(0, 200, 5000):
        refusal(rng.bytes(size))


def test_value_gives_a_dotted_entry_of_its_type():
    artifact = parse(stamp(serialized(model(), dump_manifest({"config": {"a": {"b": 3, "c": True}}}))), "m.onnx")
    assert artifact.value("config.a.b", int) == 3
    assert artifact.value("config.a.b", float) == 3.0
    assert artifact.value("config.a", dict) == {"b": 3, "c": True}
    for key, kind, message in [
        ("config.a.x", int, r"m\.onnx: its manifest has no 'config.a.x' \(made by jaxgen '"),
        ("config.a.b.x", int, "no 'config.a.b.x'"),
        ("config.a.c", int, "'config.a.c' must be an integer, got true or false"),
        ("config.a.b", str, "'config.a.b' must be a string, got an integer"),
    ]:
        with pytest.raises(JaxgenError, match=message):
            artifact.value(key, kind)


def test_config_of_a_run_survives_the_manifest():
    config = DDPM()
    artifact = parse(stamp(serialized(model(), dump_manifest({"config": to_dict(config)}))), "m")
    assert from_dict(artifact.config) == config


def test_dumped_manifest_starts_with_format_and_zeros_whatever_was_given():
    text = dump_manifest({"config": {}, "sha256": "f" * 64, "format": 9, "jaxgen": "7.1", "name": "é"})
    assert text == HEAD + ', "jaxgen": "7.1", "config": {}, "name": "\\u00e9"}'


@pytest.mark.parametrize(
    "manifest", [{}, {"config": 1}, {"config": {"clip": float("inf")}}, {"config": {"x": object()}}]
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


@pytest.mark.parametrize("shape", [(3, 8, 8, 1), (1, 5, 7, 3)])
def test_pictures_survive_the_manifest(shape):
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    texts = json.loads(json.dumps(encode_pictures(images)))
    assert np.array_equal(decode_pictures(texts), images)


def png_text(*shape: int) -> str:
    return base64.b64encode(png_bytes(np.zeros(shape, np.uint8))).decode()


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "one or more"),
        ("abc", "one or more"),
        ([png_text(2, 2, 1), 7], "one or more"),
        (["abcd!"], "picture 0 is not base64"),
        (["é"], "picture 0 is not base64"),
        (["abcd"], "picture 0: is not a PNG"),
        ([png_text(2, 2, 1)[:40]], "picture 0: is not a PNG"),
        ([png_text(2, 2, 1), png_text(2, 3, 1)], "picture 1: expected (2, 2, 1) as picture 0, got (2, 3, 1)"),
        ([png_text(3000, 3000, 1)] * 2, "at most 8388608 pixels, got 3000 x 3000"),
    ],
)
def test_bad_pictures_are_refused(texts, message):
    with pytest.raises(JaxgenError) as caught:
        decode_pictures(texts)
    assert message in str(caught.value)
