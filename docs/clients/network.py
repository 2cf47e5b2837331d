"""Sample with the network alone: noise and plan are NumPy, and the network may run anywhere; here it is onnxruntime.

    jaxgen export runs/mine -o model.onnx --network net.onnx
    python docs/clients/network.py net.onnx images.npy

The images, uint8 [4, H, W, C] or as many as the file's batch, are those that the whole file gives for seed 7, with the
file's own plan, guidance 1 and one class after the other. `jaxgen.inference.network.sample_with` does the same with
guidance.
"""

import base64
import json
import sys

import numpy as np
import onnxruntime

from jaxgen.sampling.prng import image_noise  # JAX's random numbers in NumPy

session = onnxruntime.InferenceSession(sys.argv[1])
manifest = json.loads(session.get_modelmeta().custom_metadata_map["jaxgen"])
model = manifest["inference"]
seed, index = 7, np.arange(model.get("batch", 4))
label = {"label": index % len(model["classes"])} if model["classes"] else {}


def noise(number):
    return image_noise(seed, index, number, tuple(model["noise_shape"]))


if model["process"] is None:  # VAE and GAN: one evaluation
    (x,) = session.run(None, {"z": noise(0), **label})
else:
    table = manifest["plans"]["default"]["table"]
    x, x0_before = noise(0), 0
    for row in np.frombuffer(base64.b64decode(table), "<f4").reshape(-1, 9):
        t, x0_x, x0_out, clip, to_x, to_x0, to_x0_before, to_noise, number = row
        (out,) = session.run(None, {"x": x, "t": np.full(len(x), t), **label})
        x0 = np.clip(x0_x * x + x0_out * out, -clip, clip)
        x = to_x * x + to_x0 * x0 + to_x0_before * x0_before
        x = x + to_noise * noise(int(number)) if to_noise else x
        x0_before = x0
np.save(sys.argv[2], np.rint((np.clip(x, -1, 1) + 1) * np.float32(127.5)).astype(np.uint8))
