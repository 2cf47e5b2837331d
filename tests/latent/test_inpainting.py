"""Inpainting, against the forward process and a network that knows what the image was."""

from dataclasses import replace

import numpy as np
import pytest

from jaxgen.images import to_uint8, to_unit
from jaxgen.inference.model import Model
from jaxgen.latent.inpainting import inpaint, levels
from jaxgen.sampling import plan as plans
from jaxgen.sampling.prng import image_noise
from jaxgen.sampling.process import Diffusion, Flow
from jaxgen.sampling.sampler_spec import KINDS, SamplerSpec, table

IMAGE = np.random.default_rng(0).integers(0, 256, (8, 8, 1), dtype=np.uint8)
LOWER = np.arange(8)[:, None] * np.ones(8) >= 4


def test_levels_of_a_diffusion_are_those_of_its_forward_process():
    process = Diffusion(steps=100)
    betas = np.linspace(1e-4, 0.02, 100)
    plan = table(process, SamplerSpec("dpmpp-2m", 4))
    found = levels(process, plan)
    for row, (signal, noise) in zip(plan, found[:-1], strict=True):
        kept = np.prod(1 - betas[: int(row[0]) + 1])
        assert (signal, noise) == pytest.approx((np.sqrt(kept), np.sqrt(1 - kept)))
    assert found[-1].tolist() == [1, 0]


def test_levels_of_a_flow_are_straight():
    found = levels(Flow(time_scale=10.0), table(Flow(time_scale=10.0), SamplerSpec("euler", 4)))
    np.testing.assert_allclose(found, [[0, 1], [0.25, 0.75], [0.5, 0.5], [0.75, 0.25], [1, 0]], atol=1e-6)


def test_levels_of_a_new_process_are_those_of_its_entry(monkeypatch):
    class Cosine:
        pass

    kind = replace(KINDS[Flow], levels=lambda process, t: (np.cos(t), np.sin(t)))
    monkeypatch.setitem(KINDS, Cosine, kind)
    plan = np.zeros((2, 9), np.float32)
    plan[:, 0] = 1.5, 0.5
    want = [[0.0707372, 0.9974950], [0.8775826, 0.4794255], [1, 0]]
    np.testing.assert_allclose(levels(Cosine(), plan), want, atol=1e-6)


class Knowing:
    """A model whose network predicts one image, whatever it sees; keeps the states and draws it was given."""

    def __init__(self, process, image):
        self.x0, self._process, self.seen, self.noise_indices = to_unit(image), process, [], []

    def process(self):
        return self._process

    def sample(self, seed, index, *, label, guidance, plan, state):
        self.seen.append(state[0])

        def normals(noise_index):
            self.noise_indices.append(noise_index)
            return image_noise(seed, index, noise_index, self.x0.shape)

        x, x0 = plans.run(plan, state[0], lambda x, t: np.broadcast_to(self.x0, x.shape), normals, state[1])
        return to_uint8(x), np.stack([x, x0])


@pytest.mark.parametrize("resample", [1, 3])
@pytest.mark.parametrize("sampler", ["ddim", "ancestral"])
def test_network_sees_the_known_part_at_each_rows_level_and_no_normal_twice(sampler, resample):
    process = Diffusion(steps=1000, prediction="x0")
    model, plan = Knowing(process, 255 - IMAGE), table(process, SamplerSpec(sampler, 6))
    index = np.arange(400)
    drawn = inpaint(model, IMAGE, LOWER, plan, seed=1, index=index, resample=resample)
    np.testing.assert_array_equal(drawn[:, 4:], np.broadcast_to(255 - IMAGE[4:], drawn[:, 4:].shape))
    np.testing.assert_array_equal(drawn[:, :4], np.broadcast_to(IMAGE[:4], drawn[:, :4].shape))
    assert len(model.seen) == 6 * resample
    assert len(set(model.noise_indices)) == len(model.noise_indices)
    for row, (signal, noise) in enumerate(levels(process, plan)[:-1]):
        for x in model.seen[row * resample : (row + 1) * resample]:
            assert abs((x[:, :4] - signal * to_unit(IMAGE[:4])).std() - noise) < 0.02 * noise + 1e-3
            assert abs((x[:, 4:] + signal * to_unit(IMAGE[4:])).std() - noise) < 0.03 * noise + 1e-3


@pytest.mark.parametrize("name", ["unconditional", "flow"])
def test_known_pixels_stay_and_the_rest_depends_on_the_seed_alone(name, family, request):
    exported = family(name) if name == "flow" else request.getfixturevalue(name)
    model = Model.open(exported.onnx)

    def sample(seed, index):
        return inpaint(
            model, IMAGE, LOWER, model.plan(steps=5), seed=seed, index=np.array(index), resample=2,
            label=np.zeros(len(index), int) if model.classes else None,
        )  # fmt: skip

    images = sample(0, [0, 1])
    np.testing.assert_array_equal(images[:, :4], np.stack([IMAGE[:4]] * 2))
    assert (images[0, 4:] != images[1, 4:]).mean() > 0.3
    assert (sample(1, [0])[0, 4:] != images[0, 4:]).mean() > 0.3
    assert np.abs(sample(0, [1])[0].astype(int) - images[1]).max() <= 1  # in a batch or alone
