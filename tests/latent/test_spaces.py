"""Latents of real files: the same images as `sample` gives, and refusals in one line."""

from dataclasses import replace

import numpy as np
import pytest
from later import FORMAT_2

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.inference.verify import compare_images
from jaxgen.latent.inputs import Images
from jaxgen.latent.interpolation import (
    between_images,
    between_seeds,
    laid_out,
    spherical,
    start,
    strongest,
    traversal,
)
from jaxgen.latent.spaces import open_space
from jaxgen.sampling import sampler_spec
from jaxgen.sampling.process import Diffusion
from jaxgen.sampling.sampler_spec import SamplerSpec


def some(space, count=2):
    return np.random.default_rng(0).integers(0, 256, (count, *space.model.shape), dtype=np.uint8)


@pytest.mark.parametrize("name", ["vae", "gan", "gan-unconditional", "flow"])
def test_walk_between_seeds_starts_and_ends_with_their_samples(name, family):
    space = open_space(family(name).onnx)
    labels = space.labels(2, None)
    walked = between_seeds(space, [5, 6], 2, 3, spherical, labels)
    assert walked.shape == (2, 1, 3, *space.model.shape)
    index = np.arange(2)
    for seed, at in ((5, 0), (6, -1)):
        want, _ = space.model.sample(np.full(2, seed), index, label=labels)
        assert compare_images(walked[:, 0, at], want)["off_by"] <= 1


def test_codes_are_the_means_that_jax_gives(family):
    import jax.numpy as jnp

    from jaxgen.images import to_unit
    from jaxgen.models import network

    vae = family("vae")
    space = open_space(vae.onnx)
    images = some(space, 70)  # more than a batch
    want, _ = network.build(vae.config).apply(vae.params, jnp.asarray(to_unit(images)), method="encode")
    np.testing.assert_allclose(space.encode(images, None), want, atol=1e-4)


def test_codes_of_an_encoder_that_takes_the_class_are_those_that_jax_gives(family):
    import jax.numpy as jnp

    from jaxgen.images import to_unit
    from jaxgen.models import network

    vae = family("vae-label")
    space = open_space(vae.onnx)
    images, label = some(space, 70), np.arange(70) % 3  # more than a batch
    want, _ = network.build(vae.config).apply(vae.params, jnp.asarray(to_unit(images)), label, method="encode")
    np.testing.assert_allclose(space.encode(images, label), want, atol=1e-4)
    assert np.abs(space.encode(images, (label + 1) % 3) - want).max() > 1e-2
    with pytest.raises(UsageError, match="takes the class of each image besides the image"):
        space.encode(images, None)


def test_images_are_encoded_by_the_classes_between_which_they_walk(family):
    space = open_space(family("vae-label").onnx)
    images, label = some(space), np.array([0, 2])
    walked = between_images(space, images, 4, spherical, label)[0, 0]
    np.testing.assert_array_equal(walked[[0, -1]], space.decode(space.encode(images, label), label))


def test_traversal_of_an_image_starts_from_its_code_for_its_class(family):
    codes = open_space(family("vae-label").onnx).codes()
    images = Images(images=some(codes, 1), labels=np.array([1]), names=["a"], classes=("ant", "2", "bee"))
    label = codes.labels(1, None, images)
    np.testing.assert_array_equal(start(codes, images, None, label), codes.encode(images.images, np.array([1]))[0])


def test_class_changes_halfway_between_images(family):
    space = open_space(family("vae").onnx)
    images = some(space)
    walked = between_images(space, images, 4, spherical, np.array([0, 2]))[0, 0]
    codes = space.encode(images, None)
    ways = spherical(codes[0], codes[1], np.linspace(0, 1, 4))
    np.testing.assert_array_equal(walked, space.decode(ways, np.array([0, 0, 2, 2])))
    with pytest.raises(UsageError, match="needs two or more images, got 1"):
        between_images(space, images[:1], 4, spherical, np.array([0]))


def test_traversal_is_still_where_the_dimension_has_its_own_value(family):
    codes = open_space(family("gan-unconditional").onnx).codes()
    code = codes.of_seed(3, np.array([0]))[0]
    rows = traversal(codes, code, [0, 6], abs(float(code[6])), 3, None)
    end = -1 if code[6] > 0 else 0
    np.testing.assert_array_equal(rows[1, end], codes.decode(code[None], None)[0])
    assert (rows[0, 0] != rows[0, -1]).any()


class Weighted:
    """Codes of four dimensions, the i-th of which lights pixel i: 0, 60, 20 and 40 a unit, from 128."""

    shape = (4,)

    def decode(self, latents, label):
        assert label is None
        return (128 + latents * [0, 60, -20, 40]).astype(np.uint8).reshape(-1, 2, 2, 1)


def test_strongest_dimensions_come_first():
    assert strongest(Weighted(), np.zeros(4, np.float32), 2.0, None) == [1, 3, 2, 0]


def test_settings_are_those_of_the_requested_plan(family, conditional):
    assert open_space(family("vae").onnx).settings == {}
    found = open_space(conditional.onnx, exact=True, refine=2, steps=4).settings
    assert found == {"sampler": "ddim", "steps": 4, "refine": 2, "guidance": 1}
    assert open_space(conditional.onnx).settings["guidance"] == 1.5  # the file's


