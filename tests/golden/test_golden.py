"""Files that earlier versions of jaxgen exported open, and give the images that they gave: see make.py.

Whoever breaks these breaks every file that people keep.
"""

import numpy as np
import pytest
from golden import calls

from jaxgen.inference import model_file
from jaxgen.inference.model import Model
from jaxgen.inference.opening import opened
from jaxgen.inference.predictor import Predictor
from jaxgen.inference.verify import verify

FORMATS = [folder.name for folder in calls.FOLDERS]
folders = pytest.mark.parametrize("folder", calls.FOLDERS, ids=FORMATS)


def test_there_is_a_folder_for_each_format():
    assert FORMATS[0] == "format1"
    for name in FORMATS:
        folder = calls.HERE / name
        assert {path.name.removesuffix(".onnx") for path in folder.glob("*.onnx")} == calls.stems(folder)


@pytest.mark.parametrize("folder", calls.FOLDERS[1:], ids=FORMATS[1:])
def test_answers_and_seeds_are_those_of_the_first_format(folder):
    first = calls.FOLDERS[0]
    assert calls.seeds(folder) == calls.seeds(first)
    assert {path.stem for path in folder.glob("*.npz")} == {*calls.SAMPLERS, *calls.READERS}
    for name in (*calls.SAMPLERS, *calls.READERS):
        found, want = calls.answers(folder, name), calls.answers(first, name)
        assert found.keys() == want.keys()
        for call, numbers in want.items():
            assert found[call].dtype == numbers.dtype
            np.testing.assert_array_equal(found[call], numbers, err_msg=f"{name}: {call}")


@folders
@pytest.mark.parametrize("name", calls.SAMPLERS)
def test_sampler_gives_the_images_that_it_gave(folder, name):
    model, want = Model.open(folder / f"{name}.onnx"), calls.answers(folder, name)
    found = calls.sampled(model, name, calls.seeds(folder)[name])
    assert found.keys() == want.keys()
    for call, images in want.items():
        assert images.dtype == np.uint8 and len(np.unique(images)) > 50  # it shows something
        np.testing.assert_array_equal(found[call], images, err_msg=call)


@folders
@pytest.mark.parametrize("name", calls.READERS)
def test_reader_gives_the_numbers_that_it_gave(folder, name):
    found, want = calls.read(Predictor.open(folder / f"{name}.onnx")), calls.answers(folder, name)
    assert found.keys() == want.keys()
    for output, numbers in want.items():
        assert numbers.std() > 0.1
        np.testing.assert_allclose(found[output], numbers, rtol=1e-4, atol=1e-5, err_msg=output)


@pytest.mark.parametrize("folder", calls.FOLDERS[1:], ids=FORMATS[1:])
@pytest.mark.parametrize(("name", "whole"), (calls.NETWORKS | calls.REQUIRED).items())
def test_network_and_sampler_without_defaults_give_the_images_of_the_whole_file(folder, name, whole):
    want = calls.answers(folder, whole)
    found = calls.sampled(calls.opened(folder, name), whole, calls.seeds(folder)[whole])
    assert found.keys() == want.keys()
    for call, images in want.items():
        np.testing.assert_array_equal(found[call], images, err_msg=call)


@pytest.mark.parametrize(
    "path",
    [folder / f"{stem}.onnx" for folder in calls.FOLDERS for stem in sorted(calls.stems(folder))],
    ids=lambda path: f"{path.parent.name}-{path.stem}",
)
def test_certificate_holds(path):
    assert verify(opened(model_file.read(path)))["same"]


@folders
def test_command_works_on_it(folder, jaxgen, tmp_path):
    done = jaxgen("sample", folder / "cddpm.onnx", "-n", 2, "-o", tmp_path / "x.png")
    assert (done.returncode, done.stderr) == (0, "") and (tmp_path / "x.png").exists()
