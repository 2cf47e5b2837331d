"""The PyTorch networks against the Flax ones that they are twins of."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from jaxgen.config import Config, DataConfig, UNetConfig
from jaxgen.models import network
from jaxgen_export import twins, weights

CONFIGS = {
    "three levels, attention on two": Config(
        data=DataConfig(size=16, channels=3),
        model=UNetConfig(
            channels=8, multipliers=(1, 2, 3), blocks=2, attention=(8, 4), heads=4, groups=2, classes=5, dropout=0.5
        ),
    ),
    "one level": Config(model=UNetConfig(channels=6, multipliers=(2,), blocks=3, groups=3)),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_twin_says_what_the_network_says(config):
    net, rng = network.build(config), np.random.default_rng(0)
    shapes = net.init(jax.random.key(0))
    params = {name: (v + 0.2 * rng.standard_normal(v.shape)).astype(np.float32) for name, v in shapes.items()}
    twin = twins.build(config)
    weights.load_into(twin, params)
    x = rng.standard_normal((4, config.data.size, config.data.size, config.data.channels)).astype(np.float32)
    x[1] = -1  # constant: normalisation amplifies rounding
    t, label = np.array([0, 1, 499, 999], np.float32), np.array([-1, 0, 4, 2])
    want = np.asarray(jax.jit(net.apply)(params, jnp.asarray(x), jnp.asarray(t), jnp.asarray(label)))
    found = twin(torch.from_numpy(x), torch.from_numpy(t), torch.from_numpy(label)).numpy()
    assert np.abs(want).max() > 0.1
    assert np.abs(found - want).max() <= 1e-4 * np.abs(want).max()
    if config.model.classes:  # labels count
        none = twin(torch.from_numpy(x), torch.from_numpy(t), torch.full((4,), -1)).numpy()
        changed = np.abs(none - found).max((1, 2, 3)) > 1e-3
        assert changed.tolist() == [False, True, True, True]
