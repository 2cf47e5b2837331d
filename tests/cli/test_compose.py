"""jaxgen compose and jaxgen adopt: what they print, where they write, and that a refusal changes nothing."""

import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from jaxgen.errors import install
from jaxgen.inference import model_file
from jaxgen.inference.model import Model

GOLDEN = Path(__file__).parents[1] / "golden/format1"


@pytest.fixture
def rewritten():
    """A golden file as another tool writes it, in the working folder."""
    model = onnx.load(GOLDEN / "gan.onnx")
    model.producer_name = "sometool"
    onnx.save(model, "r.onnx")
    return Path("r.onnx")


def listing():
    return sorted(path.name for path in Path().iterdir() if path.name != "cache")


def in_folder(family):
    model = family("gan")
    Path("net.onnx").write_bytes(model.network.read_bytes())
    Path("model.onnx").write_bytes(model.onnx.read_bytes())


# --- compose


def test_composed_file_is_written_and_its_distance_reported(command, family):
    in_folder(family)
    outcome = command("compose", "net.onnx", "--like", "model.onnx", "-o", "new.onnx")
    assert (outcome.code, outcome.out) == (0, "new.onnx\n")
    assert "against model.onnx: one evaluation within 0.0e+00 relative, 100.000% of pixels identical" in outcome.err
    assert command("verify", "new.onnx").code == 0
    told = command("info", "new.onnx").out
    assert (
        f"made from   '{model_file.read('model.onnx').sha256}', with a network by 'jaxgen': 100.00% of pixels" in told
    )
    assert "of pixels identical to onnxruntime's or more" in told
    assert command("sample", "new.onnx", "-n", 2, "--label", 1, "-o", "a.npy").code == 0


def test_network_that_does_not_fit_exits_3_and_nothing_is_written(refused, family, unconditional):
    in_folder(family)
    line = refused(3, "compose", unconditional.network, "--like", "model.onnx", "-o", "new.onnx")
    assert "does not fit model.onnx: it has no input 'z'" in line
    assert listing() == ["model.onnx", "net.onnx"]


def test_like_that_is_no_sampler_exits_2(refused):
    line = refused(2, "compose", GOLDEN / "gan.onnx", "--like", GOLDEN / "classifier.onnx", "-o", "new.onnx")
    assert "is of kind 'classifier'; a network goes into a sampler" in line
    assert not listing()


@pytest.mark.parametrize("over", ["net.onnx", "./model.onnx"])
def test_neither_of_the_two_files_is_written_over(refused, over):
    line = refused(2, "compose", "net.onnx", "--like", "model.onnx", "-o", over)
    assert "is one of the two files that are put together" in line


def test_place_that_cannot_be_written_exits_3_before_any_work(refused):
    assert "there is no folder" in refused(3, "compose", "none", "--like", "none", "-o", "no/m.onnx")
    assert "there is no folder" in refused(3, "adopt", "--resign", "none", "-o", "no/m.onnx")


def test_like_and_output_are_required(refused):
    assert "--like" in refused(2, "compose", "net.onnx", "-o", "new.onnx")
    assert "--output" in refused(2, "compose", "net.onnx", "--like", "model.onnx")


# --- adopt


def test_rewritten_file_is_signed_where_it_lies(command, rewritten):
    assert "adopt --resign r.onnx" in command("sample", "r.onnx", "-n", 1, "-o", "a.npy").line
    outcome = command("adopt", "--resign", "r.onnx")
    assert (outcome.code, outcome.out) == (0, "r.onnx\n")
    assert "of pixels identical in 8 images" in outcome.err
    assert listing() == ["r.onnx"]
    assert command("verify", "r.onnx").code == 0
    told = command("info", "r.onnx").out
    assert "rewritten   by 'sometool', and measured again" in told
    assert "100.000% of pixels identical to JAX's or more, off by at most 0, in 1 comparisons" in told


def test_new_place_leaves_the_old_file(command, rewritten):
    before = rewritten.read_bytes()
    assert command("adopt", "--resign", "r.onnx", "-o", "new.onnx").out == "new.onnx\n"
    assert rewritten.read_bytes() == before
    assert Model.open("new.onnx").artifact.manifest["resigned"][0]["producer"] == "sometool"


def test_refused_file_stays_as_it_was(refused, rewritten):
    model = onnx.load(rewritten)
    model.graph.input.remove(next(value for value in model.graph.input if value.name == "latent"))
    onnx.save(model, rewritten)
    before = rewritten.read_bytes()
    assert "`latent` is no longer an input: onnxslim" in refused(3, "adopt", "--resign", "r.onnx")
    assert rewritten.read_bytes() == before and listing() == ["r.onnx"]


def test_without_resign_nothing_is_adopted(refused, rewritten):
    assert "give --resign" in refused(2, "adopt", "r.onnx")


def test_file_that_nothing_rewrote_exits_2(refused):
    assert "was not rewritten" in refused(2, "adopt", "--resign", GOLDEN / "gan.onnx", "-o", "n.onnx")
    assert not listing()


# --- both


@pytest.mark.parametrize("arguments", [("compose", "n", "--like", "m", "-o", "o"), ("adopt", "--resign", "m")])
def test_missing_extra_exits_4_and_is_named(arguments, tmp_path):
    code = "import sys; sys.modules['onnx'] = None; from jaxgen.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    want = f"jaxgen: this needs onnx, which is not installed; {install('export')}\n"
    assert (done.returncode, done.stdout, done.stderr) == (4, "", want)


@pytest.mark.parametrize("module", ["jaxgen_export.compose", "jaxgen_export.adopt"])
def test_neither_needs_jax_or_pytorch(module):
    code = f"import {module}, sys; sys.exit(' '.join({{'jax', 'torch', 'flax'}} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
