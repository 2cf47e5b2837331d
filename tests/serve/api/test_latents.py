"""The API's latents: walks, reconstructions, scores, inpainting and the map, as the latent tools give them."""

import io

import numpy as np
import pytest
from golden import calls
from PIL import Image
from servers import inside, pixels

from jaxgen import shipped
from jaxgen.images import png_pixels
from jaxgen.inference import sheets
from jaxgen.inference.verify import same_images
from jaxgen.latent.anomaly import score
from jaxgen.latent.interpolation import plane as plane_of_latents, spherical
from jaxgen.latent.spaces import open_space
from jaxgen.sampling.prng import image_noise
from jaxgen_serve.settings import Settings


def png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array).save(buffer, "PNG")
    return buffer.getvalue()


def digit() -> np.ndarray:
    """uint8 [8, 8, 1]: something that is no constant."""
    return (np.arange(64).reshape(8, 8, 1) * 4).astype(np.uint8)


def test_interpolation_walks_the_arc_between_the_images_of_two_seeds(client, loaded):
    body = {"model": "vae", "seeds": [1, 2], "indices": [0, 4], "frames": 6, "labels": [2, 0]}
    walk = client.post("/interpolate", json=body).json()
    a, b = (image_noise(np.array([seed]), np.array([index]), 0, (3,))[0] for seed, index in ((1, 0), (2, 4)))
    codes = spherical(a, b, np.linspace(0, 1, 6))
    labels = np.array([2, 2, 2, 0, 0, 0])  # the class of the nearer end
    want, _ = loaded("vae").sample(np.zeros(6, int), np.arange(6), label=labels, latent=codes)
    assert np.array_equal([pixels(frame["image"]) for frame in walk["images"]], want)
    ends = [client.post("/generate", json={"model": "vae", "seed": s, "index": i, "label": c}).json()
            for s, i, c in ((1, 0, 2), (2, 4, 0))]  # fmt: skip
    assert same_images(want[[0, -1]], np.array([pixels(end["image"]) for end in ends]))


def test_interpolation_of_a_model_with_a_plan_ends_at_what_it_samples(client):
    plan = {"sampler": "dpmpp-2m", "steps": 4, "guidance": 2.0}
    walk = client.post("/interpolate", json={"model": "classes", "seeds": [1, 2], "frames": 3, "label": 1, **plan})
    for seed, frame in ((1, 0), (2, -1)):
        alone = client.post("/generate", json={"model": "classes", "seed": seed, "label": 1, **plan}).json()
        assert same_images(pixels(walk.json()["images"][frame]["image"]), pixels(alone["image"]))


def test_interpolation_is_a_gif_that_goes_there_and_back(client):
    body = {"model": "plane", "latents": [[-1, 0], [1, 0], [1, 1]], "frames": 4, "path": "linear"}
    answer = client.post("/interpolate?format=gif", json=body)
    assert answer.headers["content-type"] == "image/gif"
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.n_frames in (12, 14)  # two equal frames in a row, where segments meet, may become one
        first, last = (np.asarray((image.seek(i), image.convert("L"))[1]) for i in (1, image.n_frames - 1))
        assert np.array_equal(first, last)


def test_reconstruction_and_score_are_those_of_the_latent_commands(client, shelf):
    codes, image = open_space(shelf / "vae.onnx").codes(), digit()
    latent = codes.encode(image[None], None)
    again = codes.decode(latent, np.array([1]))[0]
    want = score(codes, image[None], np.array([1]))
    sent = {"data": {"model": "vae", "label": "1"}, "files": {"file": ("it.png", png(image))}}
    found = client.post("/reconstruct", **sent).json()
    assert np.array_equal(pixels(found["original"]), image) and np.array_equal(pixels(found["reconstruction"]), again)
    assert found["latent"] == pytest.approx(latent[0].tolist(), rel=1e-5)
    scored = client.post("/anomaly", **sent).json()
    assert np.array_equal(pixels(scored["reconstruction"]), again)
    assert scored["kl"] == pytest.approx(want.kl[0], rel=1e-5)
    assert scored["score"] == pytest.approx(scored["kl"] + scored["reconstruction_nats"], rel=1e-6)
    assert scored["score"] == pytest.approx(want.total[0], rel=1e-5)
    assert pixels(scored["heat"]).shape == (8, 8, 3)
    own, _ = codes.model.sample(np.zeros(64, int), np.arange(64), label=np.ones(64, int))
    usual = np.sort(score(codes, own, np.ones(64, int)).total)  # of which the middle nine tenths are meant
    assert usual[2] < scored["usual"][0] < usual[5] and usual[58] < scored["usual"][1] < usual[61]


def test_encoder_that_takes_the_class_gets_that_of_the_request(family, tmp_path):
    path, image = family("vae-label").onnx, digit()
    codes, label = open_space(path).codes(), np.array([2])
    sent = {"file": ("it.png", png(image))}
    with inside(Settings(data=tmp_path), path) as client:
        made, scored = (
            client.post(what, data={"label": "bee"}, files=sent).json() for what in ("/reconstruct", "/anomaly")
        )
        unnamed = client.post("/reconstruct", files=sent)
        unknown = client.post("/reconstruct", data={"label": "9"}, files=sent)
    latent = codes.encode(image[None], label)
    assert made["latent"] == pytest.approx(latent[0].tolist(), rel=1e-5)
    assert np.array_equal(pixels(made["reconstruction"]), codes.decode(latent, label)[0])
    assert scored["score"] == pytest.approx(score(codes, image[None], label).total[0], rel=1e-5)
    assert unnamed.status_code == 400 and "needs the image's class (0 to 2: ant, 2, bee)" in unnamed.json()["detail"]
    assert unknown.status_code == 400 and "label must be a class" in unknown.json()["detail"]


