"""The dashboard without a browser: jobs, progress, forms, models, downloads, and each page as Streamlit runs it."""

import io
import json
import os
import pickle
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from servers import forged, loops_for_ever
from streamlit.testing.v1 import AppTest

from jaxgen import artifact, config as configs, presets
from jaxgen.curves import read_curves
from jaxgen.drawing import replay
from jaxgen.errors import JaxgenError, UsageError
from jaxgen.images import read_png, read_provenance
from jaxgen.request import Request
from jaxgen.sampler import Sampler
from jaxgen_serve import library
from jaxgen_serve.dashboard import form, loading, models, processes, serving
from jaxgen_serve.dashboard.models import Model
from jaxgen_serve.dashboard.pictures import Drawn
from jaxgen_serve.dashboard.processes import Jobs
from jaxgen_serve.dashboard.progress import Run, Tail, progress

SHORT = ("--preset", "vae-digits", "--set", "training.log_every=1", "--set", "training.checkpoint_every=20")
PAGE = "from jaxgen_serve.dashboard.views import {0}\n{0}.page()"
# A dashboard that starts a job, says so, and would live on.
DASHBOARD = """
import sys, time
from pathlib import Path
from jaxgen_serve.dashboard.processes import Jobs
print(Jobs(Path(sys.argv[1])).start("long", sys.argv[2:]).pid, flush=True)
time.sleep(600)
"""


def wait(condition, what: str, seconds: float = 90):
    end = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.1)
    return result


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


def test_killed_dashboard_leaves_the_run_another_finds_stops_and_resumes_it(tmp_path):
    long = ["train", *SHORT, "--set", "training.steps=1000000", "--out", str(tmp_path / "long")]
    dashboard = subprocess.Popen(
        [sys.executable, "-c", DASHBOARD, tmp_path, *long], stdout=subprocess.PIPE, text=True
    )  # fmt: skip
    pid = int(dashboard.stdout.readline())
    dashboard.kill()
    dashboard.wait()
    jobs, run = Jobs(tmp_path), Run(tmp_path / "long")
    assert jobs.running("long") and jobs.find("long").pid == pid
    wait(lambda: run.checkpoints(), "a checkpoint")
    before = progress(run.config(), Tail(run.path / "metrics.jsonl").read(), jobs.log("long"))
    assert 0 < before.step < before.total == 1_000_000
    with pytest.raises(UsageError, match="long is running already"):
        jobs.start("long", ["presets"])
    jobs.stop("long")
    jobs.stop("long")  # a second signal would lose what is being saved
    wait(lambda: not jobs.running("long"), "the end of a stopped run")
    saved = run.checkpoints()[-1].step
    assert f"interrupted, saved at step {saved}; go on with" in processes.complaint(jobs.log("long"))
    assert saved >= before.step
    jobs.start("long", ["train", "--resume", str(run.path), "--set", f"training.steps={saved + 5}"])
    wait(lambda: not jobs.running("long"), "the end of a resumed run")
    assert run.checkpoints()[-1].step == saved + 5
    assert progress(run.config(), {}, jobs.log("long")).finished


def test_number_of_a_dead_process_that_another_one_has_now_is_not_signalled(tmp_path):
    jobs = Jobs(tmp_path)
    jobs.start("quick", ["presets"])
    wait(lambda: not jobs.running("quick"), "the end of a quick job")
    assert "ddpm-mnist" in jobs.log("quick")
    with pytest.raises(UsageError, match="quick is not running"):
        jobs.stop("quick")
    innocent = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    record = tmp_path / ".dashboard/quick.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"pid": innocent.pid}))
    holder = "import fcntl, sys; file = open(sys.argv[1]); fcntl.flock(file, 2); print(flush=True); input()"
    other = subprocess.Popen(
        [sys.executable, "-c", holder, tmp_path / ".dashboard/quick.log"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    other.stdout.readline()
    with pytest.raises(UsageError, match=f"process {innocent.pid} is not the one that was started"):
        jobs.stop("quick")
    assert innocent.poll() is None
    for process in (innocent, other):
        process.communicate(b"\n")


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "../up", "x" * 101, "new\nline"])
def test_name_that_fits_no_folder_is_refused(name, tmp_path):
    with pytest.raises(UsageError, match="a run's name must be"):
        Jobs(tmp_path).start(name, ["presets"])
    assert list(tmp_path.iterdir()) == []


def test_command_that_fails_or_is_late_raises_its_own_line():
    with pytest.raises(JaxgenError, match=r"^unknown preset 'nosuch'"):
        processes.run(["presets", "nosuch"], deadline=60)
    with pytest.raises(JaxgenError, match="'jaxgen presets' was stopped after 0 seconds"):
        processes.run(["presets"], deadline=0.001)


