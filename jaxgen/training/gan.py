"""GAN training: the discriminator's steps, then the generator's, each with its own optimiser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jaxgen.config import GAN
from jaxgen.models.network import Network, Params
from jaxgen.training.train_step import Learner, Metrics, TrainState, averaged, ema_decay, make_optimizer

softplus = jax.nn.softplus


@dataclass(frozen=True)
class Game:
    """The losses of both sides, given scores [B]: discriminator(real, fake), generator(fake)."""

    discriminator: Callable[[Array, Array], Array]
    generator: Callable[[Array], Array]
    belief: Callable[[Array], Array]  # scores -> the values logged as D(real) and D(fake)
    beliefs: bool = True  # whether these are in [0, 1]
    penalized: bool = False


GAMES: dict[str, Game] = {
    # Goodfellow et al. 2014, section 3; scores are the logits of "real".
    "non-saturating": Game(
        lambda real, fake: softplus(-real).mean() + softplus(fake).mean(),
        lambda fake: softplus(-fake).mean(),
        jax.nn.sigmoid,
    ),
    # Lim & Ye 2017; scores beyond the margins -1 and 1 do not move the discriminator, so these are its 0 and 1.
    "hinge": Game(
        lambda real, fake: jax.nn.relu(1 - real).mean() + jax.nn.relu(1 + fake).mean(),
        lambda fake: -fake.mean(),
        lambda scores: jnp.clip((scores + 1) / 2, 0, 1),
    ),
    # Gulrajani et al. 2017; only differences of scores mean anything.
    "wgan-gp": Game(
        lambda real, fake: fake.mean() - real.mean(),
        lambda fake: -fake.mean(),
        jnp.asarray,
        beliefs=False,
        penalized=True,
    ),
}


def gradient_penalty(score: Callable[[Array], Array], real: Array, fake: Array, *, key: Array) -> Array:
    """Mean of (|gradient| - 1)^2 at a random point between each real and fake image (Gulrajani et al. 2017, eq. 3)."""
    share = jax.random.uniform(key, (len(real), 1, 1, 1))
    gradient = jax.grad(lambda x: score(x).sum())(share * real + (1 - share) * fake)
    norm = jnp.sqrt(jnp.square(gradient).sum((1, 2, 3)) + 1e-12)
    return jnp.square(norm - 1).mean()


def side(params: Params, name: str) -> Params:
    """The weights of 'generator' or 'discriminator'."""
    return {key: value for key, value in params.items() if key.startswith(name + ".")}


def learner(config: GAN, network: Network, schedule: optax.Schedule) -> Learner:
    """The adversarial game of `gan.loss`: `gan.critic_steps` steps of the discriminator, then one of the generator.

    The batch is split among the discriminator's steps, so that each sees different images (Gulrajani et al. 2017,
    algorithm 1); the generator's step generates as many images as one of them sees: batch_size / critic_steps.
    """
    players = Players(config, network, schedule)
    return Learner(players.init, players.update)


class Players:
    """The two sides of one run's game. Every method is a pure function of its arguments."""

    def __init__(self, config: GAN, network: Network, schedule: optax.Schedule) -> None:
        training = config.training
        self.config, self.network, self.schedule = config, network, schedule
        self.game = GAMES[config.gan.loss]
        self.ratios = {"discriminator": (config.gan.discriminator_lr or training.lr) / training.lr, "generator": 1.0}
        # Optimisers have rate 1 and the schedule follows the run's step, because their own counts depend on
        # `critic_steps`, which may change on resume.
        self.optimizers = {name: make_optimizer(training, lambda count: 1.0) for name in self.ratios}

    def init(self, key: Array) -> TrainState:
        """The state of step 0."""
        params = self.network.init(key)
        states = {name: optimizer.init(self.trained(params, name)) for name, optimizer in self.optimizers.items()}
        ema = jax.tree.map(jnp.copy, side(params, "generator"))
        return TrainState(jnp.zeros((), jnp.int32), params, ema, states)

    def update(self, state: TrainState, images: Array, label: Array, key: Array) -> tuple[TrainState, Metrics]:
        """All discriminator steps, then one generator step."""
        z_key, critic_key, generator_key = jax.random.split(key, 3)
        lr = jnp.asarray(self.schedule(state.step))
        own = self.trained(state.params, "generator")
        steps = self.config.gan.critic_steps
        for i in range(steps):
            real, classes = images[i::steps], label[i::steps]  # consecutive rows would lie on few devices
            generate = partial(self.generate, state.params, classes, jax.random.fold_in(z_key, i))
            fake, pullback, statistics = jax.vjp(generate, own, has_aux=True)
            state, terms = self.critic_step(state, real, fake, classes, key=jax.random.fold_in(critic_key, i))
        # The generator's step reuses the last fake images of the discriminator's, as DCGANs do.
        params = state.params
        g_loss = jax.value_and_grad(lambda x: self.game.generator(self.score(params, x, classes, generator_key)[0]))
        loss, fake_grads = g_loss(fake)
        (g_grads,) = pullback(fake_grads)
        state = self.moved(state, "generator", g_grads, statistics)
        ema = averaged(state.ema, state.params, ema_decay(self.config.training.ema, state.step))
        metrics = {"loss": loss, **terms, "grad_norm": optax.tree.norm(g_grads), "lr": lr}
        return state._replace(step=state.step + 1, ema=ema), metrics

    def critic_step(
        self, state: TrainState, real: Array, fake: Array, label: Array, *, key: Array
    ) -> tuple[TrainState, Metrics]:
        """One step of the discriminator: the new state and its metrics (with several steps, the last are logged)."""
        loss = jax.value_and_grad(self.discriminator_loss, has_aux=True)
        weights = self.trained(state.params, "discriminator")
        (_, (statistics, terms)), grads = loss(weights, state.params, real, fake, label, key)
        terms["discriminator_grad_norm"] = optax.tree.norm(grads)
        return self.moved(state, "discriminator", grads, statistics), terms

    def discriminator_loss(
        self, weights: Params, params: Params, real: Array, fake: Array, label: Array, key: Array
    ) -> tuple[Array, tuple[Params, Metrics]]:
        """The loss of the discriminator's `weights`; the updated statistics of its norm layers, and its metrics."""
        real_key, fake_key, penalty_key = jax.random.split(key, 3)
        params = params | weights
        on_real, statistics = self.score(params, real, label, real_key)
        on_fake, statistics = self.score(params | statistics, fake, label, fake_key)
        loss = self.game.discriminator(on_real, on_fake)
        if self.game.penalized:
            penalty = gradient_penalty(lambda x: self.score(params, x, label, fake_key)[0], real, fake, key=penalty_key)
            loss = loss + self.config.gan.gradient_penalty * penalty
        beliefs = {"d_real": self.game.belief(on_real).mean(), "d_fake": self.game.belief(on_fake).mean()}
        return loss, (statistics, {"discriminator_loss": loss, **beliefs})

    def generate(self, params: Params, label: Array, key: Array, weights: Params) -> tuple[Array, Params]:
        """Fake images [B, H, W, C] from `weights`, and the updated statistics of the generator's norm layers."""
        z = jax.random.normal(key, (len(label), self.config.model.latent))
        fake, statistics = self.network.train(params | weights, z, label, method="generate", train=True)
        return fake, side(statistics, "generator")

    def score(self, params: Params, x: Array, label: Array, key: Array) -> tuple[Array, Params]:
        """The discriminator's scores [B], and the updated statistics of its norm layers."""
        on_x, statistics = self.network.train(params, x, label, method="discriminate", train=True, key=key)
        return on_x, side(statistics, "discriminator")

    def moved(self, state: TrainState, name: str, grads: Params, statistics: Params) -> TrainState:
        """The state after one optimiser step of one side."""
        weights = self.trained(state.params, name)
        updates, optimizer = self.optimizers[name].update(grads, state.optimizer[name], weights)
        rate = self.ratios[name] * self.schedule(state.step)
        updates = {key: rate * value for key, value in updates.items()}
        params = state.params | optax.apply_updates(weights, updates) | statistics
        return state._replace(params=params, optimizer=state.optimizer | {name: optimizer})

    def trained(self, params: Params, name: str) -> Params:
        """The trainable weights of one side."""
        return {key: value for key, value in side(params, name).items() if key in self.network.trainable}
