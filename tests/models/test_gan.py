from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx

from jaxgen.config import GAN, DataConfig, GANConfig
from jaxgen.models import network as networks
from jaxgen.models.blocks import BatchNorm, Doubling, Transposed3x3, conv4x4, flat_map, map_of

FLOAT32 = jnp.dtype("float32")
DATA = DataConfig(size=8, channels=1)
SMALL = GANConfig(latent=5, widths=(8, 4, 4), doublings=2, dropout=0.5)
Z, LABEL = jax.random.normal(jax.random.key(0), (6, 5)), jnp.array([0, 1, 2, 2, 1, 0])
X = jax.random.uniform(jax.random.key(1), (6, 8, 8, 1), minval=-1)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def to_torch(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.moveaxis(np.asarray(x), -1, 1).copy()).requires_grad_()


def from_torch(x: torch.Tensor) -> np.ndarray:
    return np.moveaxis(x.detach().numpy(), 1, -1)


def turned(kernel: np.ndarray) -> torch.Tensor:
    """Flax's kernel as torch's ConvTranspose2d has it: [C, O, kh, kw], turned by half a circle."""
    return torch.from_numpy(kernel[::-1, ::-1].transpose(2, 3, 0, 1).copy()).requires_grad_()


@pytest.mark.parametrize(("layer", "kernel", "stride"), [(Doubling, 4, 2), (Transposed3x3, 3, 1)])
@pytest.mark.parametrize(("inputs", "outputs", "size"), [(3, 5, 7), (6, 1, 4), (1, 2, 1)])
def test_transposed_convolution_and_its_gradients_agree_with_torch(layer, kernel, stride, inputs, outputs, size):
    ours = layer(inputs, outputs, dtype=FLOAT32, rngs=nnx.Rngs(0))
    weights, bias = normal(kernel, kernel, inputs, outputs, seed=1), normal(outputs, seed=2)
    x, slope = normal(2, size, size, inputs), normal(2, stride * size, stride * size, outputs, seed=3)
    graph, _ = nnx.split(ours)
    state = nnx.State({"kernel": nnx.Param(jnp.asarray(weights)), "bias": nnx.Param(jnp.asarray(bias))})

    @jax.jit
    def both(state, x, slope):
        out, back = jax.vjp(lambda state, x: nnx.merge(graph, state)(x), state, x)
        return out, *back(slope)

    out, of_state, of_x = both(state, x, slope)

    theirs, w, b = to_torch(x), turned(weights), torch.tensor(bias, requires_grad=True)
    want = torch.nn.functional.conv_transpose2d(theirs, w, b, stride=stride, padding=1)
    want.backward(to_torch(slope).detach())
    assert np.abs(np.asarray(out) - from_torch(want)).max() < 1e-4
    assert np.abs(np.asarray(of_x) - from_torch(theirs.grad)).max() < 1e-4
    assert np.abs(np.asarray(of_state["bias"][...]) - b.grad.numpy()).max() < 1e-4
    of_weights = w.grad.numpy().transpose(2, 3, 0, 1)[::-1, ::-1]
    assert np.abs(np.asarray(of_state["kernel"][...]) - of_weights).max() < 2e-4


def test_doubling_in_bfloat16_has_gradients_of_its_float32_weights():
    ours = Doubling(3, 2, dtype=jnp.dtype("bfloat16"), rngs=nnx.Rngs(0))
    graph, state = nnx.split(ours)
    grads = jax.grad(lambda state: nnx.merge(graph, state)(jnp.ones((1, 4, 4, 3))).astype(jnp.float32).sum())(state)
    assert grads["kernel"][...].dtype == jnp.float32
    # Each of the four taps that an output sees is used by 3 or 4 rows of inputs, and as many columns.
    assert set(np.unique(np.asarray(grads["kernel"][...]))) == {9.0, 12.0, 16.0}


def test_halving_convolution_agrees_with_torch():
    ours, x = conv4x4(3, 5, dtype=FLOAT32, rngs=nnx.Rngs(0)), normal(2, 14, 14, 3)
    ours.bias[...] = normal(5, seed=1)
    theirs = torch.nn.Conv2d(3, 5, 4, stride=2, padding=1)
    theirs.weight.data = torch.tensor(np.asarray(ours.kernel[...]).transpose(3, 2, 0, 1))
    theirs.bias.data = torch.tensor(np.asarray(ours.bias[...]))
    want = from_torch(theirs(to_torch(x)))
    assert want.shape == (2, 7, 7, 5) and np.abs(np.asarray(ours(jnp.asarray(x))) - want).max() < 1e-5


def test_flat_map_is_torchs_flattening_and_map_of_its_inverse():
    x = normal(2, 3, 4, 5)
    flat = flat_map(jnp.asarray(x))
    assert np.array_equal(flat, to_torch(x).flatten(1).detach().numpy())
    assert np.array_equal(map_of(flat, (3, 4, 5)), x)


