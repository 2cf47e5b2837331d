"""How a GAN learns: the discriminator's step, then the generator's, each with an optimiser of its own."""

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
from jaxgen.training.step import Learner, Metrics, TrainState, averaged, ema_decay, make_optimizer

softplus = jax.nn.softplus


@dataclass(frozen=True)
class Game:
    """What each side minimises, given scores [B]: discriminator(real, fake), generator(fake)."""

    discriminator: Callable[[Array, Array], Array]
    generator: Callable[[Array], Array]
    belief: Callable[[Array], Array]  # what of the scores is logged as D(real) and D(fake)
    penalized: bool = False


GAMES: dict[str, Game] = {
    # Goodfellow et al. 2014, section 3; scores are the logits of "real".
    "non-saturating": Game(
        lambda real, fake: softplus(-real).mean() + softplus(fake).mean(),
        lambda fake: softplus(-fake).mean(),
        jax.nn.sigmoid,
    ),
    # Lim & Ye 2017
    "hinge": Game(
        lambda real, fake: jax.nn.relu(1 - real).mean() + jax.nn.relu(1 + fake).mean(),
        lambda fake: -fake.mean(),
        jnp.asarray,
    ),
    # Gulrajani et al. 2017
    "wgan-gp": Game(
        lambda real, fake: fake.mean() - real.mean(), lambda fake: -fake.mean(), jnp.asarray, penalized=True
    ),
}


def gradient_penalty(score: Callable[[Array], Array], real: Array, fake: Array, *, key: Array) -> Array:
    """Mean of (|gradient| - 1)^2 on straight lines between real and fake pictures (Gulrajani et al. 2017, equation 3)."""
    share = jax.random.uniform(key, (len(real), 1, 1, 1))
    gradient = jax.grad(lambda x: score(x).sum())(share * real + (1 - share) * fake)
    norm = jnp.sqrt(jnp.square(gradient).sum((1, 2, 3)) + 1e-12)
    return jnp.square(norm - 1).mean()


def side(params: Params, name: str) -> Params:
    """The weights of 'generator' or 'discriminator'."""
    return {key: value for key, value in params.items() if key.startswith(name + ".")}


def learner(config: GAN, network: Network, schedule: optax.Schedule) -> Learner:
    """The adversarial game of `gan.loss`, with `gan.critic_steps` steps of the discriminator to one of the generator."""
    training, objective = config.training, config.gan
    game = GAMES[objective.loss]
    ratio = (objective.discriminator_lr or training.lr) / training.lr
    optimizers = {
        "discriminator": make_optimizer(training, lambda count: ratio * schedule(count // objective.critic_steps)),
        "generator": make_optimizer(training, schedule),
    }

    def trained(params: Params, name: str) -> Params:
        return {key: value for key, value in side(params, name).items() if key in network.trainable}

    def init(key: Array) -> TrainState:
        params = network.init(key)
        states = {name: optimizer.init(trained(params, name)) for name, optimizer in optimizers.items()}
        ema = jax.tree.map(jnp.copy, side(params, "generator"))
        return TrainState(jnp.zeros((), jnp.int32), params, ema, states)

    def noise(key: Array, count: int) -> Array:
        return jax.random.normal(key, (count, config.model.latent))

    def step(name: str, state: TrainState, loss: Callable[..., tuple[Array, tuple[Params, Metrics]]]) -> tuple:
        """One optimiser step of one side; loss(its trained weights) -> scalar, (new statistics, metrics)."""
        weights = trained(state.params, name)
        (_, (statistics, metrics)), grads = jax.value_and_grad(loss, has_aux=True)(weights)
        updates, optimizer = optimizers[name].update(grads, state.optimizer[name], weights)
        params = state.params | optax.apply_updates(weights, updates) | statistics
        state = state._replace(params=params, optimizer=state.optimizer | {name: optimizer})
        return state, metrics, optax.tree.norm(grads)

    def score(params: Params, x: Array, label: Array, key: Array) -> tuple[Array, Params]:
        return network.train(params, x, label, method="discriminate", train=True, key=key)

    def discriminator_loss(
        state: TrainState, real: Array, label: Array, key: Array, weights: Params
    ) -> tuple[Array, tuple[Params, Metrics]]:
        z_key, real_key, fake_key, penalty_key = jax.random.split(key, 4)
        params = state.params | weights
        fake, _ = network.train(params, noise(z_key, len(real)), label, method="generate", train=True)
        fake = jax.lax.stop_gradient(fake)
        on_real, statistics = score(params, real, label, real_key)
        on_fake, statistics = score(params | side(statistics, "discriminator"), fake, label, fake_key)
        loss = game.discriminator(on_real, on_fake)
        if game.penalized:
            penalty = gradient_penalty(lambda x: score(params, x, label, fake_key)[0], real, fake, key=penalty_key)
            loss = loss + objective.gradient_penalty * penalty
        metrics = {"discriminator_loss": loss, "real": on_real, "fake": on_fake}
        return loss, (side(statistics, "discriminator"), metrics)

    def generator_loss(
        state: TrainState, label: Array, key: Array, weights: Params
    ) -> tuple[Array, tuple[Params, Metrics]]:
        z_key, dropout_key = jax.random.split(key)
        params = state.params | weights
        fake, statistics = network.train(params, noise(z_key, len(label)), label, method="generate", train=True)
        on_fake, _ = score(params, fake, label, dropout_key)
        loss = game.generator(on_fake)
        return loss, (side(statistics, "generator"), {"loss": loss})

    def update(state: TrainState, images: Array, label: Array, key: Array) -> tuple[TrainState, Metrics]:
        *critic_keys, generator_key = jax.random.split(key, objective.critic_steps + 1)
        lr = jnp.asarray(schedule(state.step))
        for critic_key in critic_keys:
            loss = partial(discriminator_loss, state, images, label, critic_key)
            state, seen, d_norm = step("discriminator", state, loss)
        state, shown, g_norm = step("generator", state, partial(generator_loss, state, label, generator_key))
        ema = averaged(state.ema, state.params, ema_decay(training.ema, state.step))
        beliefs = {name: game.belief(seen.pop(name)).mean() for name in ("real", "fake")}
        metrics = shown | seen | beliefs | {"grad_norm": jnp.maximum(d_norm, g_norm), "lr": lr}
        return state._replace(step=state.step + 1, ema=ema), metrics

    return Learner(init, update)
