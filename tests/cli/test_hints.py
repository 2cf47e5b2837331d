"""Hints that lead on: where a person is told to do something, it is what helps."""

import os
import socket
import subprocess
import sys

import pytest

from jaxgen.errors import MissingExtra, extra, nearest


@pytest.mark.parametrize(
    "arguments",
    [
        ("sample", "http://example.org/model.onnx"), ("info", "https://example.org/a.png"), ("verify", "s3://bucket/m"),
        ("serve", "http://example.org/model.onnx"), ("eval", "http://example.org/m.onnx", "--dataset", "digits"),
        ("latent", "reconstruct", "cvae-digits", "http://example.org/seven.png"), ("plot", "http://example.org/run"),
        ("replay", "http://example.org/a.png", "--model", "cvae-digits"),
        ("train", "--config", "http://example.org/my.toml"),
    ],
    ids=lambda words: words[0],
)  # fmt: skip
def test_address_is_shown_as_it_was_typed(refused, arguments):
    (address,) = (word for word in arguments if "://" in word)
    assert refused(2, *arguments) == f"{address}: jaxgen reads files, and this is an address; download it first"


@pytest.mark.parametrize("host", ["nowhere.invalid", "999.1.1.1", "192.0.2.7"])
@pytest.mark.parametrize("command_name", ["serve", "dashboard"])
def test_host_that_is_not_here_is_no_fault_of_the_port(command, tmp_path, monkeypatch, host, command_name):
    def asked(name, *_, **__):
        if name == "192.0.2.7":  # an address of nobody
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (name, 8765))]
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")  # without asking the network

    monkeypatch.setattr(socket, "getaddrinfo", asked)
    folder = ("--data", tmp_path) if command_name == "serve" else ("--runs", tmp_path)
    outcome = command(command_name, *folder, "--host", host, "--port", 8765)
    last = outcome.err.splitlines()[-1]
    assert outcome.code == 3 and f"cannot listen at {host}, port 8765" in last
    assert "--host takes an address of this machine: 127.0.0.1" in last and "--port" not in last


@pytest.mark.parametrize("name", ["foo.txt", "model.pth", "a.b/c.png"])
@pytest.mark.parametrize("arguments", [("export", "run"), ("tune", "cvae-digits", "--steps", "4"), ("adopt", "m.onnx")])
def test_onnx_file_gets_no_name_of_another_kind(refused, name, arguments):
    assert refused(2, *arguments, "-o", name) == f"-o takes FILE.onnx, got {name!r}: what is written is an ONNX file"


def test_missing_extra_says_what_works_without_a_package_index():
    with pytest.raises(MissingExtra) as caught, extra("train"):
        import no_such_module_of_anybody  # noqa: F401
    assert str(caught.value) == (
        "this needs no_such_module_of_anybody, which is not installed; run in the folder of jaxgen: "
        "pip install -c constraints.txt -e '.[train]'"
    )


@pytest.mark.parametrize("name", ["12", "7"])
def test_number_has_no_nearest_name(name):
    assert nearest(name, ["1", "2", "17", "72"]) == ""


def test_lines_of_xla_stay_away_unless_they_are_asked_for(command, monkeypatch):
    for debug, want in (((), "3"), (("--debug",), None)):
        monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
        command(*debug, "presets")
        assert os.environ.get("TF_CPP_MIN_LOG_LEVEL") == want
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    command("presets")
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0"


@pytest.mark.parametrize("seed", ["-1", str(2**32), "1.5", "ten", "9" * 30])
@pytest.mark.parametrize(
    ("arguments", "is_random"), [(("sample", "cvae-digits"), True), (("tune", "cvae-digits"), False)]
)
def test_seed_that_is_none_is_said_in_words(refused, arguments, is_random, seed):
    line = refused(2, *arguments, "--seed", seed)
    assert f"{seed!r} is no whole number from 0 to 4294967295" in line and ("random" in line) is is_random


FOLDED = """
import sys
from jaxgen.cli import main
sys.argv = ["jaxgen", "presets", "ddpm-mnist"]
try:
    {first}()
except SystemExit:
    pass
import jax, jax.numpy as jnp
jax.jit(lambda: jax.lax.reduce_window(jnp.arange(8000.), 0., jax.lax.add, (8000,), (1,), "SAME"))()
"""  # a constant that takes XLA more than a second to fold, of which it writes ten lines on stderr


@pytest.mark.slow
@pytest.mark.parametrize(("first", "lines"), [("main", False), ("sys.exit", True)])
def test_what_xla_writes_about_a_slow_compilation_is_not_seen(first, lines):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TF_CPP", "JAX_COMP"))}
    done = subprocess.run(
        [sys.executable, "-c", FOLDED.format(first=first)], env=environment, capture_output=True, text=True, check=True
    )
    assert ("slow_operation_alarm" in done.stderr) is lines, done.stderr
