import time

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.images import to_uint8
from jaxgen.inference.model import Model
from jaxgen.sampling import prng, sampler_spec


@pytest.fixture(scope="module")
def sampler(model):
    return Model.open(model.onnx)


@pytest.fixture(scope="module")
def plain(unconditional):
    return Model.open(unconditional.onnx)


@pytest.fixture(scope="module")
def classy(conditional):
    return Model.open(conditional.onnx)


def all_of(images):
    return np.concatenate(list(images))


def assert_same(found, want):
    """The issue's words: uint8 equal, at most 1 off in under 0.1 % of pixels."""
    difference = np.abs(found.astype(int) - want)
    assert found.dtype == want.dtype == np.uint8
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.001


# --- images


def test_sample_gives_what_onnxruntime_gives(sampler, model):
    feeds = {"seed": np.array([3, 4]), "index": np.array([5, 6])}
    labels = {"label": np.array([2, -1])} if model.classes else {}
    want = onnxruntime.InferenceSession(model.onnx.read_bytes()).run(["images", "state_out"], feeds | labels)
    found = sampler.sample(feeds["seed"], feeds["index"], **labels)
    np.testing.assert_array_equal(found[0], want[0])
    np.testing.assert_array_equal(found[1], want[1])


@pytest.mark.parametrize("threads", [None, 1, 2])
@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_image_depends_on_its_seed_and_index_alone(model, threads, batch_size):
    label = "all" if model.classes else -1
    want = all_of(Model.open(model.onnx, threads=1).stream(40, seed=5, label=label, batch_size=40))
    sampler = Model.open(model.onnx, threads=threads)
    assert_same(all_of(sampler.stream(40, seed=5, label=label, batch_size=batch_size)), want)
    assert_same(all_of(sampler.stream(9, seed=5, first=21, label=label, batch_size=batch_size)), want[21:30])
    assert len({image.tobytes() for image in want}) == 40
    assert (all_of(sampler.stream(2, seed=6, label=label)) != want[:2]).any()


def test_stream_gives_batches_of_the_requested_size(plain):
    assert [len(batch) for batch in plain.stream(10, batch_size=4)] == [4, 4, 2]
    with pytest.raises(UsageError, match="batch_size must be >= 1, got 0"):
        next(plain.stream(10, batch_size=0))


def test_label_all_takes_classes_in_turn(classy):
    together = all_of(classy.stream(5, first=2, label="all"))
    for position, index in enumerate(range(2, 7)):
        (alone,) = all_of(classy.stream(1, first=index, label=index % 3))
        assert_same(together[position], alone)


def test_last_image_of_the_last_seed_can_be_sampled(plain):
    images, _ = plain.sample([2**32 - 1], [2**32 - 1])
    assert images.shape == (1, 8, 8, 1)


@pytest.mark.parametrize(("steps", "wanted"), [(10, 6), (10, 40), (3, 40), (1, 2)])
def test_frames_run_from_the_noise_to_the_image(sampler, model, steps, wanted):
    plan = sampler.plan(sampler="dpmpp-2m", steps=steps)
    frames = list(sampler.frames(3, wanted, seed=2, first=4, plan=plan))
    assert len(frames) == min(wanted, steps + 1)
    noise = to_uint8(prng.image_noise(2, np.arange(4, 7), 0, (8, 8, model.config.data.channels)))
    assert np.abs(frames[0].astype(int) - noise).max() <= 1
    assert_same(frames[-1], all_of(sampler.stream(3, seed=2, first=4, plan=plan)))


def test_plan_is_the_configs_unless_another_is_given(sampler, model):
    diffusion = model.config.diffusion
    np.testing.assert_array_equal(sampler.plan(), sampler_spec.from_config(diffusion))
    assert sampler.recipe() == diffusion.plan and sampler.recipe(steps=3) == diffusion.plan._replace(steps=3)
    assert len(sampler.plan(sampler="ancestral")) == diffusion.steps
    assert len(sampler.plan(sampler="dpmpp-2m", steps=3)) == 3


