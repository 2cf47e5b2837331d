"""The loop in JAX against the one that `jaxgen.sampling.plan` spells out in NumPy, with jax.random's own noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.config import VAE, Config, DataConfig, Flow, FlowConfig, UNetConfig, VAEConfig
from jaxgen.models.sampling import image_noise, run_plan, sample
from jaxgen.sampling import plan

SHAPE = (4, 4, 2)
SEED = jnp.array([7, 7, 2**32 - 1], jnp.uint32)
INDEX = jnp.array([0, 5, 3], jnp.uint32)
LABEL = jnp.array([0, -1, 2])


def rows(steps: int, **rest) -> np.ndarray:
    return plan.make_plan(plan.alpha_bar("cosine", 100), steps=steps, **rest)


def noise_of(seed: int, index: int, noise_index: int) -> np.ndarray:
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), index), noise_index)
    return np.asarray(jax.random.normal(key, SHAPE))


def all_noise(noise_index: int) -> np.ndarray:
    return np.stack([noise_of(int(seed), int(index), noise_index) for seed, index in zip(SEED, INDEX, strict=True)])


def fake(params, x, t, label):
    """A network whose answer depends on everything it is told."""
    lean = params["w"] * (1 + label.astype(jnp.float32))[:, None, None, None]
    return jnp.tanh(x * lean + t[:, None, None, None] / 1000)


PARAMS = {"w": jnp.float32(0.7)}


def in_numpy(table: np.ndarray, guidance: float = 1.0) -> np.ndarray:
    def network(x, t):
        def told(label):
            return np.asarray(fake(PARAMS, jnp.asarray(x), jnp.full(3, t), label))

        return told(jnp.full(3, -1)) + guidance * (told(LABEL) - told(jnp.full(3, -1)))

    return plan.run(table, all_noise(0), network, all_noise)[0]


def test_noise_of_an_image_is_a_function_of_its_seed_index_and_noise_index():
    for number in (0, 3):
        assert np.array_equal(image_noise(SEED, INDEX, number, SHAPE), all_noise(number))


@pytest.mark.parametrize("sampler", ["ancestral", "ddim", "dpmpp-2m"])
@pytest.mark.parametrize("guidance", [1.0, 3.0, 0.0])
def test_images_are_those_of_the_plan(sampler, guidance):
    eta = 0.5 if sampler == "ddim" else 0.0
    table = rows(7, sampler=sampler, eta=eta, prediction="v")
    drawn = run_plan(fake, PARAMS, table, SEED, INDEX, LABEL, shape=SHAPE, guidance=guidance)
    assert np.abs(np.asarray(drawn) - in_numpy(table, guidance)).max() < 1e-4


def test_image_does_not_depend_on_its_neighbours():
    table = rows(5, sampler="ancestral")
    together = run_plan(fake, PARAMS, table, SEED, INDEX, LABEL, shape=SHAPE)
    alone = run_plan(fake, PARAMS, table, SEED[1:2], INDEX[1:2], LABEL[1:2], shape=SHAPE)
    assert np.abs(np.asarray(together[1:2]) - np.asarray(alone)).max() < 1e-5


def test_network_is_evaluated_once_a_row_unless_it_is_guided():
    asked = []

    def counting(params, x, t, label):
        jax.debug.callback(lambda told: asked.append(told.tolist()), label, ordered=True)
        return fake(params, x, t, label)

    table = rows(4)
    run_plan(counting, PARAMS, table, SEED, INDEX, LABEL, shape=SHAPE).block_until_ready()
    jax.effects_barrier()
    assert asked == [[0, -1, 2]] * 4
    asked.clear()
    run_plan(counting, PARAMS, table, SEED, INDEX, LABEL, shape=SHAPE, guidance=2.0).block_until_ready()
    jax.effects_barrier()
    assert sorted(asked) == sorted([[0, -1, 2], [-1, -1, -1]] * 4)


# ---- whatever the family


def flow(guidance: float = 1.0) -> Config:
    data, model = DataConfig(size=4, channels=1), UNetConfig(channels=8, multipliers=(1,), groups=4, classes=3)
    return Flow(data=data, model=model, flow=FlowConfig(sampler_steps=6, guidance=guidance))


def shaped(shape: tuple[int, ...]) -> np.ndarray:
    """Draw 0 of each image, of that shape."""
    keys = [
        jax.random.fold_in(jax.random.fold_in(jax.random.key(int(s)), int(i)), 0)
        for s, i in zip(SEED, INDEX, strict=True)
    ]
    return np.stack([np.asarray(jax.random.normal(key, shape)) for key in keys])


@pytest.mark.parametrize(("given", "guidance"), [(None, 1.0), (None, 2.5), (0.0, 0.0), (3.0, 3.0)])
def test_flow_is_sampled_by_euler_steps_with_the_guidance_given_or_else_its_own(given, guidance):
    x = shaped((4, 4, 1))
    for i in range(6):
        t = 1 - i / 6
        told, plain = (
            np.asarray(fake(PARAMS, jnp.asarray(x, jnp.float32), jnp.full(3, 1000 * t), label))
            for label in (LABEL, jnp.full(3, -1))
        )
        x = x - (plain + guidance * (told - plain)) / 6
    config = flow() if given is not None else flow(guidance)
    drawn = sample(config, fake, PARAMS, SEED, INDEX, LABEL, guidance=given)
    assert np.abs(np.asarray(drawn) - x).max() < 1e-4


def test_plan_and_start_take_the_place_of_the_configs_own():
    start = np.ones((3, 4, 4, 1), np.float32)
    drawn = sample(flow(), fake, PARAMS, SEED, INDEX, LABEL, plan=plan.euler(1, 500.0), start=start)
    want = start - np.asarray(fake(PARAMS, jnp.asarray(start), jnp.full(3, 500.0), LABEL))
    assert np.abs(np.asarray(drawn) - want).max() < 1e-5 and (start == 1).all()


def test_model_without_a_process_is_evaluated_once_on_the_first_normals():
    def decoder(params, z, label):
        return jnp.tanh(params["w"] * z + label[:, None])[:, None, None]

    config = VAE(data=DataConfig(size=1, channels=3), model=VAEConfig(latent=3))
    drawn = sample(config, decoder, PARAMS, SEED, INDEX, LABEL)
    want = np.tanh(0.7 * shaped((3,)) + np.asarray(LABEL)[:, None])[:, None, None]
    assert drawn.shape == (3, 1, 1, 3) and np.abs(np.asarray(drawn) - want).max() < 1e-5
    zeros = sample(config, decoder, PARAMS, SEED, INDEX, LABEL, start=np.zeros((3, 3), np.float32))
    assert np.allclose(np.asarray(zeros)[:, 0, 0], np.tanh(np.asarray(LABEL, np.float32))[:, None])
