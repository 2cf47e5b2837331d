"""The models that come with jaxgen: whole, certified, scored, and there by their names."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from schemas import VALIDATOR

from jaxgen import Model, shipped
from jaxgen.errors import UsageError
from jaxgen.images import read_png
from jaxgen.inference import model_file
from jaxgen.inference.opening import opened
from jaxgen.inference.verify import verify

ALL = [*sorted(shipped.FOLDER.glob("*.onnx")), *sorted(shipped.EXTRACTORS.glob("*.onnx"))]


def test_models_are_the_files_of_the_folder_but_encoders():
    assert {"cvae-mnist", "cvae-digits"} <= shipped.models().keys()
    assert all(path == shipped.FOLDER / f"{name}.onnx" for name, path in shipped.models().items())
    assert not [name for name in shipped.models() if "encoder" in name]


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_file_is_whole_and_its_certificate_holds_here(path):
    artifact = model_file.read(path)
    VALIDATOR.validate(artifact.manifest)
    assert verify(opened(artifact))["same"]
    assert artifact.fact("name", str) == {name: f"classifier-{name}" for name in ("digits", "mnist")}.get(
        path.stem, path.stem.removesuffix(".encoder")
    )


@pytest.mark.parametrize("name", shipped.models())
def test_model_has_scores_beside_their_floor_by_an_extractor_that_ships(name):
    kept = model_file.read(shipped.model(name)).manifest["scores"]
    assert kept["extractor"] == model_file.read(shipped.extractor(kept["dataset"])).sha256
    fid = kept["scores"]["fid"]
    assert fid["floor"] > 0 and 0 < fid["value"] < 1000 and kept["n"] == kept["floor_n"] >= 300
    assert kept["command"].startswith(f"jaxgen eval {name} --dataset {kept['dataset']} ")


def test_all_of_it_takes_less_than_40_mb():
    assert sum(path.stat().st_size for path in shipped.FOLDER.rglob("*")) < 40e6


@pytest.mark.parametrize("path", ["x.onnx", "cvae-mnist.onnx", "./cvae-mnist", "folder/cvae-mnist"])
def test_path_stays_a_path(path):
    assert shipped.located(path) == Path(path)


def test_file_of_the_users_comes_before_a_shipped_model_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shipped.located("cvae-mnist") == shipped.FOLDER / "cvae-mnist.onnx"
    (tmp_path / "cvae-mnist").write_bytes(b"mine")
    assert shipped.located("cvae-mnist") == Path("cvae-mnist")


def test_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(UsageError, match=r"cvae-mnis: no such file, .*did you mean 'cvae-mnist'"):
        Model.open("cvae-mnis")
    with pytest.raises(UsageError, match=r"no extractor of 'emnist' comes with jaxgen .*digits"):
        shipped.extractor("emnist")
    with pytest.raises(UsageError, match="no extractor"):
        shipped.extractor("../extractors/digits")


def test_model_opens_by_its_name_in_python():
    images, _ = Model.open("cvae-digits").sample([7], [0], label=[3])
    assert images.shape == (1, 8, 8, 1) and np.ptp(images) > 100


def test_command_samples_by_name_and_replays(jaxgen, tmp_path):
    first, again = tmp_path / "a.png", tmp_path / "b.png"
    for output in (first, again):
        done = jaxgen("sample", "cvae-digits", "-n", 5, "--label", 7, "--seed", 3, "-o", output)
        assert (done.returncode, done.stderr) == (0, "")
    assert np.array_equal(read_png(first), read_png(again))
    assert jaxgen("replay", first, "--model", "cvae-digits").returncode == 0


def test_latent_tools_find_the_encoder_that_ships_beside_its_model(jaxgen, tmp_path):
    done = jaxgen("latent", "interpolate", "cvae-digits", "--seeds", "1,2", "--label", 3, "-o", tmp_path / "walk.gif")
    assert (done.returncode, done.stderr) == (0, "") and (tmp_path / "walk.gif").stat().st_size > 1000


def test_list_and_card_say_what_the_files_say(jaxgen):
    rows = json.loads(jaxgen("models", "--json").stdout)
    assert rows.keys() == shipped.models().keys()
    fid = rows["cvae-mnist"]["scores"]["fid"]
    table = jaxgen("models").stdout.splitlines()
    (line,) = [line for line in table if line.startswith("cvae-mnist ")]
    assert len(table) == 1 + len(rows) and line.endswith(f"{fid['value']:.2f} ({fid['floor']:.2f})")
    card = jaxgen("models", "show", "cvae-mnist").stdout
    data = bytearray(shipped.model("cvae-mnist").read_bytes())
    sha256 = rows["cvae-mnist"]["sha256"]
    at = data.index(sha256.encode())
    data[at : at + 64] = b"0" * 64
    assert sha256 == hashlib.sha256(data).hexdigest() and sha256 in card
    assert f"fid {fid['value']:.4g} (floor {fid['floor']:.4g})" in card


def test_card_of_an_unknown_model_is_refused_in_a_line(jaxgen):
    done = jaxgen("models", "show", "cvae-mnisd")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "did you mean 'cvae-mnist'" in done.stderr
