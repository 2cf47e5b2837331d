"""Adversarial distillation: regression on the teacher's images, and a small discriminator that knows real ones."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jaxgen.config import GAN, Config, GANConfig
from jaxgen.models import network as networks
from jaxgen.models.network import Network, Params
from jaxgen.sampling import sampler_spec
from jaxgen.training.gan import GAMES, side
from jaxgen.training.student_losses import Rows, denoised, distance, scales, start_noise
from jaxgen.training.teacher import Teacher
from jaxgen.training.teacher_pairs import Pairs
from jaxgen.training.train_step import Learner, Metrics, TrainState, averaged, ema_decay, make_optimizer

GAME = GAMES["hinge"]
WIDEST = 128  # channels of the discriminator's smallest map
BETA1 = 0.5  # of the discriminator's optimiser (Radford et al. 2016)


def discriminator(config: Config) -> Network:
    """The discriminator of a DCGAN for a student's images; its weights are those named 'discriminator.'."""
    size, halvings = config.data.size, 0
    while size % 2 == 0 and size > 7:
        size, halvings = size // 2, halvings + 1
    widths = tuple(min(WIDEST, 32 * 2**i) for i in reversed(range(halvings + 1)))
    model = GANConfig(
        latent=1, widths=widths, doublings=halvings, discriminator_norm="none", classes=config.class_count
    )
    return networks.build(GAN(data=config.data, model=model))


def adversarial(config: Config, network: Network, schedule: optax.Schedule, teacher: Teacher | None) -> Learner:
    """The student's learner: a step of the discriminator, then one of the student (Sauer et al. 2024, section 3.2).

    The student's first row starts from the noise of a pair, and its further ones from the teacher's image with fresh
    noise; in each the x0 it finds is compared with the teacher's image and shown to the discriminator.
    """
    game = Adversarial(config, network, schedule, teacher)
    return Learner(game.init, game.update)  # type: ignore[arg-type]  # its images are Pairs


class Adversarial:
    """The two sides; every method is a pure function of its arguments."""

    def __init__(self, config: Config, network: Network, schedule: optax.Schedule, teacher: Teacher | None) -> None:
        assert config.process and config.distilled
        self.config, self.student, self.critic, self.teacher = config, network, discriminator(config), teacher
        self.schedule, self.weight = schedule, config.distilled.adversarial_weight
        table = sampler_spec.from_config(config)
        self.table, self.levels = jnp.asarray(table), jnp.asarray(scales(config.process, table), jnp.float32)
        self.optimizers = {
            "student": make_optimizer(config.training, schedule),
            "discriminator": make_optimizer(replace(config.training, beta1=BETA1), schedule),
        }

    def init(self, key: Array) -> TrainState:
        """The state of step 0: the student has its teacher's averaged weights."""
        own_key, critic_key = jax.random.split(key)
        own = dict(self.teacher.params) if self.teacher else self.student.init(own_key)
        own = {name: jnp.asarray(value) for name, value in own.items()}
        critic = side(self.critic.init(critic_key), "discriminator")
        states = {"student": self.optimizers["student"].init(own)}
        states["discriminator"] = self.optimizers["discriminator"].init(critic)
        return TrainState(jnp.zeros((), jnp.int32), own | critic, jax.tree.map(jnp.copy, own), states)

    def update(self, state: TrainState, images: Array, batch: Pairs, key: Array) -> tuple[TrainState, Metrics]:
        """One step of both sides; images: real ones."""
        row_key, dropout_key, critic_key, opinion_key = jax.random.split(key, 4)
        x, rows = self.inputs(batch, row_key)
        critic = side(state.params, "discriminator")
        own = {name: value for name, value in state.params.items() if name not in critic}
        dropout = dropout_key if getattr(self.config.model, "dropout", 0) else None
        found, pullback = jax.vjp(lambda params: denoised(self.student, params, x, rows, batch.wanted, dropout), own)
        judged = jax.value_and_grad(self.critic_loss, has_aux=True)
        (_, terms), critic_grads = judged(critic, images, jax.lax.stop_gradient(found), batch, critic_key)
        critic, critic_state = self.moved("discriminator", critic, critic_grads, state)
        valued = jax.value_and_grad(self.student_loss, has_aux=True)
        (loss, parts), x0_grads = valued(found, critic, batch, opinion_key)
        (grads,) = pullback(x0_grads)
        own, own_state = self.moved("student", own, grads, state)
        ema = averaged(state.ema, own, ema_decay(self.config.training.ema, state.step))
        metrics = {"loss": loss, **parts, **terms, "grad_norm": optax.tree.norm(grads)}
        metrics["lr"] = jnp.asarray(self.schedule(state.step))
        return TrainState(
            state.step + 1, own | critic, ema, {"student": own_state, "discriminator": critic_state}
        ), metrics  # fmt: skip

    def inputs(self, batch: Pairs, key: Array) -> tuple[Array, Rows]:
        """x of a random row for each pair, and the rows."""
        row_key, eps_key = jax.random.split(key)
        row = jax.random.randint(row_key, batch.index.shape, 0, len(self.table))
        signal, noise = (self.levels[row, i][:, None, None, None] for i in (0, 1))
        image = batch.points[:, -1].astype(jnp.float32)
        fresh = signal * image + noise * jax.random.normal(eps_key, image.shape)
        return jnp.where(row[:, None, None, None] == 0, start_noise(batch), fresh), Rows.of(self.table[row])

    def critic_loss(
        self, critic: Params, real: Array, found: Array, batch: Pairs, key: Array
    ) -> tuple[Array, Metrics]:  # fmt: skip
        """The discriminator's loss, and its mean opinions of real images and of the student's."""
        real_key, fake_key = jax.random.split(key)
        on_real = self.score(critic, real, batch.label, real_key)
        on_fake = self.score(critic, jnp.clip(found, -1, 1), batch.wanted, fake_key)
        # Images without a class are not shown, since the real ones have all got one.
        known = self.known(batch)
        loss = jax.nn.relu(1 - on_real).mean() + (known * jax.nn.relu(1 + on_fake)).sum() / known.sum()
        terms = {"d_real": GAME.belief(on_real).mean(), "d_fake": (known * GAME.belief(on_fake)).sum() / known.sum()}
        return loss, {"discriminator_loss": loss, **terms}

    def student_loss(self, found: Array, critic: Params, batch: Pairs, key: Array) -> tuple[Array, Metrics]:
        """The distance from the teacher's images, and the discriminator's opinion."""
        regression = distance(found, batch.points[:, -1].astype(jnp.float32)).mean()
        known = self.known(batch)
        opinion = (known * self.score(critic, jnp.clip(found, -1, 1), batch.wanted, key)).sum() / known.sum()
        return regression - self.weight * opinion, {"regression": regression}

    def known(self, batch: Pairs) -> Array:
        """1 for each pair that the discriminator may see, else 0: [B]."""
        seen = (batch.wanted >= 0) if self.config.class_count else jnp.ones_like(batch.wanted, bool)
        return jnp.where(seen.any(), seen, True).astype(jnp.float32)

    def score(self, critic: Params, x: Array, label: Array, key: Array) -> Array:
        """The discriminator's scores [B]."""
        return self.critic.apply(critic, x, label, method="discriminate", train=True, key=key)

    def moved(self, name: str, weights: Params, grads: Params, state: TrainState) -> tuple[Params, optax.OptState]:
        """The weights of one side and its optimiser's state after one step."""
        updates, after = self.optimizers[name].update(grads, state.optimizer[name], weights)
        return optax.apply_updates(weights, updates), after
