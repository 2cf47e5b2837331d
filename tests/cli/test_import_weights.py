"""jaxgen import: weights of plain PyTorch networks become runs that sample the same images."""

import hashlib
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from jaxgen import config as configs
from jaxgen.config import GAN, VAE, DataConfig, GANConfig, VAEConfig
from jaxgen.images import to_uint8
from jaxgen.inference.model import Model
from jaxgen.sampling import prng

CONFIG = GAN(name="plain", data=DataConfig(size=8), model=GANConfig(latent=6, widths=(8, 4), doublings=1))


class Generator(nn.Module):
    """As a tutorial writes it."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 8 * 4 * 4)
        self.layers = nn.ModuleList([nn.ConvTranspose2d(8, 4, 4, 2, 1), nn.ConvTranspose2d(4, 1, 3, 1, 1)])

    def forward(self, z):
        h = self.linear(z).view(-1, 8, 4, 4)
        for layer in self.layers:
            h = layer(torch.relu(h))
        return torch.tanh(h)


@pytest.fixture
def theirs():
    torch.manual_seed(0)
    generator = Generator()
    with torch.no_grad():
        for value in generator.parameters():
            value.mul_(3)
    return generator


@pytest.fixture
def config_file(tmp_path):
    path = tmp_path / "plain.toml"
    path.write_text(configs.dumps(CONFIG))
    return path


def test_weights_of_a_plain_generator_sample_its_images(jaxgen, theirs, config_file, tmp_path):
    torch.save(theirs.state_dict(), tmp_path / "g.pth")
    run, model = tmp_path / "run", tmp_path / "model.onnx"
    done = jaxgen("import", tmp_path / "g.pth", "--config", config_file, "--map", "=generator", "-o", run)
    assert done.returncode == 0, done.stderr
    assert "pixels identical in 16 images" in done.stderr
    assert done.stdout.strip() == str(run)
    assert jaxgen("export", run, "-o", model).returncode == 0
    told = jaxgen("info", model).stdout
    digest = hashlib.sha256((tmp_path / "g.pth").read_bytes()).hexdigest()
    assert f"imported from 'g.pth', SHA-256 '{digest}'" in told and "trained on  digits" not in told
    drawn, _ = Model.open(model).sample(np.full(5, 3), np.arange(5))
    with torch.no_grad():
        z = torch.from_numpy(prng.image_noise(3, np.arange(5), 0, (6,)))
        want = to_uint8(theirs(z).permute(0, 2, 3, 1).numpy())
    assert np.ptp(want) > 100
    assert (drawn == want).mean() > 0.995
    assert np.abs(drawn.astype(int) - want).max() <= 1


@pytest.mark.slow
def test_imported_run_can_be_trained_on(jaxgen, theirs, config_file, tmp_path):
    torch.save(theirs.state_dict(), tmp_path / "g.pth")
    run = tmp_path / "run"
    assert (
        jaxgen("import", tmp_path / "g.pth", "--config", config_file, "--map", "=generator", "-o", run).returncode == 0
    )
    done = jaxgen("train", "--resume", run, "--set", "training.steps=2", "--set", "training.sample_count=4")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("00000002")
    from jaxgen.training.restore import load_trained

    facts = load_trained(run).facts
    assert facts["steps"] == 2 and facts["imported"]["file"] == "g.pth"


def test_round_trip_by_the_files_of_export_is_bit_equal(jaxgen, tmp_path):
    config = VAE(name="plain", data=DataConfig(size=8), model=VAEConfig(latent=3, hidden=(12,), convolutions=(4,)))
    path, run, again = tmp_path / "vae.toml", tmp_path / "run", tmp_path / "again"
    path.write_text(configs.dumps(config))
    train = jaxgen(
        "train", "--config", path, "--out", run, "--set", "training.steps=3", "--set", "training.sample_count=4"
    )
    assert train.returncode == 0, train.stderr
    state = tmp_path / "state.pth"
    assert jaxgen("export", run, "-o", tmp_path / "m.onnx", "--torch", state).returncode == 0
    assert jaxgen("import", state, "--config", path, "-o", again).returncode == 0
    from jaxgen.training.restore import load_trained

    before, after = load_trained(run).params, load_trained(again).params
    assert before.keys() == after.keys()
    for name, value in before.items():
        np.testing.assert_array_equal(value, after[name], err_msg=name)


class Evil:
    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize("kind", ["torch", "pickle"])
def test_file_with_code_is_refused_in_one_line_and_not_run(jaxgen, config_file, tmp_path, kind):
    path = tmp_path / "evil.pth"
    if kind == "torch":
        torch.save({"generator.linear.weight": Evil()}, path)
    else:
        path.write_bytes(pickle.dumps(Evil()))
    done = jaxgen("import", path, "--config", config_file, "-o", tmp_path / "run")
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "executed" not in done.stdout + done.stderr
    assert not (tmp_path / "run").exists()


def test_weights_of_another_architecture_are_refused_by_name(jaxgen, theirs, config_file, tmp_path):
    state = theirs.state_dict()
    state["linear.weight"] = torch.zeros(128, 7)
    torch.save(state, tmp_path / "g.pth")
    done = jaxgen("import", tmp_path / "g.pth", "--config", config_file, "--map", "=generator", "-o", tmp_path / "run")
    assert done.returncode == 3
    assert "generator.linear" in done.stderr
    done = jaxgen("import", tmp_path / "g.pth", "--config", config_file, "-o", tmp_path / "run")
    assert done.returncode == 3
    assert not (tmp_path / "run").exists()


def test_folder_that_holds_a_run_is_left_alone(jaxgen, theirs, config_file, tmp_path):
    torch.save(theirs.state_dict(), tmp_path / "g.pth")
    arguments = ["import", tmp_path / "g.pth", "--config", config_file, "--map", "=generator", "-o", tmp_path / "run"]
    assert jaxgen(*arguments).returncode == 0
    done = jaxgen(*arguments)
    assert done.returncode == 2
    assert "is not empty" in done.stderr


def test_folder_that_cannot_be_made_is_reported_without_an_option_that_is_not_there(
    jaxgen, theirs, config_file, tmp_path
):
    torch.save(theirs.state_dict(), tmp_path / "g.pth")
    done = jaxgen("import", tmp_path / "g.pth", "--config", config_file, "--map", "=generator", "-o", "/proc/zz")
    assert done.returncode == 3 and "--out" not in done.stderr
    assert done.stderr.startswith("jaxgen: /proc/zz: cannot be made") and done.stderr.count("\n") == 1
