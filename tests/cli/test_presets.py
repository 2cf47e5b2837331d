"""jaxgen presets: the list, a preset as TOML, and all of them as JSON."""

import json
import tomllib

from jaxgen import config as configs
from jaxgen.config.presets import PRESETS, preset


def test_presets_are_listed_a_line_each(command):
    lines = command("presets").out.splitlines()
    assert [line.split()[0] for line in lines] == list(PRESETS)
    (fast,) = [line for line in lines if line.startswith("ddpm-mnist16-fast")]
    assert all(word in fast for word in ("ddpm", "mnist", "16x16x1", "lr 0.0003", "batch 128", "100 epochs"))


def test_preset_is_printed_as_toml_that_train_takes(command, asked, tmp_path):
    text = command("presets", "ddpm-mnist").out
    assert tomllib.loads(text) == configs.to_dict(preset("ddpm-mnist"))
    (tmp_path / "mine.toml").write_text(text)
    command("train", "--config", "mine.toml")
    assert asked[0][0] == preset("ddpm-mnist")


def test_presets_as_json_are_whole(command):
    everything = json.loads(command("presets", "--json").out)
    assert {name: configs.from_dict(value) for name, value in everything.items()} == PRESETS
    assert list(json.loads(command("presets", "--json", "ddpm-mnist").out)) == ["ddpm-mnist"]


def test_unknown_preset_is_one_line(command):
    outcome = command("presets", "ddpm-minst")
    assert outcome.code == 2 and "(did you mean 'ddpm-mnist'?)" in outcome.line
