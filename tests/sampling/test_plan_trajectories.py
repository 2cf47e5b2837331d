"""Whole trajectories of `plan.run`, against diffusers' schedulers and against distributions known in closed form."""

import math

import numpy as np
import pytest

from jaxgen.sampling import plan, spacing

# diffusers 0.35 hands NumPy 2 tensors in a way that it deprecates
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

NOISE = np.random.default_rng(0).standard_normal((1001, 2, 1, 4, 4))  # [draw, N, C, H, W]
PREDICTION_TYPE = {"eps": "epsilon", "x0": "sample", "v": "v_prediction"}


def fake_network(x, t):
    """Smooth in x and t, bounded, and nothing like a denoiser."""
    return 0.9 * np.sin(1.3 * x + 0.01 * float(t)) + 0.1 * np.cos(0.02 * float(t) * x)


def trajectory(table, network=fake_network):
    """x after each row, [S, ...]; one `run` a row."""
    x, x0, path = NOISE[0], None, []
    for row in table:
        x, x0 = plan.run(row[None], x, network, lambda noise_index: NOISE[noise_index], x0)
        path.append(x)
    return np.array(path)


# ---- against diffusers' schedulers


@pytest.fixture(scope="session")
def diffusers():
    return pytest.importorskip("diffusers")  # 2.8 s, once


@pytest.fixture
def reference(diffusers, monkeypatch):
    """reference(scheduler name, ...) -> x after each step of a diffusers scheduler, its tables set to float64."""
    torch = pytest.importorskip("torch")
    noise_index = 0

    def trajectory_of(name, a, t, prediction, clip, eta):
        nonlocal noise_index
        scheduler = make_scheduler(diffusers, name, len(a), PREDICTION_TYPE[prediction], clipped=clip < math.inf)
        scheduler.alphas_cumprod = torch.from_numpy(a)
        scheduler.set_timesteps(**({"num_inference_steps": len(t)} if name == "ddim" else {"timesteps": t.tolist()}))
        assert scheduler.timesteps.tolist() == t.tolist()
        if name.startswith("dpm"):
            scheduler.sigmas = torch.from_numpy(np.append(np.sqrt((1 - a[t]) / a[t]), 0))
        x, path = torch.from_numpy(NOISE[0]), []
        for noise_index, step in enumerate(scheduler.timesteps, start=1):
            noise = {
                "eta": eta,
                "use_clipped_model_output": True,
                "variance_noise": torch.from_numpy(NOISE[noise_index]),
            }
            out = torch.from_numpy(fake_network(x.numpy(), step))
            x = scheduler.step(out, step, x, **(noise if name == "ddim" else {})).prev_sample
            path.append(x.numpy())
        return np.array(path)

    # DDPMScheduler takes no noise, only a generator of it.
    randn = "diffusers.schedulers.scheduling_ddpm.randn_tensor"
    monkeypatch.setattr(randn, lambda *args, **kwargs: torch.from_numpy(NOISE[noise_index]))
    return trajectory_of


def make_scheduler(diffusers, name, total, prediction_type, clipped):
    common = {"num_train_timesteps": total, "prediction_type": prediction_type, "timestep_spacing": "trailing"}
    if name == "ddpm":
        return diffusers.DDPMScheduler(**common, variance_type="fixed_small", clip_sample=clipped)
    if name == "ddim":
        return diffusers.DDIMScheduler(**common, clip_sample=clipped)
    # Thresholding with a largest value of 1 is plain clipping to [-1, 1].
    order = {"dpm order 1": 1, "dpm order 2": 2}[name]
    ends = {"final_sigmas_type": "zero", "euler_at_final": True, "lower_order_final": True}
    return diffusers.DPMSolverMultistepScheduler(
        **common, **ends, solver_order=order, thresholding=clipped, sample_max_value=1.0
    )