def test_classifier_that_comes_with_jaxgen_reads_a_digit(client, shelf, tmp_path):
    seven = np.zeros((28, 28), np.uint8)
    seven[5:8, 6:21] = 255
    for row in range(8, 24):  # the stem, leaning
        seven[row, 20 - (row - 8) // 2 - 2 : 20 - (row - 8) // 2 + 1] = 255
    buffer = io.BytesIO()
    Image.fromarray(seven).resize((280, 280)).save(buffer, "PNG")
    sent = {"files": {"file": ("it.png", buffer.getvalue())}}
    with inside(Settings(data=tmp_path), shipped.model("cvae-mnist")) as own:
        assert own.get("/models").json()["models"][0]["classifier"] == [str(n) for n in range(10)]
        found = own.post("/classify", **sent).json()
        file = own.get("/model-file?part=classifier")
        encoder = own.get("/model-file?part=encoder").content
    assert found["class_name"] == "7" == max(found["probabilities"], key=found["probabilities"].get)
    assert sum(found["probabilities"].values()) == pytest.approx(1)
    assert list(found["probabilities"]) == [str(n) for n in range(10)]
    assert file.content == shipped.extractor("mnist").read_bytes()
    assert encoder == shipped.model("cvae-mnist").with_suffix(".encoder.onnx").read_bytes()
    assert {one["name"]: one["classifier"] for one in client.get("/models").json()["models"]}["classes"] is None
    none = client.post("/classify", data={"model": "classes"}, files={"file": ("it.png", png(digit()))})
    assert none.status_code == 400 and "no classifier comes with jaxgen" in none.json()["detail"]
    none = client.get("/model-file?model=classes&part=encoder")
    assert none.status_code == 400 and "classes has no encoder" in none.json()["detail"]


def test_uploaded_image_of_another_size_kind_and_colour_is_made_to_measure(client):
    large = np.kron(digit()[..., 0], np.ones((4, 4), np.uint8))
    buffer = io.BytesIO()
    Image.fromarray(large).convert("RGB").save(buffer, "WEBP", lossless=True)
    found = client.post("/reconstruct", data={"model": "plane"}, files={"file": ("it.webp", buffer.getvalue())}).json()
    assert np.array_equal(pixels(found["original"]), digit())


def test_inpainting_keeps_what_is_known_and_samples_the_rest(client):
    image = np.repeat(digit(), 3, axis=-1)
    half = np.zeros((8, 8, 1), np.uint8)
    half[4:] = 255
    form = {"model": "classes", "steps": "4", "seed": "3", "num_images": "2", "label": "bee"}
    by_name = client.post("/inpaint", data={**form, "mask": "bottom"}, files={"file": ("a", png(image))}).json()
    files = {"file": ("a", png(image)), "mask_file": ("b", png(half))}
    by_image = client.post("/inpaint", data=form, files=files).json()
    drawn = np.array([pixels(one["image"]) for one in by_name["images"]])
    assert np.array_equal(drawn, [pixels(one["image"]) for one in by_image["images"]])
    assert (drawn[:, :4] == image[:4]).all() and (drawn[:, 4:] != image[4:]).mean() > 0.5
    assert not np.array_equal(drawn[0], drawn[1])


def test_latent_map_shows_the_plane(client, loaded):
    answer = client.get("/latent-map?model=plane&size=4")
    codes = plane_of_latents(4)
    want, _ = loaded("plane").sample(np.zeros(16, int), np.arange(16), latent=codes)
    rows = want.reshape(4, 4, 8, 8).swapaxes(1, 2).reshape(32, 32, 1)
    assert np.array_equal(png_pixels(answer.content, "map"), rows)
    assert float(answer.headers["x-jaxgen-reach"]) == pytest.approx(float(codes.max()), abs=1e-5)


@pytest.fixture
def gan(restamped, tmp_path):
    """walked(format, frames, untrained): the answer of a server to a walk of a GAN."""

    def walked(format: str, frames: int, *, untrained: bool = False):
        path = restamped(
            calls.HERE / "format2/gan.onnx", manifest=lambda entries: entries["training"].update(untrained=untrained)
        )
        body = {"seeds": [1, 2, 3], "frames": frames, "label": 0}
        with inside(Settings(data=tmp_path), path) as client:
            return client.post(f"/interpolate?format={format}", json=body, headers={"Accept": "image/*, image/png"})

    return walked


@pytest.mark.parametrize("format", ["grid", "gif"])
def test_walk_of_an_untrained_model_says_so_above_its_images(format, gan):
    trained, untrained = (
        np.asarray(Image.open(io.BytesIO(gan(format, 8, untrained=untrained).content)).convert("L"))
        for untrained in (False, True)
    )
    strip = untrained[: untrained.shape[0] - trained.shape[0]]
    assert len(strip) > 8 and strip.min() < 60 and strip.max() == 255
    assert np.array_equal(untrained[len(strip) :, : trained.shape[1]], trained)


def test_walk_that_no_sheet_holds_is_refused_before_it_is_sampled(gan, monkeypatch):
    monkeypatch.setattr(sheets, "MAX_IMAGES", 15)
    assert gan("grid", 7).status_code == gan("list", 8).status_code == gan("gif", 8).status_code == 200
    refused = gan("grid", 8)
    assert (refused.status_code, "holds at most 15 images, got 16; ask for list" in refused.text) == (400, True)
