import numpy as np
import pytest

from jaxgen.config import DiffusionConfig, FlowConfig
from jaxgen.errors import UsageError
from jaxgen.sampling import plan, sampler_spec
from jaxgen.sampling.process import Diffusion, Flow
from jaxgen.sampling.sampler_spec import SamplerSpec

same = np.testing.assert_array_equal


def test_from_config_follows_the_config_unless_another_is_given():
    config = DiffusionConfig(steps=200, schedule="cosine", prediction="v", sampler="ddim", sampler_steps=20, eta=0.3)
    a = plan.alpha_bar("cosine", 200)

    def expected(**settings):
        return plan.make_plan(a, prediction="v", **settings)

    same(sampler_spec.from_config(config), expected(sampler="ddim", steps=20, eta=0.3))
    same(sampler_spec.from_config(config, steps=5, eta=0.0), expected(sampler="ddim", steps=5))
    same(sampler_spec.from_config(config, sampler="dpmpp-2m"), expected(sampler="dpmpp-2m", steps=20))
    same(sampler_spec.from_config(config, sampler="ancestral"), expected(sampler="ancestral", steps=200))
    same(sampler_spec.from_config(config, sampler="ancestral", steps=30), expected(sampler="ancestral", steps=30))
    betas = DiffusionConfig(steps=100, beta_start=1e-3, beta_end=0.01)
    same(sampler_spec.from_config(betas)[:, 1], plan.make_plan(plan.alpha_bar("linear", 100, 1e-3, 0.01))[:, 1])


def test_flow_takes_its_own_steps_and_time_scale():
    config = FlowConfig(sampler_steps=20, time_scale=7.0)
    same(sampler_spec.from_config(config), plan.euler(20, 7.0))
    same(sampler_spec.from_config(config, sampler="euler", steps=500, eta=0.0), plan.euler(500, 7.0))
    assert sampler_spec.choose(config) == SamplerSpec("euler", 20, 0.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "from 1 to 100 .*got 0"),
        ({"steps": 101}, "from 1 to 100 .*got 101"),
        ({"sampler": "ddmi"}, "did you mean 'ddim'"),
        ({"sampler": "", "eta": 0.0}, "unknown sampler"),
        ({"sampler": "euler"}, "unknown sampler 'euler'.*choose from ancestral, ddim, dpmpp-2m"),
        ({"sampler": "dpmpp-2m", "eta": 1.0}, "0 for samplers other than 'ddim'"),
        ({"eta": -0.1}, "eta must be from 0 to 1"),
        ({"eta": np.nan}, "eta must be from 0 to 1"),
    ],
)
def test_diffusion_refuses_what_cannot_be_meant(settings, message):
    with pytest.raises(UsageError, match=message):
        sampler_spec.from_config(DiffusionConfig(steps=100), **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sampler": "ddim"}, "unknown sampler 'ddim'; choose from euler"),
        ({"sampler": "ancestral", "steps": 5}, "choose from euler"),
        ({"sampler": "eular"}, "did you mean 'euler'"),
        ({"eta": 0.5}, "eta must be 0 for 'euler', got 0.5"),
        ({"eta": np.nan}, "eta must be 0 for 'euler', got nan"),
        ({"steps": 0}, "from 1 to 100000, got 0"),
        ({"steps": 100_001}, "from 1 to 100000, got 100001"),
    ],
)
def test_flow_refuses_what_cannot_be_meant(settings, message):
    with pytest.raises(UsageError, match=message) as refused:
        sampler_spec.from_config(FlowConfig(), **settings)
    assert "\n" not in str(refused.value)


def test_named_plans_are_those_of_a_request_by_the_same_name():
    assert list(sampler_spec.named(Flow())) == ["euler-50", "euler-20", "euler-10"]
    usual = ["ddim-50", "ddim-20", "dpmpp-2m-20", "dpmpp-2m-10", "ancestral-1000"]
    assert list(sampler_spec.named(Diffusion(steps=1000))) == usual
    assert list(sampler_spec.named(Diffusion(steps=15))) == [
        "ddim-15", "dpmpp-2m-15", "dpmpp-2m-10", "ancestral-15"
    ]  # fmt: skip


@pytest.mark.parametrize("process", [Flow(), Diffusion(steps=30, prediction="x0")], ids=repr)
def test_named_plans_can_all_be_made(process):
    for name, recipe in sampler_spec.named(process).items():
        assert name == f"{recipe.sampler}-{recipe.steps}" and recipe.eta == 0
        table = sampler_spec.table(process, recipe)
        assert len(table) == recipe.steps and table[-1, 4:8].tolist() == [0, 1, 0, 0]