def test_tail_reads_only_whole_new_lines_and_starts_again_when_the_file_is_rewritten(tmp_path):
    file = tmp_path / "metrics.jsonl"
    tail = Tail(file)
    assert tail.read() == {}
    file.write_text('{"step": 1, "loss": 4.0}\n{"step": 2, "lo')
    assert tail.read() == {"loss": ([1], [4.0])}
    with file.open("a") as more:
        more.write('ss": 3.0}\nbroken\n{"step": 2, "test_loss": 3.5}\n')
    assert tail.read() == {"loss": ([1, 2], [4.0, 3.0]), "test_loss": ([2], [3.5])} == read_curves(file)
    other = tmp_path / "other"
    other.write_text("".join(f'{{"step": {step}, "loss": 2.0}}\n' for step in range(1, 10)))
    assert other.stat().st_size > file.stat().st_size  # not told by its size
    other.replace(file)
    assert tail.read() == {"loss": (list(range(1, 10)), [2.0] * 9)} == read_curves(file)


def test_progress_is_read_from_the_log_where_the_config_counts_epochs():
    log = (
        "training: vae-digits, 75,000 parameters, 3,300 steps, on 1 x cpu, in runs/x\n"
        "step 100/3300  loss 26.9  kl 2.1  93,000 images/s  40 s left\n"
    )
    now = progress(presets.preset("vae-digits"), {"loss": ([50], [30.0])}, log)
    assert (now.step, now.total, now.loss, now.speed, now.left) == (100, 3300, 30.0, "93,000 images/s", "40 s left")
    assert progress(presets.preset("ddpm-digits"), {}, "").total == 3000


@pytest.mark.parametrize("name", ["vae-digits", "gan-digits", "ddpm-digits", "flow-digits", "classifier-digits"])
def test_form_has_every_key_of_the_config_and_changes_what_it_is_told(name):
    config = presets.preset(name)
    found = {setting.key: setting for group in form.settings(config).values() for setting in group}
    assert set(found) == {key for key in configs.all_keys(config.family) if "." in key}
    values = {key: setting.value for key, setting in found.items()}
    assert form.changes(config, values) == []
    told = form.changes(config, values | {"training.lr": 0.5, "training.optimizer": "sgd", "data.without": "8, 9"})
    again = configs.override(config, told)
    assert (again.training.lr, again.training.optimizer, again.data.without) == (0.5, "sgd", (8, 9))
    assert found["training.batch_size"].meaning == "over all devices"


def test_bad_value_gives_the_line_of_the_command(jaxgen, page, tmp_path):
    command = jaxgen("train", "--preset", "ddpm-digits", "--set", "training.lr=0.0", "--out", tmp_path / "x")
    app = clean(page("train", tmp_path))
    app.number_input(key="ddpm-digits training.lr").set_value(0.0).run()
    assert [f"jaxgen: {error.value}\n" for error in app.error] == [command.stderr]
    assert button(app, "Start training").disabled


def test_uploads_are_one_drawing_file_and_its_encoder_or_refused_in_a_line(family, restamped):
    vae = family("vae")
    classifier = restamped(vae.encoder, manifest=lambda entries: entries.update(kind="classifier"))
    drawing, encoder = models.received(
        [("v.encoder.onnx", vae.encoder.read_bytes()), ("v.onnx", vae.onnx.read_bytes())]
    )
    assert (drawing.sha256, encoder.sha256) == tuple(artifact.read(path).sha256 for path in (vae.onnx, vae.encoder))
    bad = {
        "not an ONNX file": [("model.pth", pickle.dumps({"weights": [1.0]}))],
        "is an encoder: give the model": [("v.encoder.onnx", vae.encoder.read_bytes())],
        "got two samplers": [("a.onnx", vae.onnx.read_bytes())] * 2,
        "draws nothing: it is a classifier": [("c.onnx", classifier.read_bytes())],
        "at most 64 MB, got 65 MB": [("large.onnx", bytes(65 * 2**20))],
    }
    for line, files in bad.items():
        with pytest.raises(JaxgenError, match=line) as refused:
            models.received(files)
        assert "\n" not in str(refused.value)


def test_uploaded_file_is_tried_elsewhere_before_the_page_loads_it(page, family, conditional, tmp_path, monkeypatch):
    vae, kind = family("vae"), "application/octet-stream"
    endless = ("endless.onnx", forged(conditional.onnx, proto=loops_for_ever), kind)
    good = [("v.onnx", vae.onnx.read_bytes(), kind), ("v.encoder.onnx", vae.encoder.read_bytes(), kind)]
    app = page("generate", tmp_path)
    app.file_uploader[0].set_value(good).run()
    assert button(clean(app), "Generate 5 images")
    monkeypatch.setattr(loading, "TRIAL_SECONDS", 2.0)
    app.file_uploader[0].set_value([endless]).run()
    assert [error.value for error in app.error] == ["endless.onnx: refused: it drew no picture in 2 seconds"]


