"""The decoder inside a model file, against the same weights in JAX, and against the file's own pixels."""

import numpy as np
import onnx
import pytest

from jaxgen.errors import JaxgenError
from jaxgen.inference.decoder import Decoder, with_output
from jaxgen.inference.model import Model
from jaxgen.inference.protobuf import WireError


@pytest.mark.parametrize("name", ["vae", "vae-convolutional"])
def test_decoder_gives_the_means_of_pixels_unrounded(family, name):
    import jax

    from jaxgen.models import network

    made = family(name)
    model = Model.open(made.onnx)
    latents = np.random.default_rng(0).standard_normal((5, *model.noise_shape)).astype(np.float32)
    label = np.arange(5) % len(made.classes) if made.classes else None
    found = Decoder(model)(latents, label)
    given = np.full(5, -1) if label is None else label
    want = jax.nn.sigmoid(network.build(made.config).apply(made.params, latents, given, method="decode"))
    np.testing.assert_allclose(found, np.asarray(want), atol=1e-5)
    assert len(np.unique(found)) > 256
    pixels, _ = model.sample(np.zeros(5, int), np.arange(5), label=label, latent=latents)
    assert np.abs(np.rint(found * 255) - pixels).max() <= 1


def test_file_that_was_rewritten_without_such_a_value_is_refused(family, restamped):
    def rename(proto):
        for node in proto.graph.node:
            for names in (node.input, node.output):
                for at, name in enumerate(names):
                    if name == "out":
                        names[at] = "other"

    model = Model.open(restamped(family("vae-convolutional").onnx, proto=rename))
    with pytest.raises(JaxgenError, match="decoder gives before rounding is not to be found"):
        Decoder(model)


def test_output_is_added_to_the_graph_and_nothing_else_changes(family):
    data = family("vae").onnx.read_bytes()
    before, after = (onnx.load_from_string(each) for each in (data, with_output(data, "out")))
    assert [port.name for port in after.graph.output] == ["images", "out"]
    assert after.graph.output[1].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    del after.graph.output[1]
    assert after == before
    with pytest.raises(WireError, match="expected one graph, got 0"):
        with_output(b"", "out")
