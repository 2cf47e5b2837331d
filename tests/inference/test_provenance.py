"""One record of how an image was made, in the words of a PNG, of the API and of a file's name."""

from dataclasses import replace

import numpy as np
import pytest

from jaxgen.errors import JaxgenError
from jaxgen.images import save_png
from jaxgen.inference.provenance import (
    LatentProvenance,
    Provenance,
    provenance_text,
    read_provenance,
    require_replayable,
)
from jaxgen.sampling.sampler_spec import SamplerSpec

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


def test_palette_is_recorded_where_there_is_one():
    assert "palette" not in MADE.record()
    assert replace(MADE, palette=("#638596",)).record()["palette"] == ["#638596"]


def test_image_of_a_latent_has_no_seed():
    decoded = replace(MADE, seed=None, latent=(0.5, -1.0))
    assert decoded.record() == {"model": "ab" * 32, "label": 3, "latent": [0.5, -1.0]}
    assert decoded.fields()["seed"] is None and decoded.fields()["latent"] == [0.5, -1.0]


def test_file_is_named_by_what_distinguishes_the_image():
    assert MADE.file_name == "seed7-000012-class3.png"
    assert replace(MADE, label=-1, untrained=True).file_name == "untrained-seed7-000012.png"
    assert replace(MADE, seed=None, latent=(0.0,), index=0).file_name == "latent-000000-class3.png"
    assert replace(MADE, untrained=True).batch_name("a-run/tiny", ".zip") == "untrained-a-run-tiny-seed7.zip"


def test_latent_tool_leaves_out_what_was_not_requested():
    made = LatentProvenance(model="ab" * 32, command="map", settings={"side": 20, "label": None})
    assert made.record() == {"model": "ab" * 32, "command": "map", "side": 20}


@pytest.mark.parametrize(
    ("written", "read", "line"),
    [
        ({"latent": "map", "side": 20}, {"command": "map", "side": 20}, "made by 'jaxgen latent map'"),  # of old
        ({"command": "map", "side": 20}, {"command": "map", "side": 20}, "made by 'jaxgen latent map'"),
        ({"label": 3, "latent": [0.5]}, {"label": 3, "latent": [0.5]}, "made by decoding a latent"),
    ],
)
def test_image_that_no_seed_makes_is_read_in_one_form_and_not_replayed(tmp_path, written, read, line):
    path = tmp_path / "a.png"
    save_png(path, np.zeros((4, 4, 1), np.uint8), provenance_text({"model": "ab" * 32, **written}))
    provenance = read_provenance(path)
    assert provenance == {"model": "ab" * 32, **read}
    with pytest.raises(JaxgenError, match=f"{line}, which replay does not repeat"):
        require_replayable(provenance, "a.png")


def test_sampled_image_is_replayed():
    require_replayable(MADE.record(), "a.png")
