"""What holds of every model file whatever its weights are: checks that need no original to compare with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxgen.errors import JaxgenError
from jaxgen.images import to_uint8
from jaxgen.inference import tensors
from jaxgen.inference.model import Model
from jaxgen.inference.model_file import Artifact
from jaxgen.inference.network import Network
from jaxgen.inference.predictor import Predictor
from jaxgen.inference.verify import MAX_RELATIVE, compare_images, errors, same_images
from jaxgen.sampling import plan as plans, prng
from jaxgen.sampling.plan import COLUMNS

ROWS = 4  # of the plan that is cut in two
# Images at both ends of the seeds and the indices, and numbers of noise up to the largest.
SEED = np.array([0, 1, 2**32 - 1, 7, 0, 1, 2**31, 5])
INDEX = np.array([0, 2**32 - 1, 0, 1, 2**31, 3, 7, 70_000])
NOISE_NUMBERS = (1, 300, 70_000, plans.MAX_NOISE_INDEX)

Loaded = Model | Network | Predictor
Feeds = dict[str, Any]  # arrays [N, ...] by name
Call = Callable[[Feeds], list[np.ndarray]]  # outputs [N, ...] each
Pair = tuple[list[np.ndarray], list[np.ndarray]]  # two lists of arrays that must be equal within the limits


def require_invariants(model: Loaded, *, batch_dependent: bool = False) -> None:
    """Raise JaxgenError, which says what no longer holds, unless a file that reproduces its certificate keeps them all.

    batch_dependent: whether what it gives may depend on the rest of the batch.
    """
    path = model.artifact.path
    for words, invariant in _invariants_of(model).items():
        try:
            found, wanted = invariant(model)
            reason = None if batch_dependent and words in OF_BATCHES else _difference(found, wanted)
        except JaxgenError as err:  # a graph that does not even run
            reason = str(err).removeprefix(f"{path}: ")
        if reason:
            raise JaxgenError(f"{path}: {words}: {reason}")


def in_batches(call: Call, given: Feeds, size: int) -> list[np.ndarray]:
    """The outputs for all that is given, `size` of it at a time."""
    count = len(next(iter(given.values())))
    parts = [
        call({name: values[start : start + size] for name, values in given.items()}) for start in range(0, count, size)
    ]
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def one_by_one(model: Loaded) -> Pair:
    """The certificate's probe in batches of one, and in one batch."""
    call, given = _call_of(model), _probe_of(model.artifact)
    return in_batches(call, given, 1), call(given)


def twice_as_many(model: Loaded) -> Pair:
    """The certificate's probe and the same once more in one batch, and alone."""
    call, given = _call_of(model), _probe_of(model.artifact)
    wanted = call(given)
    twice = call({name: np.concatenate([values, values]) for name, values in given.items()})
    return twice, [np.concatenate([values, values]) for values in wanted]


def cut_plan(model: Model) -> Pair:
    """A plan in two parts, the second from the state of the first, and in one; a few rows that use every column."""
    table = model.plan()
    table = table[np.linspace(0, len(table) - 1, ROWS).round().astype(int)]
    table[:, COLUMNS.index("clip")] = 1
    table[:, [COLUMNS.index("x0_prev"), COLUMNS.index("noise")]] = 0.2
    table[:, COLUMNS.index("noise_index")] = np.arange(1, ROWS + 1)
    given = _probe_of(model.artifact)
    whole, _ = model.sample(**given, plan=table)
    pairs = []
    for row in range(1, ROWS):
        _, state = model.sample(**given, plan=table[:row])
        pairs.append(model.sample(**given, plan=table[row:], state=state)[0])
    return pairs, [whole] * len(pairs)


def fed_noise(model: Model) -> Pair:
    """What a sampler gives for its own noise and for that of `jaxgen.sampling.prng`.

    A plan runs without its network, so that NumPy gives all of its numbers, however much the network amplifies.
    """
    shape = model.noise_shape

    def noise(number: int) -> np.ndarray:
        return prng.image_noise(SEED, INDEX, number, shape)

    if model.inference.process is None:
        own, _ = model.sample(SEED, INDEX)
        fed, _ = model.sample(SEED, INDEX, latent=noise(0))
        return [own], [fed]
    #                   t, x0_x, x0_out, clip, x, x0, x0_prev, noise, noise_index
    table = np.array([(0, 0.5, 0, 0.6, 0.5, 0.3, 0.2, 0.4, number) for number in NOISE_NUMBERS], np.float32)
    wanted = plans.run(table, noise(0), lambda x, t: np.zeros_like(x), noise)
    own, own_end = model.sample(SEED, INDEX, plan=table)
    fed, fed_end = model.sample(SEED, INDEX, plan=table, state=np.stack([noise(0), np.zeros_like(noise(0))]))
    assert own_end is not None and fed_end is not None  # every model with a process returns it
    return [own, own_end, fed, fed_end], [to_uint8(wanted[0]), np.stack(wanted)] * 2


OF_BATCHES: dict[str, Callable[..., Pair]] = {
    "one by one it no longer gives what it gives in a batch": one_by_one,
    "in a batch of another size it no longer gives the same": twice_as_many,
}


def _invariants_of(model: Loaded) -> dict[str, Callable[..., Pair]]:
    """The invariants of a file of this kind, by what to say where one is broken."""
    if isinstance(model, Network) and model.inference.batch is not None:
        return {}
    if not isinstance(model, Model):
        return OF_BATCHES
    if model.inference.process is None:
        return OF_BATCHES | {"a seed no longer gives what its noise gives as `latent`": fed_noise}
    return OF_BATCHES | {
        "a plan in two parts, with `state` between them, no longer gives what the whole plan gives": cut_plan,
        "a seed no longer gives what its noise gives as `state`": fed_noise,
    }


def _call_of(model: Loaded) -> Call:
    if isinstance(model, Model):
        return lambda given: [model.sample(**given)[0]]
    if isinstance(model, Network):
        return lambda given: [model(*(given[name] for name in model.inputs))]
    return lambda given: list(model.read(**given).values())


def _probe_of(file: Artifact) -> Feeds:
    """The inputs of a certificate's probe, which `verify` has run."""
    probe = file.value("certificate.probe", dict)
    if file.inference.kind == "sampler":
        index = np.asarray(probe["index"])
        return {"seed": np.full(len(index), probe["seed"]), "index": index, "label": np.asarray(probe["label"])}
    if file.inference.kind == "network":
        return {name: tensors.decode(value, name) for name, value in probe["inputs"].items()}
    label = {"label": np.asarray(probe["label"])} if file.inference.takes_label else {}
    return {"images": tensors.decode_images(probe["images"]), **label}


def _difference(found: list[np.ndarray], wanted: list[np.ndarray]) -> str | None:
    """The first difference beyond the limits of a certificate, in words; None if there is none."""
    for values, want in zip(found, wanted, strict=True):
        if values.shape != want.shape:
            return f"expected {len(want)} of them, got {len(values)}"
        if values.dtype == np.uint8:
            if not same_images(values, want):
                far = compare_images(values, want)
                return f"{far['identical']:.3%} of pixels identical, the largest difference is {far['off_by']}"
        elif not (relative := errors(values, want)["relative"]) <= MAX_RELATIVE:  # not `>`, which is false for NaN
            return f"its numbers are {relative:.1e} relative apart"
    return None