@pytest.mark.parametrize("clip", [1.0, math.inf])
@pytest.mark.parametrize("prediction", PREDICTION_TYPE)
@pytest.mark.parametrize(
    ("schedule", "total", "steps"),
    [
        ("linear", 1000, 1),
        ("linear", 1000, 50),
        ("linear", 1000, 1000),
        ("cosine", 1000, 2),
        ("cosine", 1000, 20),
        ("cosine", 1000, 33),
        ("cosine", 100, 100),
        ("sigmoid", 100, 7),
        ("sigmoid", 100, 10),
        ("linear", 1, 1),
    ],
)
def test_whole_trajectories_equal_diffusers(reference, schedule, total, steps, prediction, clip):
    a, t = plan.alpha_bar(schedule, total), spacing.timesteps(total, steps)
    cases = [
        ("ancestral", 0.0, "ddpm"),
        ("ddim", 1.0, "ddpm"),
        ("ddim", 0.0, "dpm order 1"),
        ("dpmpp-2m", 0.0, "dpm order 2"),
    ]
    if total % steps == 0:  # else DDIMScheduler steps by total // steps, which is not the next timestep
        cases += [("ddim", 0.0, "ddim"), ("ddim", 0.6, "ddim")]
    for sampler, eta, oracle in cases:
        table = plan.make_plan(a, sampler=sampler, steps=steps, eta=eta, prediction=prediction, clip=clip)
        expected = reference(oracle, a, t, prediction, clip, eta)
        np.testing.assert_allclose(trajectory(table), expected, rtol=1e-5, atol=1e-5, err_msg=f"{sampler} {eta}")


def test_preconditioned_x0_is_that_of_diffusers_edm(diffusers):
    torch = pytest.importorskip("torch")
    a, out = plan.alpha_bar("cosine", 100), np.random.default_rng(2).standard_normal(NOISE[0].shape)
    table = plan.make_plan(a, steps=100, prediction="edm", clip=math.inf)
    scheduler = diffusers.EDMEulerScheduler(sigma_data=0.5)
    for t, x0_x, x0_out in table[:, :3].astype(float):
        kept = a[int(t)]
        y, sigma = torch.from_numpy(NOISE[0] / math.sqrt(kept)), math.sqrt((1 - kept) / kept)
        expected = scheduler.precondition_outputs(y, torch.from_numpy(out), torch.tensor(sigma, dtype=torch.float64))
        np.testing.assert_allclose(x0_x * NOISE[0] + x0_out * out, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("steps", [1, 10, 33])
def test_euler_steps_equal_those_of_diffusers_flow_matching(diffusers, steps):
    import torch

    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000)
    scheduler.set_timesteps(sigmas=np.arange(steps, 0, -1) / steps)
    x, path = torch.from_numpy(NOISE[0]), []
    for t in scheduler.timesteps:
        velocity = torch.from_numpy(fake_network(x.numpy(), t))
        x = scheduler.step(velocity, t, x, return_dict=False)[0]
        path.append(x.numpy())
    np.testing.assert_allclose(trajectory(plan.euler(steps, 1000.0)), path, rtol=1e-5, atol=2e-5)


# ---- against differential equations


def velocity(x, t):
    return np.sin(3 * x) + 0.5 * math.cos(5 * t) * x


def euler_end(steps, time_scale=1.0):
    table = plan.euler(steps, time_scale)
    return trajectory(table, lambda x, t: velocity(x, float(t) / time_scale))[-1]


@pytest.mark.parametrize("time_scale", [1.0, 1000.0, 0.25])
def test_euler_steps_are_those_written_by_hand(time_scale):
    x = NOISE[0]
    for i in range(7):
        x = x - velocity(x, 1 - i / 7) / 7
    np.testing.assert_allclose(euler_end(7, time_scale), x, rtol=1e-5, atol=1e-5)


def test_euler_converges_to_the_differential_equation_at_order_one():
    integrate = pytest.importorskip("scipy.integrate")
    flat = integrate.solve_ivp(lambda t, x: velocity(x, t), (1, 0), NOISE[0].ravel(), rtol=1e-9, atol=1e-9)
    exact = flat.y[:, -1].reshape(NOISE[0].shape)
    error = [np.abs(euler_end(steps) - exact).mean() for steps in (100, 200, 400)]
    assert error[0] / error[1] == pytest.approx(2, abs=0.1) and error[1] / error[2] == pytest.approx(2, abs=0.1)


def test_flow_of_one_point_is_straight_and_so_exact_in_any_number_of_steps():
    for steps in (1, 3, 50):
        path = trajectory(plan.euler(steps, 1.0), lambda x, t: (x - 0.3) / t)  # E[eps - x0 | x_t], all data being 0.3
        np.testing.assert_allclose(path[-1], np.full_like(path[-1], 0.3), atol=1e-5)
        np.testing.assert_allclose(path[0], NOISE[0] + (0.3 - NOISE[0]) / steps, atol=1e-5)


# ---- against distributions whose best network is known