def test_batch_norm_agrees_with_torch_in_training_and_after():
    ours, theirs = BatchNorm(3, dtype=FLOAT32, rngs=nnx.Rngs(0)), torch.nn.BatchNorm2d(3, momentum=0.1)
    for seed in range(3):
        x = 5 + 2 * normal(4, 6, 6, 3, seed=seed)
        got, want = ours(jnp.asarray(x), train=True), from_torch(theirs(to_torch(x)))
        assert np.abs(np.asarray(got) - want).max() < 1e-4
    assert np.abs(np.asarray(ours.mean[...]) - theirs.running_mean.numpy()).max() < 1e-4
    # torch's running variance is the unbiased one: n / (n - 1) of a batch's, of which the start's share knows nothing
    biased = (theirs.running_var.numpy() - 0.9**3) * (1 - 1 / 144) + 0.9**3
    assert np.abs(np.asarray(ours.var[...]) - biased).max() < 1e-4
    theirs.eval()
    assert np.abs(np.asarray(ours(jnp.asarray(x))) - from_torch(theirs(to_torch(x)))).max() < 0.02


def build(model: GANConfig):
    """The network with its functions compiled, and weights."""
    network = networks.build(GAN(data=DATA, model=model))
    options = {"static_argnames": ("method", "train")}
    compiled = {name: jax.jit(getattr(network, name), **options) for name in ("apply", "train")}
    return replace(network, **compiled), jax.jit(network.init)(jax.random.key(3))


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("conditioning", ["projection", "embedding"])
def test_both_sides_have_the_shapes_that_they_promise(classes, conditioning):
    network, params = build(GANConfig(latent=5, widths=(8, 4, 4), classes=classes, conditioning=conditioning))
    images = network.apply(params, Z, LABEL)
    assert images.shape == (6, 8, 8, 1) and np.abs(images).max() < 1
    assert network.apply(params, images, LABEL, method="discriminate").shape == (6,)


@pytest.mark.parametrize("conditioning", ["projection", "embedding"])
def test_conditional_sides_heed_the_class(conditioning):
    model = GANConfig(latent=5, widths=(8, 4, 4), classes=3, conditioning=conditioning)
    network, params = build(model)
    params = {name: value + 0.1 * normal(*value.shape) for name, value in params.items()}
    other = (LABEL + 1) % 3
    for x, method in ((Z, "generate"), (X, "discriminate")):
        one, two = (network.apply(params, x, label, method=method) for label in (LABEL, other))
        assert np.abs(one - two).reshape(6, -1).max(1).min() > 1e-5


def test_projection_adds_the_products_of_class_and_features():
    network, params = build(GANConfig(latent=5, widths=(8, 4, 4), classes=3))
    name = "discriminator.label.embedding"
    without = params | {name: jnp.zeros_like(params[name])}
    plain = network.apply(without, X, LABEL, method="discriminate")
    # What a class that is the last layer's own weights adds is the score itself, less its bias.
    weights = params["discriminator.out.kernel"][:, 0]
    twice = params | {name: jnp.zeros_like(params[name]).at[1].set(weights)}
    got = network.apply(twice, X, LABEL, method="discriminate")
    assert np.abs(got - jnp.where(LABEL == 1, 2 * plain, plain)).max() < 1e-5


def test_unconditional_sides_ignore_the_class():
    network, params = build(SMALL)
    for x, method in ((Z, "generate"), (X, "discriminate")):
        one, two = (network.apply(params, x, label, method=method) for label in (LABEL, LABEL - 1))
        assert np.array_equal(one, two)


@pytest.mark.slow
def test_sampling_uses_the_running_statistics_and_training_the_batches_own():
    model = GANConfig(latent=5, widths=(8, 4, 4), generator_norm="batch")
    network, params = build(model)
    alone = network.apply(params, Z[:1], LABEL[:1])
    assert np.abs(network.apply(params, Z, LABEL)[:1] - alone).max() < 1e-6  # whoever is sampled beside it
    moved = params | {"generator.norms.0.mean": params["generator.norms.0.mean"] + 1}
    assert np.abs(network.apply(moved, Z, LABEL)[:1] - alone).max() > 1e-3
    trained, _ = network.train(params, Z, LABEL, method="generate", train=True)
    again, _ = network.train(moved, Z, LABEL, method="generate", train=True)
    assert np.array_equal(trained, again) and np.abs(trained[:1] - alone).max() > 1e-3


def test_dropout_drops_whole_channels_and_only_with_a_key():
    model = GANConfig(latent=5, widths=(4,), doublings=1, dropout=0.5, discriminator_norm="none")
    network, params = build(model)
    # All features are 1 and the score is their number, so a channel that is dropped takes its 4 x 4 pixels away.
    params = {name: jnp.zeros_like(value) for name, value in params.items()}
    params |= {"discriminator.layers.0.bias": jnp.ones(4), "discriminator.out.kernel": jnp.ones((64, 1))}
    x = jnp.zeros((200, 8, 8, 1))
    assert np.array_equal(network.apply(params, x, jnp.zeros(200, int), method="discriminate"), np.full(200, 64))
    scores = network.apply(params, x, jnp.zeros(200, int), method="discriminate", key=jax.random.key(0))
    assert set(np.unique(scores)) == {0, 32, 64, 96, 128}  # twice 16 for each channel that stays
    assert abs(float(scores.mean()) - 64) < 4 * 32 / 200**0.5
