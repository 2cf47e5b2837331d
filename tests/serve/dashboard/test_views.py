"""Each page of the dashboard, as Streamlit runs it without a browser."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from dashboards import SHORT, wait
from servers import forged, loops_for_ever
from streamlit.testing.v1 import AppTest

from jaxgen.config.presets import preset
from jaxgen.images import png_pixels
from jaxgen.inference import model_file
from jaxgen.inference.model import Model
from jaxgen.runs.folder import RunFolder
from jaxgen_serve.dashboard import loading, streamlit_options
from jaxgen_serve.dashboard.background_jobs import Jobs
from jaxgen_serve.dashboard.commands import answer
from jaxgen_serve.dashboard.models import LoadedModel

PAGE = "from jaxgen_serve.dashboard.views import {0}\n{0}.page()"


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder of runs with one that was trained on the digits for 40 steps, by the dashboard's own jobs."""
    runs = tmp_path_factory.mktemp("runs")
    jobs = Jobs(runs)
    jobs.start("short", ["train", *SHORT, "--set", "training.steps=40", "--out", str(runs / "short")])
    wait(lambda: not jobs.running("short"), "the end of the run")
    assert "done: step 40" in jobs.log("short")
    return runs


@pytest.fixture
def page(monkeypatch):
    """page(name, runs): that page as Streamlit runs it, without an exception."""

    def run(name: str, runs: Path) -> AppTest:
        monkeypatch.setenv("JAXGEN_RUNS", str(runs))
        monkeypatch.setenv("JAXGEN_HOME", str(runs / "home"))
        return AppTest.from_string(PAGE.format(name), default_timeout=60).run()

    return run


def clean(app: AppTest) -> AppTest:
    assert [error.message for error in app.exception] + [error.value for error in app.error] == []
    return app


def button(app: AppTest, label: str):
    (found,) = (one for one in app.button if label in one.label)
    return found


def shown(app: AppTest, path: Path) -> dict[str, bytes]:
    """The images of the page Generate, by their names in its ZIP."""
    model = LoadedModel(name=path.stem, model=Model.open(path))
    return answer(model, app.session_state["generation"].command, "images/").files


def test_bad_value_gives_the_line_of_the_command(jaxgen, page, tmp_path):
    command = jaxgen("train", "--preset", "ddpm-digits", "--set", "training.lr=0.0", "--out", tmp_path / "x")
    app = clean(page("train", tmp_path))
    app.number_input(key="ddpm-digits training.lr").set_value(0.0).run()
    assert [f"jaxgen: {error.value}\n" for error in app.error] == [command.stderr]
    assert button(app, "Start training").disabled


def test_uploaded_file_is_tried_elsewhere_before_the_page_loads_it(page, family, conditional, tmp_path, monkeypatch):
    vae, kind = family("vae"), "application/octet-stream"
    endless = ("endless.onnx", forged(conditional.onnx, proto=loops_for_ever), kind)
    good = [("v.onnx", vae.onnx.read_bytes(), kind), ("v.encoder.onnx", vae.encoder.read_bytes(), kind)]
    app = page("generate", tmp_path)
    assert {"cvae-digits", "cvae-mnist"} <= set(app.selectbox(key="generate model").options)  # they come with jaxgen
    app.selectbox(key="generate model").set_value(loading.UPLOAD).run()
    app.file_uploader[0].set_value(good).run()
    assert button(clean(app), "Generate 5 images")
    monkeypatch.setattr(loading, "TRIAL_SECONDS", 2.0)
    app.file_uploader[0].set_value([endless]).run()
    assert [error.value for error in app.error] == ["endless.onnx: refused: it sampled no image in 2 seconds"]
    assert not app.exception


def test_train_page_shows_progress_curve_and_newest_samples(page, trained):
    app = clean(page("train", trained))
    assert app.selectbox(key="watched").value == "short"
    assert "finished" in app.get("progress")[0].proto.text and "step 40 of 40" in app.get("progress")[0].proto.text
    assert [image.proto.imgs[0].caption for image in app.get("image")] == ["sampled at step 40"]
    assert len(app.get("vega_lite_chart")) >= 1
    assert app.text_input[-1].value != "short"  # a name that is free


def test_train_page_says_why_a_run_did_not_start(page, tmp_path):
    jobs = Jobs(tmp_path)
    jobs.start(
        "broken", ["train", "--preset", "vae-digits", "--set", "training.lr=-1", "--out", str(tmp_path / "broken")]
    )
    wait(lambda: not jobs.running("broken"), "a refused run")
    app = page("train", tmp_path)
    assert [error.value for error in app.error] == ["training.lr must be > 0, got -1.0"]


def test_runs_page_shows_certificate_and_verifies(page, trained, conditional, monkeypatch):
    (trained / "short/model.onnx").write_bytes(conditional.onnx.read_bytes())
    app = clean(page("runs", trained))
    assert app.dataframe[0].value["run"].tolist() == ["short"]
    assert app.dataframe[0].value["step"].tolist() == [40]
    steps = [point["step"] for point in app.dataframe[1].value.to_dict("records")]
    assert steps == [20, 40]
    assert set(app.dataframe[2].value["runtime"]) == {"pytorch", "torchscript", "onnxruntime"}
    clean(button(app, "Verify here").click().run())
    assert "of pixels identical" in app.success[0].value


