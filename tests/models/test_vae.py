"""The autoencoder and the classifier against PyTorch's own layers, given the same weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch.nn import functional

from jaxgen.config import VAE, Classifier, ClassifierConfig, Config, DataConfig, VAEConfig
from jaxgen.errors import JaxgenError
from jaxgen.models import network as networks

DATA = DataConfig(size=8, channels=3)
LINEAR = VAE(data=DATA, model=VAEConfig(hidden=(11, 7), latent=5, classes=4))
CONVOLUTIONAL = VAE(data=DATA, model=VAEConfig(convolutions=(6, 9), hidden=(7,), latent=5, activation="silu"))
TOLD = VAE(data=DATA, model=VAEConfig(hidden=(11,), latent=5, classes=4, encoder_label=True))
TOLD_CONVOLUTIONAL = VAE(
    data=DATA, model=VAEConfig(convolutions=(6, 9), hidden=(), latent=5, classes=4, encoder_label=True)
)
CLASSIFIER = Classifier(data=DATA, model=ClassifierConfig(widths=(6, 9), features=13, dropout=0.5, classes=4))
X = np.random.default_rng(1).uniform(-1, 1, (3, 8, 8, 3)).astype(np.float32)
Z = np.random.default_rng(2).standard_normal((3, 5)).astype(np.float32)
LABEL = np.array([0, 3, -1])
ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh, "silu": functional.silu}


def weights_of(config: Config) -> dict[str, np.ndarray]:
    """Random in every weight, biases too, which start at zero."""
    shapes, rng = jax.eval_shape(networks.build(config).init, jax.random.key(0)), np.random.default_rng(0)
    return {name: (0.3 * rng.standard_normal(leaf.shape)).astype(np.float32) for name, leaf in shapes.items()}


def image_first(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(x.transpose(0, 3, 1, 2).copy())


class Reference:
    """The layers of a set of weights, by name, as torch computes them."""

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        self.weights = {name: torch.from_numpy(value) for name, value in weights.items()}

    def linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weights[f"{name}.kernel"] + self.weights[f"{name}.bias"]

    def halved(self, name: str, x: torch.Tensor) -> torch.Tensor:
        kernel = self.weights[f"{name}.kernel"].permute(3, 2, 0, 1)
        return functional.conv2d(x, kernel, self.weights[f"{name}.bias"], stride=2, padding=1)

    def doubled(self, name: str, x: torch.Tensor) -> torch.Tensor:
        kernel = self.weights[f"{name}.kernel"].flip(0, 1).permute(2, 3, 0, 1)
        return functional.conv_transpose2d(x, kernel, self.weights[f"{name}.bias"], stride=2, padding=1)

    def encode(self, config: VAEConfig, x: np.ndarray, one_hot: np.ndarray) -> list[np.ndarray]:
        activation = ACTIVATIONS[config.activation]
        h = (image_first(x) + 1) / 2
        for i in range(len(config.convolutions)):
            h = activation(self.halved(f"encoder.convolutions.{i}", h))
        h = h.flatten(1)
        if config.encoder_label:  # the features first, as published ones have them
            h = torch.cat([h, torch.from_numpy(one_hot)], dim=1)
        for i in range(len(config.hidden)):
            h = activation(self.linear(f"encoder.hidden.{i}", h))
        return [self.linear(f"encoder.{head}", h).numpy() for head in ("mean", "log_variance")]

    def decode(self, config: VAEConfig, z: np.ndarray, one_hot: np.ndarray) -> np.ndarray:
        activation = ACTIVATIONS[config.activation]
        h = torch.from_numpy(np.concatenate([z, one_hot], axis=1))
        for i in range(len(config.hidden)):
            h = activation(self.linear(f"decoder.hidden.{i}", h))
        side, first = 8 // 2 ** len(config.convolutions), (*config.convolutions[::-1], 3)[0]
        h = self.linear("decoder.out", h).reshape(-1, first, side, side)
        for i in range(len(config.convolutions)):
            h = self.doubled(f"decoder.convolutions.{i}", activation(h))
        return h.numpy().transpose(0, 2, 3, 1)


def one_hot_of(config: VAEConfig) -> np.ndarray:
    """By hand: no class is all zeros."""
    rows = [[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    return np.array(rows if config.classes else [[], [], []], np.float32)


@pytest.mark.parametrize("activation", ["relu", "tanh", "silu"])
@pytest.mark.parametrize(
    "base",
    [LINEAR, CONVOLUTIONAL, TOLD, TOLD_CONVOLUTIONAL],
    ids=["linear", "convolutional", "linear, told the class", "convolutional, told the class"],
)
def test_encoder_and_decoder_are_those_of_torch(base, activation):
    config = VAE(data=DATA, model=VAEConfig(**{**vars(base.model), "activation": activation}))
    weights, network = weights_of(config), networks.build(config)
    theirs = Reference(weights)
    one_hot = one_hot_of(config.model)
    encoded = network.apply(weights, X, LABEL, method="encode")
    for ours, want in zip(encoded, theirs.encode(config.model, X, one_hot), strict=True):
        assert ours.shape == (3, 5) and np.abs(np.asarray(ours) - want).max() < 1e-5
    want = theirs.decode(config.model, Z, one_hot)
    logits = network.apply(weights, Z, LABEL, method="decode")
    assert np.abs(np.asarray(logits) - want).max() < 1e-5
    images = network.apply(weights, Z, LABEL)  # what a latent most likely means
    assert np.abs(np.asarray(images) - (2 / (1 + np.exp(-want)) - 1)).max() < 1e-5


def test_decoder_takes_the_class_and_none_is_a_class_of_its_own():
    weights, network = weights_of(LINEAR), networks.build(LINEAR)
    same = jnp.broadcast_to(Z[0], (5, 5))
    drawn = np.asarray(network.apply(weights, same, jnp.array([0, 1, 2, 3, -1])))
    assert all(np.abs(drawn[i] - drawn[j]).max() > 1e-2 for i in range(5) for j in range(i))


def test_model_without_classes_does_not_read_the_label():
    weights, network = weights_of(CONVOLUTIONAL), networks.build(CONVOLUTIONAL)
    assert np.array_equal(network.apply(weights, Z, LABEL), network.apply(weights, Z, np.array([2, -1, 0])))


@pytest.mark.parametrize(("config", "reads"), [(LINEAR, False), (TOLD, True), (TOLD_CONVOLUTIONAL, True)])
def test_encoder_reads_the_label_only_where_it_takes_it(config, reads):
    weights, network = weights_of(config), networks.build(config)
    one, other = (network.apply(weights, X, np.array(label), method="encode") for label in ([0, 3, 1], [2, 1, 1]))
    for a, b in zip(one, other, strict=True):
        assert (np.abs(np.asarray(a - b)).max(1) > 1e-2).tolist() == [reads, reads, False]


def test_decoder_alone_samples_and_cannot_encode():
    weights, network = weights_of(LINEAR), networks.build(LINEAR)
    decoder = {name: value for name, value in weights.items() if name.startswith("decoder.")}
    assert np.array_equal(network.apply(decoder, Z, LABEL), network.apply(weights, Z, LABEL))
    assert np.isnan(network.apply(decoder, X, method="encode")[0]).all()  # rather than look like an answer
    del decoder["decoder.out.bias"]
    with pytest.raises(JaxgenError, match=r"weights are incomplete: 'decoder\.out\.bias' is missing"):
        network.apply(decoder, Z, LABEL)


def test_all_weights_are_trained():
    for config in (LINEAR, CONVOLUTIONAL, CLASSIFIER):
        assert networks.build(config).trainable == set(weights_of(config))


@pytest.mark.parametrize("config", [LINEAR, CONVOLUTIONAL], ids=["linear", "convolutional"])
def test_bfloat16_autoencoder_answers_in_float32(config):
    weights = weights_of(config)
    half, whole = networks.build(config, "bfloat16"), networks.build(config)
    for inputs in ((X,), (Z, LABEL)):
        method = "encode" if len(inputs) == 1 else "decode"
        ours, want = (net.apply(weights, *inputs, method=method) for net in (half, whole))
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(want), strict=True):
            assert a.dtype == jnp.float32 and 1e-5 < float(jnp.abs(a - b).max() / jnp.abs(b).max()) < 0.1


def test_classifier_is_that_of_torch():
    weights, network = weights_of(CLASSIFIER), networks.build(CLASSIFIER)
    theirs, h = Reference(weights), image_first(X)
    for i in range(2):
        h = torch.relu(theirs.halved(f"layers.{i}", h))
    features = torch.relu(theirs.linear("linear", h.flatten(1)))
    assert np.abs(np.asarray(network.apply(weights, X, method="features")) - features.numpy()).max() < 1e-5
    scores = theirs.linear("out", features).numpy()
    assert scores.shape == (3, 4) and np.abs(np.asarray(network.apply(weights, X)) - scores).max() < 1e-5


def test_classifier_drops_features_with_a_key_alone():
    weights, network = weights_of(CLASSIFIER), networks.build(CLASSIFIER)
    plain, one, again, other = (
        network.apply(weights, X, key=key) for key in (None, *(jax.random.key(seed) for seed in (1, 1, 2)))
    )
    assert np.array_equal(one, again) and not np.allclose(one, other) and not np.allclose(one, plain)
