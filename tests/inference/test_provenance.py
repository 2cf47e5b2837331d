"""One record of how an image was made, in the words of a PNG, of the API and of a file's name."""

from dataclasses import replace

from jaxgen.inference.provenance import LatentProvenance, Provenance
from jaxgen.sampling.process import SamplerSpec

MADE = Provenance(model="ab" * 32, seed=7, index=12, label=3, guidance=2.0, plan=SamplerSpec("ddim", 50, 0.5))


def test_png_and_api_say_the_same_in_their_own_words():
    assert MADE.record() == {
        "model": "ab" * 32, "seed": 7, "index": 12, "count": 1, "label": 3, "guidance": 2.0,
        "plan": {"sampler": "ddim", "steps": 50, "eta": 0.5},
    }  # fmt: skip
    assert MADE.fields() == {
        "sha256": "ab" * 32, "seed": 7, "index": 12, "label": 3, "guidance": 2.0, "sampler": "ddim", "steps": 50,
        "eta": 0.5, "untrained": False, "latent": None,
    }  # fmt: skip


def test_image_of_no_class_no_plan_and_fresh_weights():
    bare = Provenance(model="cd" * 32, seed=0, untrained=True)
    assert (bare.record()["label"], bare.record()["plan"], bare.record()["untrained"]) == (-1, None, True)
    fields = bare.fields()
    assert (fields["label"], fields["sampler"], fields["steps"], fields["eta"]) == (None, None, None, None)


def test_image_of_a_latent_has_no_seed():
    decoded = replace(MADE, seed=None, latent=(0.5, -1.0))
    assert decoded.record() == {"model": "ab" * 32, "label": 3, "latent": [0.5, -1.0]}
    assert decoded.fields()["seed"] is None and decoded.fields()["latent"] == [0.5, -1.0]


def test_file_is_named_by_what_tells_the_image_from_others():
    assert MADE.file_name == "seed7-000012-class3.png"
    assert replace(MADE, label=-1, untrained=True).file_name == "untrained-seed7-000012.png"
    assert replace(MADE, seed=None, latent=(0.0,), index=0).file_name == "latent-000000-class3.png"
    assert replace(MADE, untrained=True).batch_name("a-run/tiny", ".zip") == "untrained-a-run-tiny-seed7.zip"


def test_latent_tool_leaves_out_what_it_was_not_asked():
    made = LatentProvenance(model="ab" * 32, command="map", settings={"side": 20, "label": None})
    assert made.record() == {"model": "ab" * 32, "latent": "map", "side": 20}
