"""Help texts: whole, grouped, in words; and what a shell completes."""

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete, get_completion_class

from jaxgen.cli import cli
from jaxgen.cli.help import COMMAND_HEADINGS, HEADINGS
from jaxgen.config.presets import PRESETS, model_names
from jaxgen.sampling.plan import FLOW_SAMPLERS, SAMPLERS
from jaxgen.shipped import models


def everything(group: click.Group, context: click.Context) -> dict[str, tuple[click.Command, click.Context]]:
    """All commands and groups by their words, each with its context."""
    found = {context.command_path: (group, context)}
    for name, command in group.commands.items():
        inner = click.Context(command, parent=context, info_name=name)
        is_group = isinstance(command, click.Group)
        found |= everything(command, inner) if is_group else {inner.command_path: (command, inner)}
    return found


ALL = everything(cli, click.Context(cli, info_name="jaxgen", terminal_width=80, **cli.context_settings))


@pytest.mark.parametrize("words", ALL)
def test_help_has_no_ranges_in_symbols_and_nothing_cut(words):
    command, context = ALL[words]
    text = command.get_help(context)
    assert "<=" not in text and "RANGE" not in text and "4294967295" not in text
    assert not re.search(r"\{\w+\}", text)
    assert max(map(len, re.sub(r"(?ms)^  jaxgen .*?$", "", text).splitlines())) <= 80
    if isinstance(command, click.Group):
        flat = " ".join(text.split())
        for inner in command.commands.values():
            sentence = " ".join(inner.help.partition("\n\n")[0].split()).partition(". ")[0]
            assert sentence.removesuffix(".") in flat, sentence


@pytest.mark.parametrize("words", ALL)
def test_every_option_says_in_words_what_it_does(words):
    command, _ = ALL[words]
    for option in (param for param in command.params if isinstance(param, click.Option)):
        sentence = re.sub(r"\s*\[.*?\]", "", option.help or "").strip()
        assert len(sentence.split()) >= 3 and re.match(r"[A-Z-]|[a-z]+:", sentence) and sentence[-1] in ".:}", (
            option.opts
        )


def test_options_and_commands_stand_under_headings():
    text = cli.commands["sample"].get_help(ALL["jaxgen sample"][1])
    order = [text.index(f"\n{heading}:\n") for heading in ("Model", "Images", "Sampler", "Output", "Runtime")]
    assert order == sorted(order)
    assert text.index("--seed") < text.index("\nSampler:") < text.index("--eta") < text.index("\nOutput:")
    listed = [name for own in COMMAND_HEADINGS.values() for name in own]
    assert sorted(listed) == sorted(cli.commands)
    own = [name for names in HEADINGS.values() for name in names]
    assert len(set(own)) == len(own)
    assert set(own) <= {param.name for command, _ in ALL.values() for param in command.params}


def test_bounds_are_words_and_seeds_have_none():
    lines = " ".join(cli.commands["sample"].get_help(ALL["jaxgen sample"][1]).split())
    assert "[default: 64; 1 to 1,000,000]" in lines and "--first N Start at this image" in lines
    assert "[default: 3.0; above 0, at most 100]" in " ".join(
        ALL["jaxgen latent traverse"][0].get_help(ALL["jaxgen latent traverse"][1]).split()
    )


def test_what_needs_more_than_the_base_install_stands_apart_from_what_does_not():
    text = cli.commands["sample"].help
    (line,) = (line for line in text.splitlines() if line.strip().startswith("jaxgen") and "--untrained" in line)
    assert "needs JAX and PyTorch" in line


def test_help_loads_neither_numpy_nor_rich():
    code = "import sys, jaxgen.cli; sys.exit(' '.join({'numpy', 'rich', 'onnxruntime', 'PIL'} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# --- what a shell completes


def completed(*words: str) -> list[tuple[str, str]]:
    *before, incomplete = words
    found = ShellComplete(cli, {}, "jaxgen", "_JAXGEN_COMPLETE").get_completions(before, incomplete)
    return [(item.type, item.value) for item in found]


def plain(names) -> list[tuple[str, str]]:
    return [("plain", name) for name in names]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("train", "--preset", "ddpm-"), [name for name in PRESETS if name.startswith("ddpm-")]),
        (("train", "--model", ""), model_names()),
        (("train", "--dataset", "m"), ["mnist"]),
        (("sample", "x.onnx", "--sampler", ""), [*SAMPLERS, *FLOW_SAMPLERS]),
        (("sample", "--preset", "gan"), ["gan-digits", "gan-mnist"]),
        (("sample", "x.onnx", "--eta", ""), []),
        (("eval", "x.onnx", "--sampler", "d"), ["ddim", "dpmpp-2m"]),
        (("noise-gif", "--schedule", "cos"), ["cosine"]),
        (("models", "show", ""), list(models())),
        (("presets", "vae-d"), ["vae-digits"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_values_are_completed(words, names):
    assert completed(*words) == plain(names)


@pytest.mark.parametrize("command", ["sample", "info", "verify", "bench", "serve", "tune", "eval"])
def test_model_is_completed_to_a_shipped_one_or_a_file(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert completed(command, "cvae-m") == plain(["cvae-mnist"])
    (tmp_path / "cvae-mine.onnx").touch()
    assert completed(command, "cvae-m") == plain(["cvae-mnist", "cvae-mine.onnx"])
    assert completed(command, "runs/") == [("file", "runs/")]


def test_shell_gets_its_script_and_its_answers(jaxgen):
    script = jaxgen(_JAXGEN_COMPLETE="zsh_source")
    assert (script.returncode, script.stderr) == (0, "") and script.stdout.startswith("#compdef jaxgen")
    answer = jaxgen(_JAXGEN_COMPLETE="bash_complete", COMP_WORDS="jaxgen train --preset gan-", COMP_CWORD="3")
    assert answer.stdout.split() == ["plain,gan-digits", "plain,gan-mnist"]


def test_docs_give_the_line_of_each_shell():
    page = (Path(__file__).parents[2] / "docs/install.md").read_text()
    shells = re.findall(r"_JAXGEN_COMPLETE=(\w+)_source jaxgen", page)
    assert shells == ["bash", "zsh", "fish"]
    for name in shells:
        kind = get_completion_class(name)
        assert f"_JAXGEN_COMPLETE={name}_complete" in kind(cli, {}, "jaxgen", "_JAXGEN_COMPLETE").source()
