"""Each runtime against the images that are kept beside the golden files; where none are kept, against onnxruntime."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import runtimes
from golden import calls
from onnx import TensorProto, helper

from jaxgen.errors import JaxgenError, MissingExtra, UsageError
from jaxgen.inference.model import Model
from jaxgen.inference.predictor import Predictor
from jaxgen.inference.runtime import RUNTIMES
from jaxgen.inference.session import Stop

OLD, NEW = calls.FOLDERS[0], calls.FOLDERS[-1]
FORMATS = [folder.name for folder in calls.FOLDERS]
WHOLE = ["openvino", "reference"]  # those that run every kind of file
folders = pytest.mark.parametrize("folder", calls.FOLDERS, ids=FORMATS)


def file(name, folder=NEW):
    return folder / f"{name}.onnx"


def runs() -> list:
    """(runtime, folder, name, name of the answers): each file that gives images, in each runtime that runs it."""
    every = [(folder, *names) for folder in calls.FOLDERS for names in calls.drawn(folder).items()]
    at_once = [(folder, name, of) for folder, name, of in every if of in ("vae", "gan") or name in calls.NETWORKS]
    rows = [(runtime, *one) for runtime in WHOLE for one in every]
    rows += [("tract", *one) for one in at_once if one[0] != OLD]
    return [pytest.param(*row, id=f"{row[0]}-{row[1].name}-{row[2]}") for row in rows]


@pytest.fixture(scope="module")
def opened():
    """opened(runtime, name, folder): that golden file in that runtime, opened once: OpenVINO compiles for seconds."""
    models = {}

    def get(runtime: str, name: str, folder: Path = NEW) -> Model | calls.Outside:
        key = runtime, name, folder
        if key not in models:
            models[key] = calls.opened(folder, name, runtime=runtime)
        return models[key]

    return get


def noisy(model: Model) -> np.ndarray:
    """A plan that adds noise after each row but the last."""
    return model.plan(sampler="ddim", steps=7, eta=1.0)


@pytest.mark.parametrize(("runtime", "folder", "name", "of"), runs())
def test_images_are_those_that_the_file_has_always_given(opened, runtime, folder, name, of):
    found = calls.sampled(opened(runtime, name, folder), of, calls.seeds(folder)[of])
    want = calls.answers(folder, of)
    assert found.keys() == want.keys()
    for call in want:
        runtimes.assert_same(found[call], want[call])


@pytest.mark.parametrize("runtime", [*WHOLE, "tract"])
@folders
@pytest.mark.parametrize("name", calls.READERS)
def test_readers_say_what_they_have_always_said(runtime, folder, name):
    found, want = calls.read(Predictor.open(file(name, folder), runtime=runtime)), calls.answers(folder, name)
    assert found.keys() == want.keys()
    for output in want:
        np.testing.assert_allclose(found[output], want[output], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["vae", "gan"])
def test_tract_gives_the_images_of_files_that_sample_in_one_evaluation(family, name):
    model, want = (Model.open(family(name).onnx, runtime=runtime) for runtime in ("tract", "onnxruntime"))
    for count in (1, 20, 3):
        seed, index, label = np.full(count, 2**32 - 1), np.arange(count), np.arange(count) % 3
        runtimes.assert_same(model.sample(seed, index, label=label)[0], want.sample(seed, index, label=label)[0])
        latent = np.linspace(-2, 2, count * model.noise_shape[0], dtype=np.float32).reshape(count, -1)
        given = {"label": label, "latent": latent}
        runtimes.assert_same(model.sample(seed, index, **given)[0], want.sample(seed, index, **given)[0])


@pytest.mark.parametrize("runtime", WHOLE)
@folders
def test_noise_in_every_row_is_jaxs(opened, runtime, folder):
    model, want = opened(runtime, "ddpm", folder), Model.open(file("ddpm", folder))
    seed, index = np.array([0, 2**32 - 1, 5]), np.array([7, 2**31, 0])
    found, right = (each.sample(seed, index, plan=noisy(want)) for each in (model, want))
    runtimes.assert_same(found[0], right[0])
    np.testing.assert_allclose(found[1], right[1], atol=1e-4)


@pytest.mark.parametrize("runtime", WHOLE)
@folders
@pytest.mark.parametrize("cut", [1, 3])
def test_plan_that_is_cut_after_a_noisy_row_goes_on_as_if_it_were_not(opened, runtime, folder, cut):
    model, want = opened(runtime, "cddpm", folder), Model.open(file("cddpm", folder))
    how = {"seed": [3, 3], "index": [0, 9], "label": [1, -1], "guidance": 2.0}
    plan = noisy(want)
    images, state = model.sample(**how, plan=plan[:cut])
    between = want.sample(**how, plan=plan[:cut])
    runtimes.assert_same(images, between[0])
    np.testing.assert_allclose(state, between[1], atol=1e-4)
    runtimes.assert_same(model.sample(**how, plan=plan[cut:], state=state)[0], want.sample(**how, plan=plan)[0])


@folders
@pytest.mark.parametrize("name", ["vae", "gan", "ddpm"])
def test_openvino_is_right_from_the_first_batch_of_each_size(folder, name):
    """It gives garbage for a batch that is larger than any before it; `opened` would have had its garbage already."""
    model, want = Model.open(file(name, folder), runtime="openvino"), Model.open(file(name, folder))
    label = {} if not want.classes else {"label": None}
    for count in (1, 9, 2, 64, 3, 100):
        seed, index = np.full(count, 4), np.arange(count)
        if want.classes:
            label["label"] = index % 3
        plan = {} if want.inference.process is None else {"plan": want.plan(steps=2)}
        runtimes.assert_same(
            model.sample(seed, index, **label, **plan)[0], want.sample(seed, index, **label, **plan)[0]
        )


@pytest.mark.parametrize("runtime", WHOLE)
def test_numbers_that_diverge_are_an_error(opened, runtime):
    model = opened(runtime, "ddpm")
    plan = noisy(model).copy()
    plan[:, 1:4] = 3e38, 3e38, np.inf
    with pytest.raises(JaxgenError, match="sampled NaN"):
        model.sample([0], [0], plan=plan)


@pytest.mark.parametrize("runtime", WHOLE)
def test_deadline_ends_a_run_and_the_next_one_works(opened, runtime):
    model = opened(runtime, "ddpm")
    begin = time.monotonic()
    with pytest.raises(JaxgenError, match=r"stopped after 0\.3 seconds"):
        model.sample([0] * 8, range(8), plan=np.repeat(model.plan(), 9_000, axis=0), deadline=0.3)
    assert model.sample([0], [0], plan=model.plan(steps=1), deadline=60)[0].shape == (1, 8, 8, 1)
    assert time.monotonic() - begin < 60  # the plan would take many minutes


@pytest.mark.parametrize("runtime", ["onnxruntime", *WHOLE])
def test_stop_ends_a_run_from_another_thread_and_one_that_comes_later_at_once(opened, runtime):
    model, stop = opened(runtime, "ddpm"), Stop()
    feeds = model.feeds([0] * 8, range(8), plan=np.repeat(model.plan(), 9_000, axis=0))
    threading.Timer(0.3, stop).start()
    begin = time.monotonic()
    for _ in range(2):
        with pytest.raises(JaxgenError, match=f"{runtime} failed: "):
            model.run(feeds, stop=stop)
    assert time.monotonic() - begin < 60


@pytest.mark.parametrize("threads", [1, 2])
def test_openvino_gives_the_same_in_any_number_of_threads(threads):
    model = Model.open(file("ddpm"), runtime="openvino", threads=threads)
    runtimes.assert_same(model.sample([0] * 4, range(5, 9))[0], calls.answers(NEW, "ddpm")["default"])


@pytest.mark.parametrize("runtime", ["tract", "reference"])
def test_runtime_of_one_thread_refuses_more(runtime):
    with pytest.raises(UsageError, match=f"{runtime} runs in one thread, got 2"):
        Model.open(file("vae"), runtime=runtime, threads=2)
    Predictor.open(file("classifier"), runtime=runtime, threads=1)


def test_tract_says_in_a_line_what_it_does_not_read():
    loop = "it samples by a plan, a loop that tract does not read"
    for path, complaint in {file("flow"): loop, file("flow.required"): loop, file("vae", OLD): "Constant"}.items():
        with pytest.raises(JaxgenError, match=f"tract cannot load it: .*{complaint}") as refused:
            Model.open(path, runtime="tract")
        said = str(refused.value)
        assert type(refused.value) is JaxgenError and "\n" not in said and "backtrace" not in said


@pytest.mark.parametrize("runtime", sorted(RUNTIMES))
def test_graph_with_an_unknown_operator_is_refused_in_a_line(runtime):
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("NoSuchOperator", ["x"], ["y"])], "g", [x], [y])
    with pytest.raises(JaxgenError, match=rf"^it: {runtime} cannot load it: ") as refused:
        RUNTIMES[runtime](helper.make_model(graph).SerializeToString(), "it")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("runtime", "module", "name"),
    [("openvino", "openvino", "openvino"), ("tract", "tract", "tract"), ("reference", "onnx", "export")],
)
def test_runtime_that_is_not_installed_names_its_extra(runtime, module, name, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=rf"this needs {module}, .* -e '\.\[{name}\]'"):
        Predictor.open(file("classifier"), runtime=runtime)


def test_openvino_is_loaded_without_the_module_that_reports_it(tmp_path):
    code = (
        "import sys; from jaxgen.inference.predictor import Predictor\n"
        f"Predictor.open({str(file('classifier'))!r}, runtime='openvino')\n"
        "print([name for name in sys.modules if 'telemetry' in name and 'ovc' not in name])"
    )
    environment = {name: value for name, value in os.environ.items() if name != "CI"} | {"HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
    assert not list(tmp_path.iterdir())