# --- requests that cannot be meant


WRONG = {
    "negative seed": ({"seed": [-1]}, "seed must be from 0 to 4294967295, got -1"),
    "huge seed": ({"seed": [2**32]}, "seed must be from 0 to 4294967295, got 4294967296"),
    "seed beyond int64": ({"seed": [2**70]}, "seed must be integers of at most 64 bits"),
    "seed that wraps around in int64": ({"seed": np.array([2**64 - 1], np.uint64)}, "seed must be from 0"),
    "fraction": ({"index": [1.5]}, "index must be integers"),
    "text": ({"index": ["1"]}, "index must be integers"),
    "no images": ({"seed": np.zeros(0, int)}, "seed must be one number for each image"),
    "scalar": ({"seed": 3}, "seed must be one number for each image"),
    "one index for two seeds": ({"seed": [1, 2]}, r"index must have the shape \(2,\), got \(1,\)"),
    "label too large": ({"label": [3]}, "label must be from -1 to 2, got 3"),
    "label too small": ({"label": [-2]}, "label must be from -1 to 2, got -2"),
    "label as a fraction": ({"label": [0.5]}, "label must be integers"),
    "two labels": ({"label": [0, 1]}, r"label must have the shape \(1,\), got \(2,\)"),
    "endless guidance": ({"guidance": np.inf}, "guidance must be from 0 to 100, got inf"),
    "no guidance at all": ({"guidance": np.nan}, "guidance must be from 0 to 100, got nan"),
    "plan without rows": ({"plan": np.zeros((0, 9))}, "a plan has 1 to 100000 rows"),
    "plan of eight columns": ({"plan": np.zeros((1, 8))}, "a plan has 1 to 100000 rows of 9 columns"),
    "state of another size": ({"state": np.zeros((2, 1, 4, 4, 3))}, "state must have the shape"),
    "state for two": ({"state": np.zeros((2, 2, 8, 8, 3))}, "state must have the shape"),
}


@pytest.mark.parametrize(("change", "complaint"), WRONG.values(), ids=WRONG)
def test_impossible_request_is_refused(classy, change, complaint):
    request = {"seed": [0], "index": [0], "label": [0]} | change
    with pytest.raises(UsageError, match=complaint):
        classy.sample(**request)


@pytest.mark.parametrize("change", [{"label": np.array([0])}, {"guidance": 1.0}], ids=["label", "guidance"])
def test_unconditional_model_takes_neither_label_nor_guidance(plain, change):
    with pytest.raises(UsageError, match="is unconditional"):
        plain.sample([0], [0], **change)


def test_unconditional_model_takes_the_label_of_no_class(plain):
    assert_same(plain.sample([0], [0], label=np.array([-1]))[0], plain.sample([0], [0])[0])


def test_diverging_plan_is_an_error_and_no_image(plain):
    plan = plain.plan(steps=3).copy()
    plan[:, 1:4] = 3e38, 3e38, np.inf
    with pytest.raises(JaxgenError, match="sampled NaN"):
        plain.sample([0], [0], plan=plan)


# --- class names


@pytest.mark.parametrize(
    ("text", "number"),
    [("ant", 0), ("bee", 2), ("0", 0), ("1", 1), (0, 0), (1, 1), (2, 2), ("#0", 0), ("#2", 2), (-1, -1), (None, -1)],
)
def test_class_is_named_by_name_or_number_alike(classy, text, number):
    assert classy.label(text) == number
    if number >= 0:
        assert classy.labels(text, np.arange(2)).tolist() == [number] * 2


def test_text_that_is_a_name_and_the_number_of_another_class_is_refused_by_both(classy):
    """The class called "2" is number 1, and number 2 is called bee."""
    for ask in (classy.label, lambda text: next(classy.stream(1, label=text))):
        with pytest.raises(UsageError, match="number 1 is called '2', and number 2 is called 'bee'; say #1 or #2"):
            ask("2")


