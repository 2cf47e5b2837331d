"""experiments/quality: rows that stand on their own, steps that the seconds pay for, and the table that is written."""

import importlib
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from jaxgen import config as configs
from jaxgen.config import DDPM, DataConfig, Flow

ROOT = Path(__file__).parents[1]
MODULES = ("variants", "scoring", "page", "table", "diffusers_recipe")


@pytest.fixture
def modules(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "experiments/quality"))
    yield importlib.import_module
    for name in MODULES:
        sys.modules.pop(name, None)


def test_rows_are_what_they_spell_out_whatever_the_presets_are(modules):
    data = DataConfig(dataset="mnist", size=28, channels=1)
    for name in ("unet28", "unet14", "linear", "flow", "conditional"):
        row = modules("variants").VARIANTS[name]
        plain = {"ddpm": DDPM, "flow": Flow}[row.config.family](data=data)
        own, bare = asdict(row.config), asdict(configs.override(plain, row.settings))
        spelled = {setting.split("=")[0] for setting in row.settings}
        for key in ("family", "data", "model", "diffusion", "flow"):
            assert own.get(key) == bare.get(key), name
        assert {f"training.{key}" for key in ("lr", "ema", "batch_size", "warmup")} <= spelled, name


def test_rows_differ_and_those_of_the_same_network_and_batch_cost_the_same(modules):
    rows = modules("variants").VARIANTS
    assert len({replace(row.config, name="any") for row in rows.values()}) == len(rows)
    assert rows["v"].cost == rows["flow"].cost == rows["ema0.99"].cost == rows["unet14"].cost
    assert len({rows[name].cost for name in ("unet28", "unet14", "unet7", "batch32", "batch128", "conditional")}) == 6


@pytest.fixture
def table(modules, tmp_path, monkeypatch):
    """table.py with a times.json of two rows."""
    module = modules("table")
    monkeypatch.setattr(module, "TIMES", tmp_path / "times.json")
    timed = {
        name: {"step_seconds": seconds, "parameters": 1234, "settings": module.VARIANTS[name].settings}
        for name, seconds in (("unet28", 0.45), ("unet14", 0.2))
    }
    modules("scoring").write(module.TIMES, {"machine": "M", "commit": "abc", "rows": timed})
    return module


def test_seconds_pay_for_steps_by_their_price(table):
    assert (table.steps_of("unet28", 1200), table.steps_of("unet14", 1200)) == (2667, 6000)
    assert table.steps_of("unet14", 0.01) == 1


def test_row_that_was_not_timed_or_has_changed_since_is_refused(table, monkeypatch):
    with pytest.raises(SystemExit, match=r"v: not timed with these settings; run: .* time --only v"):
        table.steps_of("v", 1200)
    monkeypatch.setitem(table.VARIANTS, "unet14", table.VARIANTS["v"])
    with pytest.raises(SystemExit, match="unet14: not timed"):
        table.steps_of("unet14", 1200)


def test_run_is_done_when_its_last_checkpoint_is_sealed(table, tmp_path):
    seal = tmp_path / "checkpoints" / "00000030" / "jaxgen.json"
    assert not table.is_done(tmp_path, 30)
    seal.parent.mkdir(parents=True)
    seal.touch()
    assert table.is_done(tmp_path, 30) and not table.is_done(tmp_path, 31)


def report(fid: float, **others: float) -> dict:
    """As `jaxgen eval --json` prints it."""
    scores = {
        name: {"value": value, "margin_95": 0.25, "floor": value / 10}
        for name, value in ({"fid": fid} | others).items()
    }
    return {"n": 500, "floor_n": 400, "extractor": "0123456789abcdef", "steps": 2667, "scores": scores}


def test_table_has_the_best_row_first_and_its_floor(modules, table):
    scores = {"unet28": report(20.0), "unet14": report(5.0, label_accuracy=0.5)}
    lines = modules("page").table(scores, modules("scoring").read(table.TIMES), 1200).splitlines()
    assert lines[0] == "1200 CPU seconds each, timed on M at commit abc."
    assert lines[2] == "Floor, of 400 test images: FID 2, label accuracy 0.05."
    best, other = (line.split(" | ") for line in lines[6:8])
    assert best[0] == "| unet14" and best[2:6] == ["1,234", "200", "2,667", "5 ± 0.2"]
    assert other[0] == "| unet28" and other[5] == "20 ± 0.2"
    assert "0.5 ± 0.2" in best and "0.5 ± 0.2" not in other


def test_curve_of_a_run_is_over_cpu_seconds(modules, tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 10, "loss": 1}\n{"step": 20, "fid": 7}\n{"step": 40, "fid": 3}\n')
    assert modules("page").fid_of(tmp_path, 0.5) == ([10.0, 20.0], [7.0, 3.0])
    assert modules("page").fid_of(tmp_path / "other", 0.5) is None


def test_failed_row_does_not_stop_the_others_but_an_interrupt_does(modules, capsys):
    each, done = modules("scoring").each, []

    def do(name: str) -> None:
        done.append(name)
        if name.isdecimal():
            raise subprocess.CalledProcessError(int(name), "jaxgen")

    with pytest.raises(SystemExit, match="failed: 3"):
        each(["a", "3", "b"], do)
    assert done == ["a", "3", "b"] and "3: failed with exit code 3" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        each(["130", "c"], do)
    assert done[3:] == ["130"]


# diffusers 0.35 hands NumPy 2 tensors in a way that it deprecates
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_recipe_that_was_stopped_goes_on_as_if_it_had_not_been(modules, tmp_path, monkeypatch):
    pytest.importorskip("diffusers")
    recipe = modules("diffusers_recipe")
    monkeypatch.setattr(recipe, "BATCH", 2)
    images = np.random.default_rng(0).integers(0, 256, (8, 28, 28, 1), np.uint8)
    whole, part, rest = recipe.Recipe(images), recipe.Recipe(images), recipe.Recipe(images)
    whole.step()
    loss = whole.step()
    part.step()
    part.save(tmp_path / "part.pt")
    rest.restore(tmp_path / "part.pt")
    assert rest.step() == pytest.approx(loss, rel=1e-6) and rest.step_count == 2
    for ours, wanted in zip(rest.ema.shadow_params, whole.ema.shadow_params, strict=True):
        np.testing.assert_allclose(ours.detach(), wanted.detach(), rtol=1e-5, atol=1e-7)
    assert whole.parameters == 1_539_329
