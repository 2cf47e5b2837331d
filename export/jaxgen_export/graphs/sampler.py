"""The exported sampler in ONNX's text syntax, read from top to bottom; `Network` stands for the denoiser.

The graph does what `jaxgen.sampling.prng` and `jaxgen.sampling.plan` do in NumPy, and uses their names. The
functions are inlined before the file is written, since a jaxgen file holds ONNX's own operators alone.
"""

from __future__ import annotations

import math
from string import Template

from jaxgen_export.graphs.common import HEAD, KEYS, PIXELS, constants, dimensions, sampler_constants
from jaxgen_export.graphs.noise import noise_functions


def sampler_text(shape: tuple[int, int, int], guidance: float | None) -> str:
    """The whole model as text: the contract's inputs and outputs, noise, the loop over the plan, uint8 images.

    shape: (H, W, C) of an image; guidance: the default of a conditional model, None for an unconditional one.
    """
    label_inputs, defaults, network = "", "", _PLAIN
    named = constants(go="bool {1}", silence="float[1] {0}", two="int64[1] {2}")
    if guidance is not None:
        label_inputs, network = "int64[N] label, float guidance, ", _GUIDED
        defaults = f"<float guidance = {{{guidance!r}}}>"
        named += "\n    " + constants(last="int64[1] {-1}")
    return _SAMPLER.substitute(
        head=HEAD, image=dimensions(shape), shared=sampler_constants(shape, math.prod(shape)), constants=named,
        keys=KEYS, network=network, pixels=PIXELS, functions=noise_functions(), label_inputs=label_inputs,
        defaults=defaults,
    )  # fmt: skip


# $image is "H,W,C"; what else starts with a dollar depends on the model or is made below.
_SAMPLER = Template("""
$head
sampler (int64[N] seed, int64[N] index, ${label_inputs}float[S,9] plan, float[2,M,$image] state)
    => (uint8[N,$image] images, float[2,N,$image] state_out) $defaults
{
    $shared
    $constants

    $keys

    # Start from noise 0 or from the given state: its images, N or none, come before the sampled noise, and the first N
    # of both count. An `If` would avoid the unneeded noise, but several runtimes and tools cannot run one here.
    # Between the rows images are flat, [N, pixels]: onnxruntime takes fifty times longer to scale a tensor whose last
    # dimension is a single channel.
    x_noise = jaxgen.Normal (key0, key1, none, counter)
    noise_shape = Shape (x_noise)
    x0_noise = ConstantOfShape (noise_shape)
    x_given = Gather <axis = 0> (state, i0)
    x0_given = Gather <axis = 0> (state, i1)
    x_flat = Reshape (x_given, flat)
    x0_flat = Reshape (x0_given, flat)
    x_all = Concat <axis = 0> (x_flat, x_noise)
    x0_all = Concat <axis = 0> (x0_flat, x0_noise)
    x_start = Slice (x_all, zero, count)
    x0_start = Slice (x0_all, zero, count)

    # The loop of jaxgen.sampling.plan.run.
    plan_shape = Shape (plan)
    rows = Gather (plan_shape, i0)
    x_end, x0_end = Loop (rows, go, x_start, x0_start) <
        body = row (int64 row_number, bool going, float[N,P] x, float[N,P] x0_prev)
            => (bool going_on, float[N,P] x_next, float[N,P] x0)
        {
            going_on = Identity (going)
            plan_row = Gather <axis = 0> (plan, row_number)
            t, x0_x, x0_out, clip, to_x, to_x0, to_x0_prev, to_noise, noise_index =
                Split <axis = 0, num_outputs = 9> (plan_row)
            x_image = Reshape (x, shape)
            $network
            kept = Mul (x0_x, x)
            predicted = Mul (x0_out, out)
            unclipped = Add (kept, predicted)
            floor = Neg (clip)
            raised = Max (unclipped, floor)
            x0 = Min (raised, clip)
            from_x = Mul (to_x, x)
            from_x0 = Mul (to_x0, x0)
            from_x0_prev = Mul (to_x0_prev, x0_prev)
            sum_x = Add (from_x, from_x0)
            x_quiet = Add (sum_x, from_x0_prev)
            quiet_column = Equal (to_noise, silence)
            quiet = Squeeze (quiet_column)
            x_next = If (quiet) <
                then_branch = no_noise () => (x_same) { x_same = Identity (x_quiet) },
                else_branch = with_noise () => (x_noisy) {
                    noise_word = Cast <to = 12> (noise_index)
                    noise = jaxgen.Normal (key0, key1, noise_word, counter)
                    scaled = Mul (to_noise, noise)
                    x_noisy = Add (x_quiet, scaled)
                }
            >
        }
    >

    $pixels
    both_ends = Concat <axis = 0> (x_end, x0_end)
    state_shape = Concat <axis = 0> (two, shape)
    state_out = Reshape (both_ends, state_shape)
}
$functions
""")

_PLAIN = """times = Expand (t, count)
            out_image = jaxgen.Network (x_image, times)
            out = Reshape (out_image, flat)"""

# Guidance: the network gets each image with its label and, where guidance is not 1, once more without. `extra` is
# N or 0; where it is 0 the prediction with the label stands in for the one without.
_GUIDED = """one_scale = Equal (guidance, unit)
            zero_count = Sub (count, count)
            extra = Where (one_scale, zero_count, count)
            x_extra = Slice (x_image, zero, extra)
            x_both = Concat <axis = 0> (x_image, x_extra)
            no_label = Expand (last, extra)
            label_both = Concat <axis = 0> (label, no_label)
            both = Add (count, extra)
            times = Expand (t, both)
            out_image = jaxgen.Network (x_both, times, label_both)
            out_both = Reshape (out_image, flat)
            with_label = Slice (out_both, zero, count)
            second = Slice (out_both, count, both)
            candidates = Concat <axis = 0> (second, with_label)
            without_label = Slice (candidates, zero, count)
            away = Sub (with_label, without_label)
            push = Mul (guidance, away)
            out = Add (without_label, push)"""
