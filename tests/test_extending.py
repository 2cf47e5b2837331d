"""docs/extending.md, whose blocks are run as they stand there; then what they add is used."""

import re
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from click.testing import CliRunner

from jaxgen import config as configs, data
from jaxgen.cli import cli
from jaxgen.config import TrainingConfig, presets
from jaxgen.errors import JaxgenError, UsageError
from jaxgen.evaluation.features import Features
from jaxgen.evaluation.metrics import METRICS, Evidence
from jaxgen.evaluation.report import evaluate
from jaxgen.inference.model import Model
from jaxgen.inference.runtime import RUNTIMES
from jaxgen.models.network import MODULES
from jaxgen.sampling import sampler_spec
from jaxgen.sampling.plan import SAMPLERS, Sampler, alpha_bar
from jaxgen.sampling.sampler_spec import SamplerSpec
from jaxgen.training import families
from jaxgen.training.restore import load_trained
from jaxgen.training.trainer import train
from jaxgen_export.export import export_model
from jaxgen_export.torch_models import TORCH_MODELS
from jaxgen_serve.dashboard import settings_form

PAGE = (Path(__file__).parents[1] / "docs/extending.md").read_text()
TABLES = [
    presets.PRESETS,
    SAMPLERS,
    data.catalog.SOURCES,
    METRICS,
    RUNTIMES,
    configs.FAMILIES,
    MODULES,
    families.FAMILIES,
    TORCH_MODELS,
]
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S))


@pytest.fixture
def added():
    """added(title): the names that a section's blocks define, in a module of their own; the tables grow by a line."""
    before = [dict(table) for table in TABLES]

    def add(title: str) -> ModuleType:
        module = sys.modules["extension"] = ModuleType("extension")
        for block in re.findall(r"^```python\n(.*?)^```$", SECTIONS[title], re.M | re.S):
            exec(compile(block, title, "exec"), module.__dict__)
        return module

    yield add
    sys.modules.pop("extension", None)
    for table, old in zip(TABLES, before, strict=True):
        table.clear()
        table.update(old)


def shown(command: str) -> str:
    """The help of a command on one line."""
    return " ".join(CliRunner().invoke(cli, [command, "--help"]).output.split())


def grown(*tables) -> list[int]:
    return [len(table) for table in tables]


def test_page_has_a_section_for_each_kind():
    assert list(SECTIONS) == ["A sampler", "A dataset", "A metric", "A runtime", "A family"]


def test_sampler_runs_in_a_file_that_was_exported_before_it_was_written(added, unconditional):
    with pytest.raises(UsageError, match="renoise"):
        Model.open(unconditional.onnx).plan(sampler="renoise", steps=3)
    with pytest.raises(UsageError, match="one of ancestral, ddim, dpmpp-2m, got 'renoise'"):
        configs.DiffusionConfig(sampler="renoise")
    added("A sampler")
    model = Model.open(unconditional.onnx)
    table = model.plan(sampler="renoise", steps=3)
    kept = alpha_bar("linear", 60)[table[:, 0].astype(int)]
    np.testing.assert_allclose(table[:, 5], np.sqrt([kept[1], kept[2], 1]), rtol=1e-6)
    np.testing.assert_allclose(table[:, 7], np.sqrt([1 - kept[1], 1 - kept[2], 0]), rtol=1e-6, atol=1e-12)
    images = [model.sample([0], [0], plan=model.plan(sampler=name, steps=3))[0] for name in ("renoise", "ddim")]
    assert images[0].shape == (1, 8, 8, 1) and not np.array_equal(*images)
    with pytest.raises(UsageError, match="eta must be from 0 to 1, and 0 for samplers other than 'ddim'"):
        model.plan(sampler="renoise", steps=3, eta=0.5)
    config = configs.DiffusionConfig(sampler="renoise", steps=60, sampler_steps=3)
    np.testing.assert_array_equal(sampler_spec.from_config(config), table)