def gaussian_network(a, prediction, mean, std):
    """The exact optimum for data N(mean, std^2): its output for x at t, by Bayes' rule."""

    def network(x, t):
        signal, noise = math.sqrt(a[int(t)]), math.sqrt(1 - a[int(t)])
        x0 = mean + std**2 * signal / (std**2 * signal**2 + noise**2) * (x - signal * mean)
        eps = (x - signal * x0) / noise
        edm = (noise * x0 - signal * eps / 4) / (0.5 * math.sqrt(noise**2 + signal**2 / 4))  # sigma_data 0.5
        return {"eps": eps, "x0": x0, "v": signal * eps - noise * x0, "edm": edm}[prediction]

    return network


@pytest.mark.parametrize("prediction", plan.PREDICTIONS)
@pytest.mark.parametrize(("sampler", "eta"), [("ancestral", 0), ("ddim", 0), ("ddim", 0.5), ("dpmpp-2m", 0)])
def test_a_perfect_network_for_one_point_ends_at_the_point(sampler, eta, prediction):
    for schedule, steps in (("linear", 1), ("linear", 13), ("cosine", 50), ("sigmoid", 300)):
        a = plan.alpha_bar(schedule, 300)
        table = plan.make_plan(a, sampler=sampler, steps=steps, eta=eta, prediction=prediction)
        end = trajectory(table, gaussian_network(a, prediction, mean=0.3, std=0.0))[-1]
        np.testing.assert_allclose(end, 0.3, atol=1e-5)


def test_ancestral_sampling_gives_the_mean_and_variance_of_a_gaussian():
    a, rng = plan.alpha_bar("linear", 1000), np.random.default_rng(1)
    table = plan.make_plan(a, sampler="ancestral", steps=1000, clip=np.inf)
    x, _ = plan.run(
        table, rng.standard_normal(20_000), gaussian_network(a, "eps", 0.4, 0.5), lambda _: rng.standard_normal(20_000)
    )
    assert x.mean() == pytest.approx(0.4, abs=0.015)  # 4 standard errors
    assert x.var() == pytest.approx(0.25, abs=0.015)  # 6 of them: fixed-small variance falls a little short


def test_deterministic_samplers_converge_to_the_probability_flow_at_their_order():
    a, stop = plan.alpha_bar("linear", 1000), 199  # short of the end, where 2M falls back to order 1

    def spread(alpha_bar):
        return math.sqrt(alpha_bar * 0.5**2 + 1 - alpha_bar)

    def error(sampler, steps):
        table = plan.make_plan(a, sampler=sampler, steps=steps, prediction="v", clip=np.inf)
        rows = table[: spacing.timesteps(1000, steps).tolist().index(stop)]
        end = trajectory(rows, gaussian_network(a, "v", mean=0.4, std=0.5))[-1]
        standardised = (NOISE[0] - math.sqrt(a[-1]) * 0.4) / spread(a[-1])  # the flow of a Gaussian keeps it
        return np.abs(end - (math.sqrt(a[stop]) * 0.4 + spread(a[stop]) * standardised)).max()

    assert error("ddim", 20) / error("ddim", 40) == pytest.approx(2, abs=0.1)
    assert error("dpmpp-2m", 20) / error("dpmpp-2m", 40) == pytest.approx(4, abs=0.4)
    assert error("dpmpp-2m", 40) < error("ddim", 40) / 10


# ---- the loop itself


@pytest.mark.parametrize(("sampler", "eta"), [("ancestral", 0), ("ddim", 0.5), ("dpmpp-2m", 0), ("euler", 0)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_plan_cut_anywhere_gives_the_same(dtype, sampler, eta):
    if sampler == "euler":
        table = plan.euler(9, 1000.0)
    else:
        table = plan.make_plan(plan.alpha_bar("cosine", 100), sampler=sampler, steps=9, eta=eta)
    start = NOISE[0].astype(dtype)

    def run(rows, x, x0=None):
        return plan.run(rows, x, fake_network, lambda noise_index: NOISE[noise_index].astype(dtype), x0)

    whole = run(table, start)
    assert whole[0].dtype == dtype
    for cut in range(10):
        for ours, expected in zip(run(table[cut:], *run(table[:cut], start)), whole, strict=True):
            np.testing.assert_array_equal(ours, expected)


def test_run_takes_noise_only_where_a_row_has_some():
    asked = []
    table = plan.make_plan(plan.alpha_bar("linear", 100), sampler="ancestral", steps=5)
    plan.run(table, NOISE[0], fake_network, lambda noise_index: asked.append(noise_index) or NOISE[noise_index])
    assert asked == [1, 2, 3, 4]
