"""The cores of a CPU as JAX's devices, in processes of their own: a process chooses its devices once."""

import os
import subprocess
import sys

import pytest

COUNT = """
import os, sys
os.sched_getaffinity = lambda pid: set(range(4))  # a machine of four cores
from jaxgen.training.distributed import spread_over_cores
spread_over_cores(int(sys.argv[1]))
import jax
print(jax.device_count())
"""


@pytest.mark.parametrize(
    "batch_size, more, expected",
    [
        (64, {}, 4),
        (50, {}, 2),  # three cores with 16 images each would leave two images over
        (16, {}, 1),
        (64, {"JAX_NUM_CPU_DEVICES": "3"}, 3),
        (64, {"JAX_COORDINATOR_ADDRESS": "127.0.0.1:1"}, 1),
    ],
)
def test_batch_is_spread_over_the_cores_that_divide_it(batch_size, more, expected):
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"} | more
    command = [sys.executable, "-c", COUNT, str(batch_size)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert int(done.stdout) == expected