def test_pages_show_the_fid_of_a_run_beside_its_loss(page, tmp_path):
    run = RunFolder(tmp_path / "scored")
    run.write(preset("ddpm-digits"), None)
    rows = [{"step": step, "loss": 2 / step, "test_loss": 3 / step} for step in (1, 2, 3)]
    rows += [{"step": step, "eval_fid": 9.5 - step, "eval_fid_floor": 1.25} for step in (2, 3)]
    run.metrics_file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (run.checkpoints / "00000003").mkdir(parents=True)
    (run.checkpoints / "00000003/jaxgen.json").write_text(json.dumps({"step": 3, "score": 1.0, "fid": 6.5}))
    app = clean(page("runs", tmp_path))
    assert app.dataframe[0].value["best FID"].tolist() == [6.5] == app.dataframe[1].value["FID"].tolist()
    assert len(app.get("vega_lite_chart")) == 2 and "FID of samples, and of test images" in captions(app)
    app.selectbox(key="curve").set_value("eval_fid").run()
    assert len(clean(app).get("vega_lite_chart")) == 1
    app = page("train", tmp_path)
    app.selectbox(key="watched").set_value("scored").run()
    assert len(clean(app).get("vega_lite_chart")) == 2 and "FID of samples, and of test images" in captions(app)


def captions(app: AppTest) -> list[str]:
    return [caption.value for caption in app.caption]


def test_generate_page_samples_what_the_model_samples_for_its_seed_and_class(page, conditional, tmp_path):
    (tmp_path / "tiny.onnx").write_bytes(conditional.onnx.read_bytes())
    app = clean(page("generate", tmp_path))
    app.checkbox(key="fresh").uncheck()
    app.number_input(key="seed").set_value(11).run()
    clean(button(app, "Generate 5 images").click().run())
    model = Model.open(conditional.onnx)
    wanted, _ = model.sample(np.full(5, 11), np.arange(5), label=np.arange(5) % 3)
    files = shown(app, conditional.onnx)
    assert (np.stack([png_pixels(content, name) for name, content in files.items()]) == wanted).all()
    captions = [image.proto.imgs[0].caption for image in app.get("image")]
    assert captions == ["#0, class ant", "#1, class 2", "#2, class bee", "#3, class ant", "#4, class 2"]
    clean(button(app, "GIF of the process").click().run())
    assert len(app.get("image")) == 6
    assert app.code[0].value.startswith(f"jaxgen sample {tmp_path}/tiny.onnx -n 5 --seed 11 --label all --sampler ddim")
    assert model_file.read(conditional.onnx).sha256 in " ".join(caption.value for caption in app.caption)


def test_generate_page_marks_untrained_and_calls_punks_so(page, restamped, conditional, tmp_path):
    def change(entries):
        entries["training"]["untrained"] = True
        entries["config"]["data"]["dataset"] = "cryptopunks"

    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/punks.onnx").write_bytes(restamped(conditional.onnx, manifest=change).read_bytes())
    app = clean(page("generate", tmp_path / "runs"))
    assert "untrained" in app.warning[0].value
    assert app.subheader[0].value == "CryptoPunks generator"
    clean(button(app, "Generate 5 punks").click().run())
    assert all(name.startswith("untrained-") for name in shown(app, tmp_path / "runs/punks.onnx"))


def test_generate_page_reports_a_broken_file_in_a_line(page, tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    app = page("generate", tmp_path)
    assert len(app.error) == 1 and app.error[0].value.startswith("broken.onnx: is not an ONNX file")
    assert not app.exception


def test_explore_page_takes_of_a_vae_what_the_commands_take(page, family, tmp_path):
    vae = family("vae")
    (tmp_path / "vae.onnx").write_bytes(vae.onnx.read_bytes())
    (tmp_path / "vae.encoder.onnx").write_bytes(vae.encoder.read_bytes())
    app = clean(page("explore", tmp_path))
    lines = app.code[0].value.splitlines()
    assert lines[0].startswith(f"jaxgen latent interpolate {tmp_path}/vae.onnx --seeds 1,2 --rows 3 --frames 10")
    assert lines[1] == f"jaxgen serve {tmp_path}/vae.onnx"
    clean(button(app, "GIF").click().run())
    assert len(app.get("image")) == 2
    for part in ("Reconstruction", "Anomaly", "Map"):
        app.segmented_control(key="part").set_value(part).run()
        if part != "Map":  # its classes are not the digits': it must be told one
            assert app.error[0].value.startswith("vae.onnx must be told the images' class (0 to 2: ant, 2, bee)")
            assert app.error[0].value.endswith("choose one") and not app.get("image")
            app.selectbox[-1].set_value("ant").run()
        clean(app)
        assert app.get("image")
        assert [len(table.value) for table in app.dataframe] == ([12] if part == "Anomaly" else [])
        assert len(app.metric) == (part == "Reconstruction")
    assert any("300 images, coloured by class" in caption.value for caption in app.caption)


def test_explore_page_says_that_a_model_without_codes_has_no_map(page, conditional, tmp_path):
    (tmp_path / "tiny.onnx").write_bytes(conditional.onnx.read_bytes())
    app = clean(page("explore", tmp_path))
    app.segmented_control(key="part").set_value("Map").run()
    assert "a map needs short codes" in app.error[0].value
    assert str(tmp_path) not in app.error[0].value


def test_whole_app_opens_on_the_train_page(monkeypatch, tmp_path):
    monkeypatch.setenv("JAXGEN_RUNS", str(tmp_path))
    app = clean(AppTest.from_file(str(streamlit_options.APP), default_timeout=60).run())
    assert [title.value for title in app.title] == ["Train"]


def test_pages_load_no_framework():
    code = (
        "import jaxgen_serve.dashboard.app, sys;"
        "sys.exit(' '.join({'jax', 'flax', 'torch', 'tensorflow', 'onnx'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 0, done.stderr
