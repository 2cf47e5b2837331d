"""Spacings of a plan's times, against formulas worked by hand, diffusers, and a Gaussian whose path is known."""

import math

import numpy as np
import pytest

from jaxgen.config import DiffusionConfig, FlowConfig
from jaxgen.errors import UsageError
from jaxgen.sampling import plan, sampler_spec
from jaxgen.sampling.process import Diffusion, Flow
from jaxgen.sampling.sampler_spec import SEARCHED, SamplerSpec
from jaxgen.sampling.spacing import FLOW_SPACINGS, SPACINGS, flow_spaced, spaced, timesteps

LINEAR = plan.alpha_bar("linear", 1000)


# ---- the times


def test_trailing_is_the_spacing_of_every_earlier_file():
    for steps in (1, 7, 50, 1000):
        np.testing.assert_array_equal(spaced(LINEAR, steps), timesteps(1000, steps))
    np.testing.assert_array_equal(flow_spaced(4), [1, 0.75, 0.5, 0.25])


def test_quadratic_times_are_squares():
    assert spaced(LINEAR, 5, "quadratic").tolist() == [999, 639, 359, 159, 39]  # 1000 (k / 5)^2 - 1
    np.testing.assert_allclose(flow_spaced(4, "quadratic"), [1, 9 / 16, 1 / 4, 1 / 16])


@pytest.mark.parametrize("steps", [2, 5, 10, 30])
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_karras_times_are_those_of_diffusers(schedule, steps):
    diffusers = pytest.importorskip("diffusers")
    a, name = plan.alpha_bar(schedule, 1000), {"linear": "linear", "cosine": "squaredcos_cap_v2"}[schedule]
    scheduler = diffusers.EulerDiscreteScheduler(
        num_train_timesteps=1000, beta_start=1e-4, beta_end=0.02, beta_schedule=name, use_karras_sigmas=True,
        sigma_min=float(np.sqrt((1 - a[0]) / a[0])), sigma_max=80,
    )  # fmt: skip
    scheduler.set_timesteps(steps)
    theirs = scheduler.timesteps.numpy()  # not rounded
    apart = np.concatenate([-np.diff(theirs) > 1.5, [True]])  # where two of theirs round to one, ours are distinct
    np.testing.assert_allclose(spaced(a, steps, "karras")[apart], theirs[apart], atol=0.6)  # theirs are in float32


def test_karras_begins_at_a_ratio_of_80_at_most():
    found = spaced(plan.alpha_bar("cosine", 1000), 5, "karras")
    kept = plan.alpha_bar("cosine", 1000)[found[0]]
    assert found[0] < 999 and math.sqrt((1 - kept) / kept) == pytest.approx(80, rel=0.05)
    short = spaced(plan.alpha_bar("linear", 100, 1e-4, 0.02), 5, "karras")
    assert short[0] == 99 and short[-1] == 0  # whose largest ratio is about 1.3


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("schedule", [("linear", 1), ("linear", 7), ("cosine", 50), ("sigmoid", 100), ("cosine", 3000)])
def test_times_are_distinct_whatever_their_number(schedule, spacing):
    a = plan.alpha_bar(*schedule)
    total = len(a)
    for steps in {1, 2, 3, total // 2, total - 1, total} & set(range(1, total + 1)):
        t = spaced(a, steps, spacing)
        assert t.dtype == np.int64 and len(t) == steps and t[0] <= total - 1 and t[-1] >= 0 and (np.diff(t) < 0).all()
    np.testing.assert_array_equal(spaced(a, total, spacing), np.arange(total)[::-1])


@pytest.mark.parametrize("steps", [0, -1, 1001])
def test_steps_out_of_range_are_refused_in_every_spacing(steps):
    for spacing in SPACINGS:
        with pytest.raises(UsageError, match=f"from 1 to 1000 .*got {steps}"):
            spaced(LINEAR, steps, spacing)


def test_unknown_spacing_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match=r"unknown spacing 'karas' .did you mean 'karras'"):
        spaced(LINEAR, 5, "karas")
    with pytest.raises(UsageError, match="unknown spacing of a flow 'karras'; choose from"):
        flow_spaced(5, "karras")


@pytest.mark.parametrize("times", [[], [1000, 3], [3, -1], [3, 3], [3, 5], [2.5, 1.0], [[3], [2]]])
def test_times_that_make_no_plan_are_refused(times):
    with pytest.raises(UsageError, match="times must be integers from 999 to 0 that decrease"):
        plan.make_plan(LINEAR, times=np.array(times))


@pytest.mark.parametrize("times", [[], [1.5, 0.5], [0.5, 0.0], [0.5, 0.5], [math.nan]])
def test_times_that_make_no_flow_plan_are_refused(times):
    with pytest.raises(UsageError, match=r"times must be numbers in .0, 1. that decrease"):
        plan.euler(2, 1000.0, np.array(times))


# ---- the samplers at these times