def test_gif_shows_segments_one_after_another():
    walks = np.arange(12, dtype=np.uint8).reshape(2, 2, 3, 1, 1, 1)
    from pathlib import Path

    assert laid_out(walks, Path("a.gif"))[..., 0, 0, 0].tolist() == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]
    assert laid_out(walks, Path("a.png"))[..., 0, 0, 0].tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]


def test_labels_are_given_taken_from_the_images_or_none(family, conditional, unconditional):
    vae, flow = open_space(family("vae").onnx), open_space(family("flow").onnx)
    arrays = some(vae)
    bare = Images(images=arrays, labels=np.full(2, -1), names=["a", "b"])
    named = Images(images=arrays, labels=np.array([2, 0]), names=["a", "b"], classes=("ant", "2", "bee"))
    other = Images(images=arrays, labels=np.array([2, 0]), names=["a", "b"], classes=("x", "y", "z"))
    assert vae.labels(2, "bee", named).tolist() == [2, 2]
    assert vae.labels(2, "bee, 0", bare).tolist() == [2, 0]
    assert vae.labels(2, None, named).tolist() == [2, 0]
    assert vae.labels(4, None).tolist() == [0, 1, 2, 0]
    assert flow.labels(2, None, other).tolist() == [-1, -1]
    assert open_space(unconditional.onnx).labels(2, None, named) is None
    for images in (bare, other):
        with pytest.raises(UsageError, match=r"must be told the images' class \(0 to 2: ant, 2, bee\): give --label"):
            vae.labels(2, None, images)
    with pytest.raises(UsageError, match=r"expected 1 class, or 2, one for each image; got 3: '0,1,0'"):
        vae.labels(2, "0,1,0", bare)
    with pytest.raises(UsageError, match="label must be a class"):
        vae.labels(2, "0,", bare)
    with pytest.raises(UsageError, match="unconditional"):
        open_space(unconditional.onnx).labels(2, "bee")


def test_name_with_a_comma_is_one_class(family, restamped):
    def change(entries):
        entries["inference"]["classes"] = ["ant, winged", "2", "bee"]

    space = open_space(restamped(family("vae").onnx, manifest=change))
    assert space.labels(2, "ant, winged").tolist() == [0, 0]


def test_classes_are_required_only_where_the_way_back_needs_them(family, conditional):
    vae, ddpm = open_space(family("vae").onnx), open_space(conditional.onnx)
    images = Images(images=some(vae), labels=np.array([1, 0]), names=["a", "b"], classes=tuple(ddpm.model.classes))
    assert vae.labels_to_encode(images, None) is None
    assert vae.labels_to_encode(images, "bee").tolist() == [2, 2]
    with pytest.raises(UsageError, match="wasp"):
        vae.labels_to_encode(images, "wasp")
    assert ddpm.labels_to_encode(images, None).tolist() == [1, 0]


def test_classes_are_required_where_the_encoder_takes_them(family):
    vae = open_space(family("vae-label").onnx)
    images = Images(images=some(vae), labels=np.array([1, 0]), names=["a", "b"], classes=("ant", "2", "bee"))
    assert vae.labels_to_encode(images, None).tolist() == [1, 0]
    assert vae.labels_to_encode(images, "bee,ant").tolist() == [2, 0]
    for bare in (replace(images, labels=np.array([1, -1])), replace(images, classes=("x", "y", "z"))):
        with pytest.raises(UsageError, match=r"must be told the images' class \(0 to 2: ant, 2, bee\): give --label"):
            vae.labels_to_encode(bare, None)


def test_encoder_of_other_weights_is_refused(family):
    with pytest.raises(JaxgenError, match=r"is not the encoder of .*: their weights differ"):
        open_space(family("vae").onnx, encoder=family("vae-convolutional").encoder)
    with pytest.raises(JaxgenError, match="expected an encoder, got a classifier"):
        open_space(family("vae").onnx, encoder=family("classifier").onnx)


def test_model_without_an_encoder_says_so(family):
    space = open_space(family("gan").onnx)
    with pytest.raises(UsageError, match=r"has no encoder .*, so it cannot encode images"):
        space.encode(some(space), None)


def test_what_a_model_does_not_have_is_refused(family, unconditional):
    with pytest.raises(UsageError, match="no plan, steps or guidance"):
        open_space(family("vae").onnx, steps=4)
    with pytest.raises(UsageError, match="takes no --encoder"):
        open_space(unconditional.onnx, encoder=family("vae").encoder)
    with pytest.raises(UsageError, match="this needs short codes"):
        open_space(unconditional.onnx).codes()
    with pytest.raises(UsageError, match="needs a model that samples by a plan"):
        open_space(family("vae").onnx).noises()


def test_guidance_of_images_is_1_by_default(conditional):
    assert open_space(conditional.onnx, exact=True).guidance == 1
    assert open_space(conditional.onnx, exact=True, guidance=2.5).guidance == 2.5
    assert open_space(conditional.onnx).guidance is None  # the file's own


def test_process_without_a_reversible_sampler_has_no_latents(monkeypatch):
    kind = sampler_spec.KINDS[Diffusion]
    noisy = replace(kind, named=lambda process: [SamplerSpec("ancestral", process.steps), SamplerSpec("dpmpp-2m", 4)])
    monkeypatch.setitem(sampler_spec.KINDS, Diffusion, noisy)
    with pytest.raises(UsageError, match="none of its samplers can be run backwards"):
        open_space(FORMAT_2 / "ddpm.onnx")