def test_sampler_says_whether_it_takes_eta_and_every_step(added):
    added("A sampler")
    etas = []

    def constant(a, a_next, eta):
        etas.append(eta)
        return SAMPLERS["renoise"].function(a, a_next)

    SAMPLERS["constant"] = Sampler(constant, takes_eta=True, every_step=True)
    config = configs.DiffusionConfig(sampler="constant", steps=60, eta=0.25)
    assert config.plan == SamplerSpec("constant", 60, 0.25)
    assert len(sampler_spec.from_config(config)) == 60 and etas == [0.25]
    assert sampler_spec.choose(config, sampler="renoise") == SamplerSpec("renoise", 50)
    assert sampler_spec.choose(configs.DiffusionConfig(steps=60), sampler="constant").steps == 60
    text = shown("sample")
    assert "ancestral, ddim, dpmpp-2m, renoise or constant for diffusion, euler for a flow." in text
    assert "fresh noise ddim or constant adds" in text


def test_dataset_has_a_name_that_everything_knows(added):
    with pytest.raises(JaxgenError):
        data.load("stripes")
    added("A dataset")
    train_set, test_set = data.load("stripes"), data.load("stripes", "test", size=16, channels=3)
    assert "stripes" in data.names() and data.info("stripes").splits == {"train": 512, "test": 64}
    assert train_set.images.shape == (512, 8, 8, 1) and test_set.images.shape == (64, 16, 16, 3)
    rows = train_set.images[train_set.labels == 0]
    assert (rows == rows[:, :, :1]).all() and (rows.mean((1, 2, 3)) == 127.5).all()
    images, labels = data.batches("stripes", 32, seed=0)[0]
    assert images.shape == (32, 8, 8, 1) and set(labels) == {0, 1}
    with pytest.raises(UsageError, match="unknown split of stripes 'trian'"):
        data.load("stripes", "trian")
    assert settings_form.datasets()[0] == "digits" and settings_form.datasets()[-1] == "stripes"
    config = settings_form.adapted("cvae", "stripes")
    assert (config.name, config.data.shape, config.class_count) == ("cvae-stripes", (8, 8, 1), 2)


def test_metric_stands_in_the_table(added):
    added("A metric")
    evidence = Evidence(real=np.zeros((3, 2)), generated=np.tile([3.0, 4.0], (5, 1)))
    assert METRICS["mean_distance"](evidence) == 5
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 2, 2, 1), np.uint8)
    report = evaluate(images[:20], images[20:], (images[20:] // 2, np.zeros(20, int)), Extract())
    score = report.scores["mean_distance"]
    assert score.value > 0 and score.margin > 0 and score.floor != score.value


class Extract:
    """Pixels as features."""

    shape, sha256 = (2, 2, 1), "0" * 64

    def __call__(self, images):
        flat = images.reshape(len(images), -1).astype(float)
        return Features(flat, flat)


def test_runtime_opens_a_file_under_its_certificate(added, unconditional):
    added("A runtime")
    usual, other = Model.open(unconditional.onnx), Model.open(unconditional.onnx, runtime="unoptimised", threads=1)
    assert np.abs(usual.sample([0], [0])[0].astype(int) - other.sample([0], [0])[0]).max() <= 1
    with pytest.raises(UsageError, match="unknown runtime 'unoptimized'"):
        Model.open(unconditional.onnx, runtime="unoptimized")
    assert "reference or unoptimised. All but the first" in shown("verify")


def test_family_trains_exports_and_samples(added, tmp_path):
    sizes = grown(configs.FAMILIES, MODULES, families.FAMILIES, TORCH_MODELS)
    module = added("A family")
    assert grown(configs.FAMILIES, MODULES, families.FAMILIES, TORCH_MODELS) == [size + 1 for size in sizes]
    few = TrainingConfig(steps=200, batch_size=64, lr=3e-3, ema=0.9, checkpoint_every=100, sample_every=200)
    config = replace(presets.for_dataset("moments", "digits"), training=few)
    assert isinstance(config, module.Moments)
    assert configs.from_dict(configs.to_dict(config)) == config
    train(config, tmp_path / "run")
    trained = load_trained(tmp_path / "run")
    assert trained.config == config
    export_model(trained.config, trained.params, tmp_path / "model.onnx")
    model = Model.open(tmp_path / "model.onnx")
    images = model.sample(np.zeros(64, int), np.arange(64))[0]
    real = data.load("digits").images
    assert images.shape == (64, 8, 8, 1)
    assert np.abs(images.mean(0) - real.mean(0)).mean() < 20  # of 255: they are no noise any more