@pytest.mark.parametrize("text", ["3", "cat", "", "-2", "1.0", "0x1", "9" * 5000, -2, 3, "#3", "#", "##1"])
def test_unknown_class_is_refused_in_one_short_line(classy, text):
    with pytest.raises(UsageError) as caught:
        classy.label(text)
    assert "label must be a class (0 to 2: ant, 2, bee), got" in str(caught.value)
    assert len(str(caught.value)) < 200


def test_nearest_class_is_suggested(classy):
    with pytest.raises(UsageError, match=r"did you mean 'ant'\?"):
        classy.label("aunt")


# --- deadlines


def test_deadline_stops_a_run_and_the_next_one_works(plain):
    endless = np.repeat(plain.plan(), 10_000, axis=0)
    start = time.monotonic()
    with pytest.raises(JaxgenError, match=r"stopped after 0\.3 seconds"):
        plain.sample(np.zeros(64, int), np.arange(64), plan=endless, deadline=0.3)
    images, _ = plain.sample([0], [0], deadline=30)
    assert time.monotonic() - start < 10  # and not the minutes that the plan would take
    assert_same(images, plain.sample([0], [0])[0])


# --- files that pass their hash and are not what the contract says


def renamed(old, new):
    def change(proto):
        for value in [*proto.graph.input, *proto.graph.output, *proto.graph.initializer]:
            value.name = new if value.name == old else value.name
        for node in proto.graph.node:
            node.input[:] = [new if name == old else name for name in node.input]
            node.output[:] = [new if name == old else name for name in node.output]

    return change


def in_colour(entries):
    entries["inference"] |= {"image_shape": [8, 8, 3], "noise_shape": [8, 8, 3]}


def with_a_class(entries):
    entries["inference"] |= {"classes": ["one"], "guidance": 1.0}


def without_a_process(entries):
    entries["inference"] |= {"process": None}


def without_classes(entries):
    del entries["inference"]["classes"]


def with_unknown_operator(proto):
    proto.graph.node.append(helper.make_node("NoSuchOperator", ["seed"], ["nothing"]))


CHANGES = {
    "input of another name": ({"proto": renamed("seed", "sead")}, r"expected the inputs \['index', 'plan', 'seed'"),
    "output of another name": ({"proto": renamed("images", "pixels")}, "expected the outputs"),
    "images of another size": ({"manifest": in_colour}, r"with \{'images': \[8, 8, 3\]\}, got"),
    "a class that the graph does not know": ({"manifest": with_a_class}, r"expected the inputs \['guidance'"),
    "no process where the graph has a plan": ({"manifest": without_a_process}, r"expected the inputs .*'latent'"),
    "no class names": ({"manifest": without_classes}, r"has no 'inference\.classes'"),
    "unknown operator": ({"proto": with_unknown_operator}, "onnxruntime cannot load it"),
}


@pytest.mark.parametrize(("change", "complaint"), CHANGES.values(), ids=CHANGES)
def test_file_beside_the_contract_is_refused_in_one_line(unconditional, restamped, change, complaint):
    path = restamped(unconditional.onnx, **change)
    with pytest.raises(JaxgenError, match=complaint) as caught:
        Model.open(path)
    assert type(caught.value) is JaxgenError  # exit code 3: the file's fault and not the request's
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_failing_graph_is_one_line(unconditional, restamped):
    def fails(proto: onnx.ModelProto):
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array([99]), "wrong"))
        at = next(i for i, node in enumerate(proto.graph.node) if node.output[0] == "seed_word")
        proto.graph.node.insert(at, helper.make_node("Gather", ["seed", "wrong"], ["seed_again"]))
        proto.graph.node[at + 1].input[0] = "seed_again"

    sampler = Model.open(restamped(unconditional.onnx, proto=fails))
    with pytest.raises(JaxgenError, match="onnxruntime failed: ") as caught:
        sampler.sample([0], [0])
    assert "\n" not in str(caught.value)