def test_flow_at_any_times_ends_at_the_only_point_of_its_data():
    for spacing in FLOW_SPACINGS:
        table = plan.euler(5, 1.0, flow_spaced(5, spacing))
        end, _ = plan.run(table, np.ones(3), lambda x, t: (x - 0.3) / t, None)
        np.testing.assert_allclose(end, 0.3, atol=1e-6)


@pytest.mark.parametrize("spacing", ["quadratic", "karras"])
def test_samplers_keep_their_order_at_other_times(spacing):
    """For data N(0, 0.5^2) the flow keeps x divided by its standard deviation, so the error of a plan is known."""
    a = plan.alpha_bar("linear", 100_000, 1e-6, 2e-4)  # the process of 1000 steps, finely divided: times hardly round

    def network(x, t):  # E[x0 | x], for prediction 'x0'
        kept = a[int(t)]
        return 0.25 * math.sqrt(kept) / (0.25 * kept + 1 - kept) * x

    def error(sampler, steps):
        table = plan.make_plan(
            a, sampler=sampler, times=spaced(a, steps, spacing), prediction="x0", clip=np.inf
        )  # fmt: skip
        x = np.array([1.0])
        first, rows = a[int(table[0, 0])], table[: steps // 2]
        reached = a[int(table[len(rows), 0])]  # where those rows lead, short of the end, where 2M is of order 1
        end, _ = plan.run(rows.astype(np.float64), x, network, None)
        return abs(end[0] - math.sqrt((0.25 * reached + 1 - reached) / (0.25 * first + 1 - first)))

    assert error("ddim", 80) / error("ddim", 160) == pytest.approx(2, abs=0.2)
    assert error("dpmpp-2m", 80) / error("dpmpp-2m", 160) == pytest.approx(4, abs=0.4)


# ---- the names


def test_recipe_says_its_spacing_in_the_samplers_name():
    config = DiffusionConfig(steps=1000, sampler="dpmpp-2m", sampler_steps=5, spacing="quadratic")
    assert config.plan == SamplerSpec("dpmpp-2m@quadratic", 5)
    assert sampler_spec.from_config(config)[:, 0].tolist() == [999, 639, 359, 159, 39]
    assert DiffusionConfig(spacing="trailing").plan == DiffusionConfig().plan == SamplerSpec("ddim", 50)
    assert FlowConfig(spacing="quadratic", sampler_steps=4).plan == SamplerSpec("euler@quadratic", 4)


def test_spacing_is_the_own_plans_unless_a_sampler_or_a_spacing_is_named():
    config = DiffusionConfig(spacing="karras", eta=0.5)
    assert sampler_spec.choose(config, steps=8) == SamplerSpec("ddim@karras", 8, 0.5)
    assert sampler_spec.choose(config, sampler="ddim") == SamplerSpec("ddim", 50, 0.5)
    assert sampler_spec.choose(config, sampler="dpmpp-2m@quadratic") == SamplerSpec("dpmpp-2m@quadratic", 50)
    assert sampler_spec.choose(config, spacing="trailing") == SamplerSpec("ddim", 50, 0.5)
    assert sampler_spec.choose(config, sampler="dpmpp-2m", spacing="karras").sampler == "dpmpp-2m@karras"
    assert sampler_spec.samplers(config) == ["ancestral", "ddim", "ddim@karras", "dpmpp-2m"]


def test_searched_plan_is_kept_for_its_own_steps_and_eta_alone():
    class Found:
        process, plan = Diffusion(steps=100), SamplerSpec(f"ddim@{SEARCHED}", 8)

    assert sampler_spec.choose(Found) == Found.plan
    assert sampler_spec.choose(Found, sampler=Found.plan.sampler) == Found.plan
    assert sampler_spec.choose(Found, steps=9) == SamplerSpec("ddim", 9)
    assert sampler_spec.choose(Found, eta=0.5) == SamplerSpec("ddim", 8, 0.5)
    assert not sampler_spec.can_make(Found.process, Found.plan)
    assert not sampler_spec.takes_eta(Found.process, Found.plan.sampler) and sampler_spec.takes_eta(
        Found.process, "ddim"
    )
    with pytest.raises(UsageError, match="a searched plan is the default of a file of 'jaxgen tune'") as refused:
        sampler_spec.table(Found.process, sampler_spec.choose(Found, sampler="ddim@searched", steps=9))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("process", "sampler", "message"),
    [
        (Diffusion(steps=100), "ddim@zigzag", "unknown spacing 'zigzag'"),
        (Diffusion(steps=100), "ddmi@karras", "unknown sampler 'ddmi'.*did you mean 'ddim'"),
        (Flow(), "euler@karras", "unknown spacing of a flow 'karras'"),
        (Diffusion(steps=100), "ddim@searched", "searched plan"),
    ],
)
def test_recipe_of_an_unknown_spacing_is_refused_in_one_line(process, sampler, message):
    assert not sampler_spec.can_make(process, SamplerSpec(sampler, 5))
    with pytest.raises(UsageError, match=message) as refused:
        sampler_spec.table(process, SamplerSpec(sampler, 5))
    assert "\n" not in str(refused.value)
