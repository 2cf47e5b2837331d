"""jaxgen dashboard: what it refuses. That it serves is in tests/serve/dashboard/test_browser.py."""

import json
import os
import re
import shlex
import socket
import sys
import tomllib
from pathlib import Path

import pytest

from jaxgen.cli import cli
from jaxgen_serve.dashboard.streamlit_options import OPTIONS

ROOT = Path(__file__).parents[2]
DOCKERFILE, DEPLOY = (ROOT / "Dockerfile").read_text(), (ROOT / "docs/deploy.md").read_text()


def test_dashboard_without_its_extra_names_it(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "streamlit", None)
    assert "pip install -c constraints.txt -e '.[dashboard]'" in refused(4, "dashboard")


def test_dashboard_makes_no_folder_of_runs_in_a_file(refused, tmp_path):
    (tmp_path / "runs").write_text("a file")
    assert "runs" in refused(2, "dashboard")
    assert "cannot be made" in refused(3, "dashboard", "--runs", "runs/inside")


def test_dashboard_refuses_a_port_that_there_is_not(refused):
    assert "--port" in refused(2, "dashboard", "--port", "70000")


def test_dashboard_on_a_port_that_is_taken_says_so_and_nothing_else(refused):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert f"cannot listen at 127.0.0.1, port {port}: Address already in use" in refused(
            3, "dashboard", "--port", str(port)
        )


def test_dashboard_hands_on_the_folder_as_it_was_named(command, monkeypatch):
    handed = []
    monkeypatch.setattr(os, "execve", lambda path, words, environment: handed.append(environment["JAXGEN_RUNS"]))
    for words in ([], ["--runs", "my runs"]):
        assert command("dashboard", *words, "--port", "8599").code == 0
    assert handed == ["runs", "my runs"]


def started() -> list[list[str]]:
    """What the container and the page on deploying start, as words after `jaxgen`."""
    lines = json.loads(re.findall(r"^CMD (.+)$", DOCKERFILE, re.MULTILINE)[-1])
    texts = re.findall(r"jaxgen (?:serve|dashboard) [^`\n]*", DEPLOY)
    return [lines[1:], *(shlex.split(text)[1:] for text in texts if "$" not in text and "` " not in text)]


@pytest.mark.parametrize("words", started(), ids=" ".join)
def test_command_of_the_container_and_of_the_docs_is_understood(words):
    cli.commands[words[0]].make_context(words[0], words[1:])


def test_container_copies_what_there_is():
    for line in re.findall(r"^COPY (.+)$", DOCKERFILE, re.MULTILINE):
        for name in line.split()[:-1]:
            assert (ROOT / name).exists()
            assert f"!{name}" in (ROOT / ".dockerignore").read_text().split()


def test_options_of_the_docs_are_those_of_the_command():
    (text,) = re.findall(r"```toml\n(.*?)```", DEPLOY, re.DOTALL)
    for section, options in tomllib.loads(text).items():
        for name, value in options.items():
            assert OPTIONS[f"{section}.{name}"] == (value if isinstance(value, str) else json.dumps(value))
