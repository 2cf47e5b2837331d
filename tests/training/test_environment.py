"""What is compiled once is kept for the next command, and what a run's bits depend on is pinned and recorded."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from jaxgen import config as configs
from jaxgen.config import VAE
from jaxgen.models import network as networks
from jaxgen.models.numerics import root_key
from jaxgen.training import environment
from jaxgen.training.environment import changes, describe_environment

ROOT = Path(__file__).parents[2]

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


SMALL = configs.override(VAE(), ["model.latent=2", "model.hidden=[8]"])
NUMBERS = """
import jax
from jaxgen import config as configs
from jaxgen.config import VAE
from jaxgen.models import network
from jaxgen.models.numerics import root_key
config = configs.override(VAE(), ["model.latent=2", "model.hidden=[8]"])
print(network.weights_hash(network.fresh(config, 3)))
print(jax.random.normal(root_key(5), (3,)).tolist(), jax.random.normal(root_key(5), (3,)).dtype)
"""


def test_settings_of_jax_in_the_environment_change_no_weight_and_no_noise():
    other = {"JAX_ENABLE_X64": "1", "JAX_DEFAULT_PRNG_IMPL": "rbg", "JAX_THREEFRY_PARTITIONABLE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", NUMBERS], env=os.environ | other, capture_output=True, text=True, check=True
    )
    noise = jax.random.normal(root_key(5), (3,))
    assert done.stdout.splitlines() == [
        networks.weights_hash(networks.fresh(SMALL, 3)), f"{noise.tolist()} {noise.dtype}"
    ]  # fmt: skip


def test_every_key_is_made_by_the_function_that_names_its_generator():
    made = set()
    for package in ("jaxgen", "export/jaxgen_export", "serve/jaxgen_serve"):
        for file in (ROOT / package).rglob("*.py"):
            calls = [node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.Call)]
            if any(ast.unparse(call.func) in ("jax.random.key", "jax.random.PRNGKey") for call in calls):
                made.add(file.relative_to(ROOT).as_posix())
    assert made == {"jaxgen/models/numerics.py"}


def test_session_records_what_its_bits_depend_on(monkeypatch):
    monkeypatch.setenv("NPROC", "7")
    found = describe_environment()
    assert (found["cpu_threads"], found["backend"]) == (7, "cpu")
    assert found["jax_config"] == {
        "jax_enable_x64": False, "jax_default_prng_impl": "threefry2x32", "jax_threefry_partitionable": True
    }  # fmt: skip
    monkeypatch.setattr(environment, "usable_cores", lambda: 3)
    for text in ("", "many", "0", "-2"):  # XLA reads no number in these
        monkeypatch.setenv("NPROC", text)
        assert describe_environment()["cpu_threads"] == 3


BEFORE = {
    "backend": "cpu", "devices": ["TFRT_CPU_0"], "cpu_threads": 2, "xla_flags": "",
    "jax_config": {"jax_enable_x64": False}, "packages": {"jax": "0.10.2", "grain": "1"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("now", "words"),
    [
        ({}, []),
        ({"packages": {"jax": "0.12.0", "grain": "2"}}, ["jax 0.10.2 -> 0.12.0"]),
        ({"cpu_threads": 1}, ["threads of XLA 2 -> 1"]),
        ({"devices": ["TFRT_CPU_0", "TFRT_CPU_1"]}, ["devices 1 -> 2"]),
        ({"backend": "gpu", "devices": ["cuda:0"], "cpu_threads": 9}, ["backend cpu -> gpu"]),
        ({"jax_config": {"jax_enable_x64": True}}, ["jax_enable_x64 False -> True"]),
        ({"xla_flags": "--x"}, ["XLA_FLAGS '' -> '--x'"]),
    ],
)
def test_differences_between_two_sessions_are_told(now, words):
    assert changes(BEFORE, BEFORE | now) == words
    assert changes({}, BEFORE | now) == []  # of an earlier version, which recorded nothing