def test_message_on_a_model_file_does_not_say_where_it_lies(tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    for path in (tmp_path / "broken.onnx", tmp_path / "missing.onnx"):
        with pytest.raises(JaxgenError, match="mine") as refused:
            library.read(path, "mine")
        assert str(tmp_path) not in str(refused.value)


def test_deadline_holds_over_several_calls(conditional):
    model = Model(name="tiny", sampler=Sampler.open(conditional.onnx))
    limited = model.within(0.0)
    with pytest.raises(JaxgenError, match="longer than its deadline"):
        limited.draw(np.array([0]), np.array([0]))
    images, _ = model.within(60.0).draw(np.array([3]), np.array([1]))
    assert (images == model.sampler.draw(np.array([3]), np.array([1]))[0]).all()


@pytest.fixture(scope="module", params=["all", 2])  # of class 2, while class 1 has the name "2"
def drawn(conditional, request) -> Drawn:
    label = request.param
    sampler = Sampler.open(conditional.onnx)
    asked = Request.checked(
        sampler, seed=7, first=2, count=5, label=label, guidance=None, sampler="ddim", steps=4, eta=None
    )
    return Drawn.of(sampler, "tiny", asked)


def test_sheet_is_drawn_again_by_replay(drawn, conditional, tmp_path):
    sheet = tmp_path / "sheet.png"
    sheet.write_bytes(drawn.sheet())
    assert replay(sheet, read_provenance(sheet), conditional.onnx, None)[1] == "identical: every pixel"


def test_command_that_is_shown_draws_the_same_pictures_as_the_zip(drawn, conditional, jaxgen, tmp_path):
    words = drawn.command().removeprefix("jaxgen ").replace("tiny.onnx", str(conditional.onnx)).split()
    done = jaxgen(*words, "-o", f"{tmp_path}/wanted/")
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(io.BytesIO(drawn.zip())) as file:
        file.extractall(tmp_path / "got")
    wanted, got = (sorted((tmp_path / name).iterdir()) for name in ("wanted", "got"))
    assert [path.name for path in wanted] == [path.name for path in got] and len(got) == 5
    for a, b in zip(wanted, got, strict=True):
        assert (read_png(a) == read_png(b)).all()
        assert read_provenance(a) == read_provenance(b)


def test_train_page_shows_progress_curve_and_newest_samples(page, trained):
    app = clean(page("train", trained))
    assert app.selectbox(key="watched").value == "short"
    assert "finished" in app.get("progress")[0].proto.text and "step 40 of 40" in app.get("progress")[0].proto.text
    assert [picture.proto.imgs[0].caption for picture in app.get("image")] == ["drawn at step 40"]
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


def test_generate_page_draws_what_the_sampler_draws_for_its_seed_and_class(page, conditional, tmp_path):
    (tmp_path / "tiny.onnx").write_bytes(conditional.onnx.read_bytes())
    app = clean(page("generate", tmp_path))
    app.checkbox(key="fresh").uncheck()
    app.number_input(key="seed").set_value(11).run()
    clean(button(app, "Generate 5 images").click().run())
    sampler = Sampler.open(conditional.onnx)
    wanted, _ = sampler.draw(np.full(5, 11), np.arange(5), label=np.arange(5) % 3)
    assert (app.session_state["drawn"].images == wanted).all()
    clean(button(app, "GIF of the process").click().run())
    assert app.session_state["gif"][:6] == b"GIF89a"
    assert artifact.read(conditional.onnx).sha256 in " ".join(caption.value for caption in app.caption)


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
    with zipfile.ZipFile(io.BytesIO(app.session_state["drawn"].zip())) as file:
        assert all(name.startswith("untrained-") for name in file.namelist())


def test_generate_page_tells_a_broken_file_in_a_line(page, tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    app = page("generate", tmp_path)
    assert len(app.error) == 1 and app.error[0].value.startswith("broken.onnx: is not an ONNX file")


@pytest.mark.parametrize("part", ["Interpolation", "Reconstruction", "Anomaly", "Map"])
def test_explore_page_asks_a_vae_everything(part, page, family, tmp_path):
    vae = family("vae")
    (tmp_path / "vae.onnx").write_bytes(vae.onnx.read_bytes())
    (tmp_path / "vae.encoder.onnx").write_bytes(vae.encoder.read_bytes())
    app = clean(page("explore", tmp_path))
    app.segmented_control(key="part").set_value(part).run()
    if part in ("Reconstruction", "Anomaly"):  # its classes are not the digits': it must be told one
        assert "choose one" in app.error[0].value
        app.selectbox[-1].set_value("ant").run()
    clean(app)
    if part == "Map":
        assert len(app.get("vega_lite_chart")) == 1
    else:
        assert app.get("image")


def test_explore_page_says_that_a_model_without_codes_has_no_map(page, conditional, tmp_path):
    (tmp_path / "tiny.onnx").write_bytes(conditional.onnx.read_bytes())
    app = clean(page("explore", tmp_path))
    app.segmented_control(key="part").set_value("Map").run()
    assert "needs short codes" in app.error[0].value
    assert str(tmp_path) not in app.error[0].value


def test_whole_app_opens_on_the_train_page(monkeypatch, tmp_path):
    monkeypatch.setenv("JAXGEN_RUNS", str(tmp_path))
    app = clean(AppTest.from_file(str(serving.APP), default_timeout=60).run())
    assert [title.value for title in app.title] == ["Train"]


def test_pages_load_no_framework():
    code = (
        "import jaxgen_serve.dashboard.app, sys;"
        "sys.exit(' '.join({'jax', 'flax', 'torch', 'tensorflow', 'onnx'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 0, done.stderr
