import numpy as np
import onnx
import pytest

from jaxgen.errors import JaxgenError
from jaxgen.inference import model_file
from jaxgen.inference.opening import opened
from jaxgen.inference.tensors import encode_images
from jaxgen.inference.verify import compare_images, psnr, same_images, scheme_of, verify, worst


def images(*differing):
    """Two sets of 1000 pixels; the first few differ by these."""
    want = np.full((10, 10, 10, 1), 100, np.uint8)
    found = want.copy()
    found.ravel()[: len(differing)] += np.array(differing, np.int8).view(np.uint8)
    return found, want


@pytest.mark.parametrize(
    ("differing", "identical", "off_by"),
    [((), 1.0, 0), ((1,), 0.999, 1), ((-2, 1, 3), 0.997, 3), ((-100, 120), 0.998, 120)],
)
def test_comparison_counts_equal_pixels_and_finds_the_largest_difference(differing, identical, off_by):
    assert compare_images(*images(*differing)) == {"identical": identical, "off_by": off_by}


def test_comparison_knows_black_from_white():
    black, white = np.zeros((1, 1, 1, 1), np.uint8), np.full((1, 1, 1, 1), 255, np.uint8)
    assert compare_images(black, white) == compare_images(white, black) == {"identical": 0.0, "off_by": 255}


@pytest.mark.parametrize(
    ("differing", "same"), [((2,) * 5, True), ((1,) * 6, False), ((3,), False), ((-2,) * 5, True), ((-3,), False)]
)
def test_images_are_the_same_up_to_the_limits(differing, same):
    assert same_images(*images(*differing)) is same


@pytest.mark.parametrize(("off", "want"), [(1, 48.13), (5, 34.15), (255, 0.0), (0, 99.0)])
def test_psnr_is_20_log10_of_255_over_the_difference(off, want):
    assert psnr(np.full((2, 3, 3, 1), off, np.uint8), np.zeros((2, 3, 3, 1), np.uint8)) == pytest.approx(want, abs=0.01)


@pytest.mark.parametrize(("off", "same"), [(0, True), (4, True), (5, False), (255, False)])
def test_images_of_integers_are_the_same_up_to_35_db(off, same):
    """20 log10(255 / 4) is 36.1, and of 5 it is 34.2."""
    found, want = np.full((10, 8, 8, 1), 100 + off if off < 100 else 0, np.uint8), np.full((10, 8, 8, 1), 100, np.uint8)
    assert same_images(found, want, "int8") is same
    assert same_images(found, want) is same_images(found, want, "fp16") is (off == 0)


@pytest.mark.parametrize("entry", [None, "int8", [], {}, {"scheme": 8}, {"scheme": None}])
def test_file_without_a_scheme_that_is_a_name_is_checked_like_any_other(plain, restamped, unconditional, entry):
    path = restamped(unconditional.onnx, manifest=lambda entries: entries.update(quantization=entry))
    assert scheme_of(model_file.read(path)) is None


def test_worst_rows_hold_what_was_measured_alone():
    evaluation = [{"backend": "a", "relative": 1e-6}, {"backend": "a", "relative": 3e-6}]
    assert worst({"evaluation": evaluation, "trajectories": []}) == {"a": {"relative": 3e-6}}
    drawn = [{"backend": "a", "identical": 0.999, "off_by": 1}, {"backend": "a", "identical": 1.0, "off_by": 0}]
    both = {"a": {"relative": 3e-6, "identical": 0.999, "off_by": 1}}
    assert worst({"evaluation": evaluation, "trajectories": drawn}) == both


def test_images_of_other_shapes_are_not_the_same():
    found, want = images()
    assert not same_images(found[:5], want)
    assert not same_images(found[..., 0], want)


def test_good_file_is_verified(model):
    result = verify(opened(model_file.read(model.onnx)))
    assert result["same"] is True
    assert result["images"] == 8
    assert result["identical"] >= 0.995
    assert result["off_by"] <= 2


def test_file_of_other_weights_is_not_verified(unconditional, restamped):
    def change(proto):
        (loop,) = (node for node in proto.graph.node if node.op_type == "Loop")
        body = next(attribute.g for attribute in loop.attribute if attribute.name == "body")
        tensor = next(tensor for tensor in body.initializer if tensor.name.endswith("conv_out.bias"))
        tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) + 0.1, tensor.name))

    result = verify(opened(model_file.read(restamped(unconditional.onnx, proto=change))))
    assert result["same"] is False
    assert result["off_by"] > 2


def put(key, value):
    def change(entries):
        entries["certificate"]["probe"][key] = value

    return change


EIGHT = list(range(8))
BROKEN = {
    "no seed": lambda entries: entries["certificate"]["probe"].pop("seed"),
    "no probe": lambda entries: entries["certificate"].pop("probe"),
    "no certificate": lambda entries: entries.pop("certificate"),
    "seed out of range": put("seed", 2**32),
    "seed as text": put("seed", "0"),
    "index as text": put("index", ["0"] * 8),
    "ragged index": put("index", [[0, 1], *EIGHT[1:]]),
    "too few indices": put("index", EIGHT[:7]),
    "label of no class": put("label", [9] * 8),
    "no images": put("images", []),
    "images that are none": put("images", ["aGVsbG8="] * 8),
    "images of another size": put("images", encode_images(np.zeros((8, 9, 9, 1), np.uint8))),
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN)
def test_broken_probe_is_the_files_fault_in_one_line(unconditional, restamped, change):
    path = restamped(unconditional.onnx, manifest=change)
    with pytest.raises(JaxgenError) as caught:
        verify(opened(model_file.read(path)))
    assert type(caught.value) is JaxgenError
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
