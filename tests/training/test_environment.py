"""What is compiled once is kept for the next command."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import jax
from jaxgen.training.environment import keep_compiled
keep_compiled()
jax.jit(lambda x: x * 2 + 1)(1.0)
"""


@pytest.mark.parametrize(
    ("extra", "where"),
    [
        ({}, "home/jaxgen/xla"),
        ({"JAX_COMPILATION_CACHE_DIR": "chosen"}, "chosen"),
        ({"JAX_ENABLE_COMPILATION_CACHE": "0"}, None),
    ],
)
def test_programs_are_kept_in_the_users_cache_or_where_jax_is_configured_to(tmp_path, extra, where):
    unset = ("JAX_COMPILATION_CACHE_DIR", "XLA_FLAGS")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    environment |= {"XDG_CACHE_HOME": "home", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", **extra}
    subprocess.run([sys.executable, "-c", PROGRAM], env=environment, cwd=tmp_path, check=True)
    kept = {path.parent.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*-cache")}
    assert kept == ({where} if where else set())
