"""The engine against `Sampler.draw`, which draws each request alone; and what it does when things go wrong."""

import asyncio
import contextlib
import threading
import time
from concurrent.futures import CancelledError
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from jaxgen import artifact
from jaxgen.errors import JaxgenError, UsageError
from jaxgen.sampler import Sampler
from jaxgen_serve.engine import Busy, Engine, Late
from jaxgen_serve.library import Model
from jaxgen_serve.metrics import Metrics

SOON = 20  # seconds: what a busy machine may take for what takes a moment


def served(path: Path, name: str) -> Model:
    data = path.read_bytes()
    sampler = Sampler(artifact.parse(data, name), threads=1)
    return Model(name=name, sampler=sampler, reader=None, path=path, size=len(data))


@pytest.fixture(scope="module")
def plain(unconditional) -> Model:
    return served(unconditional.onnx, "plain")


@pytest.fixture(scope="module")
def classy(conditional) -> Model:
    return served(conditional.onnx, "classy")


@pytest.fixture(scope="module")
def vae(family) -> Model:
    return served(family("vae").onnx, "vae")


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def engine(metrics):
    made = Engine(metrics=metrics)
    yield made
    made.close()


@contextlib.contextmanager
def held(engine: Engine):
    """Keep the worker busy inside the block, so that what is asked for waits."""
    begun, gate = threading.Event(), threading.Event()

    def work(left: float) -> None:
        begun.set()
        gate.wait(left)

    ticket = engine.call(work, deadline=60)
    assert begun.wait(SOON)
    try:
        yield
    finally:
        gate.set()
        ticket.result()


def calls(metrics: Metrics, most: int | None = None) -> int:
    """Calls of onnxruntime so far; with `most`, those of at most so many pictures."""
    if most is None:
        return int(metrics.registry.get_sample_value("jaxgen_batch_size_count"))
    return int(metrics.registry.get_sample_value("jaxgen_batch_size_bucket", {"le": f"{most}.0"}))


def alone(model: Model, seed, index, **what):
    return model.sampler.draw(np.asarray(seed), np.asarray(index), **what)


def same(found, want) -> None:
    np.testing.assert_array_equal(found[0], want[0])
    if want[1] is not None:  # x itself may differ in its last bits from one batch size to another
        np.testing.assert_allclose(found[1], want[1], atol=1e-4)


def endless(model: Model) -> np.ndarray:
    """A plan that would take minutes."""
    return np.repeat(model.sampler.plan(), 10_000, axis=0)


def idle() -> bool:
    """Whether this process stops computing."""
    end = time.monotonic() + SOON
    while time.monotonic() < end:
        used, begin = time.process_time(), time.monotonic()
        time.sleep(0.2)
        if time.process_time() - used < 0.5 * (time.monotonic() - begin):
            return True
    return False


# --- what is drawn


def test_requests_that_wait_are_merged_and_get_what_each_gets_alone(classy, metrics):
    engine = Engine(metrics=metrics, slice_seconds=1000)
    asked = [([5], [0], [1]), ([5, 6, 7], [1, 1, 9], [-1, 0, 2]), ([2**32 - 1] * 2, [0, 2**32 - 1], [2, 2])]
    with held(engine):
        tickets = [engine.draw(classy, s, i, label=label, guidance=2.0, deadline=SOON) for s, i, label in asked]
    for ticket, (s, i, label) in zip(tickets, asked, strict=True):
        same(ticket.result(), alone(classy, s, i, label=np.array(label), guidance=2.0))
    assert calls(metrics) == 2  # one row to learn how long it takes, and the rest: of all six pictures
    assert calls(metrics, 4) == 0
    engine.close()


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_plan_run_row_by_row_gives_what_it_gives_whole(classy, metrics, steps):
    engine = Engine(metrics=metrics, slice_seconds=0)
    plan = classy.sampler.plan(sampler="ddim", steps=steps, eta=1.0)
    found = engine.draw(classy, [3, 4], [0, 1], plan=plan, deadline=SOON).result()
    same(found, alone(classy, [3, 4], [0, 1], plan=plan))
    assert calls(metrics) == steps
    engine.close()


def test_what_is_left_out_has_the_files_default(engine, classy, vae):
    same(engine.draw(classy, [3], [1], deadline=SOON).result(), alone(classy, [3], [1]))
    same(engine.draw(vae, [3], [1], deadline=SOON).result(), alone(vae, [3], [1]))


def test_request_larger_than_a_batch_is_cut(engine, vae, classy, metrics):
    index = np.arange(150)
    same(engine.draw(vae, 0 * index, index, deadline=SOON).result(), alone(vae, 0 * index, index))
    assert (calls(metrics), calls(metrics, 64)) == (3, 3)
    same(engine.draw(classy, 0 * index, index, deadline=SOON).result(), alone(classy, 0 * index, index))
    assert calls(metrics, 64) == calls(metrics)


def test_requests_of_all_sorts_at_once_get_what_each_gets_alone(plain, classy, vae, metrics):
    """Threads that ask and leave, and slices of a row, so that batches lose parts and take turns."""
    engine = Engine(metrics=metrics, max_batch=8, max_queue=10_000, slice_seconds=0.001)
    wrong: list[object] = []

    def client(number: int) -> None:
        rng = np.random.default_rng(number)
        for _ in range(6):
            model = (plain, classy, vae)[rng.integers(3)]
            count = int(rng.integers(1, 12))
            what = {"label": rng.integers(0, 3, count)} if model.sampler.classes else {}
            if model is not vae:
                what["plan"] = model.sampler.plan(sampler="ddim", steps=int(rng.choice([4, 8])))
            elif rng.random() < 0.5:
                what["latent"] = rng.standard_normal((count, 3)).astype(np.float32)
            if model is classy and rng.random() < 0.5:
                what["guidance"] = 3.0
            seed, index = rng.integers(0, 2**32, count), rng.integers(0, 2**32, count)
            ticket = engine.draw(model, seed, index, deadline=60, **what)
            if rng.random() < 0.2:
                ticket.cancel()
                continue
            found, want = ticket.result(), alone(model, seed, index, **what)
            if not np.array_equal(found[0], want[0]):
                wrong.append((model.name, seed, index, what))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert engine.depth == 0
    engine.close()


# --- turns


def test_as_many_as_were_just_answered_are_waited_for_and_no_more(vae, metrics):
    engine = Engine(metrics=metrics, max_delay=2.0)

    def seconds(*delays: float) -> float:
        """From the last of so many requests to the last answer."""
        tickets = []
        for delay in delays:
            time.sleep(delay)
            tickets.append(engine.draw(vae, [1], [len(tickets)], deadline=SOON))
        begin = time.monotonic()
        for ticket in tickets:
            ticket.result()
        return time.monotonic() - begin

    assert seconds(0, 0.1, 0.1) > 1  # nobody knows yet how many will come
    assert calls(metrics) == 1
    assert seconds(0, 0.3, 0.3) < 1  # all three are back
    assert calls(metrics) == 2
    assert seconds(0) > 1  # two have left
    assert seconds(0) < 1
    assert calls(metrics) == 4
    engine.close()


def test_other_models_get_their_turn_while_a_long_plan_runs(engine, plain, vae):
    long = engine.draw(plain, [0] * 64, np.arange(64), plan=endless(plain), deadline=300)
    same(engine.draw(vae, [1], [1], deadline=SOON).result(), alone(vae, [1], [1]))
    assert engine.call(lambda left: left, deadline=SOON).result() > 0
    assert not long.future.done()
    long.cancel()


@pytest.mark.parametrize("rows", [(1, 2, 3), (1, 1, 1)], ids=["plans that differ", "one plan"])
def test_older_request_goes_first_within_a_model(plain, rows):
    engine, finished, tickets, now = Engine(max_batch=1), [], [], time.monotonic()
    with held(engine):
        for name, age, steps in zip(("young", "oldest", "older"), (0, 9, 5), rows, strict=True):
            plan = plain.sampler.plan(sampler="ddim", steps=steps)
            tickets.append(engine.draw(plain, [0], [0], plan=plan, deadline=SOON, since=now - age))
            tickets[-1].future.add_done_callback(lambda _, name=name: finished.append(name))
    for ticket in tickets:
        ticket.result()
    engine.close()
    assert finished == ["oldest", "older", "young"]


def test_watcher_sees_every_row_of_a_short_plan_and_twenty_cuts_of_a_long_one(engine, plain):
    for steps, want in ((3, [1, 2, 3]), (50, [*range(2, 51, 2)])):
        seen = []
        plan = plain.sampler.plan(sampler="ddim", steps=steps)
        ticket = engine.draw(
            plain, [4, 4], [0, 1], plan=plan, deadline=SOON, on_frame=lambda *what, seen=seen: seen.append(what)
        )
        images, _ = ticket.result()
        assert [row for row, _, _ in seen] == want
        assert {rows for _, rows, _ in seen} == {steps}
        np.testing.assert_array_equal(seen[0][2], alone(plain, [4, 4], [0, 1], plan=plan[: want[0]])[0])
        np.testing.assert_array_equal(seen[-1][2], images)


# --- limits


def test_impossible_request_is_refused_before_it_waits(engine, plain, vae):
    with held(engine):
        for refused in (
            lambda: engine.draw(plain, [-1], [0], deadline=SOON),
            lambda: engine.draw(plain, [0], [0, 1], deadline=SOON),
            lambda: engine.draw(plain, [0], [0], guidance=2.0, deadline=SOON),
            lambda: engine.draw(vae, [0], [0], latent=np.zeros((1, 2)), deadline=SOON),
            lambda: engine.draw(vae, [0], [0], label=[3], deadline=SOON),
            lambda: engine.draw(plain, [0] * 65, [0] * 65, deadline=SOON, on_frame=print),
        ):
            with pytest.raises(UsageError):
                refused()
        assert engine.depth == 1  # what holds the worker


def test_full_queue_is_busy_and_says_when_to_come_again(vae):
    engine = Engine(max_queue=10)
    with held(engine):
        waiting = engine.draw(vae, [0] * 9, np.arange(9), deadline=SOON)
        with pytest.raises(Busy, match="10 pictures wait already, of at most 10; try later") as caught:
            engine.draw(vae, [0], [0], deadline=SOON)
    assert not isinstance(caught.value, Late)
    assert 1 <= caught.value.retry_after <= 60
    waiting.result()
    assert len(engine.draw(vae, [0] * 11, np.arange(11), deadline=SOON).result()[0]) == 11  # nobody is before it
    engine.close()


def test_deadline_passes_on_time_while_others_keep_the_worker(engine, vae):
    with held(engine):
        begin = time.monotonic()
        with pytest.raises(Late, match="vae: not drawn in time; try later, or ask for less"):
            engine.draw(vae, [0], [0], deadline=0.2).result()
        assert time.monotonic() - begin < 2
        assert engine.depth == 1


def test_deadline_leaves_the_others_of_a_batch_alone(engine, plain):
    plan = np.repeat(plain.sampler.plan(), 100, axis=0)
    with held(engine):
        short = engine.draw(plain, [0, 0], [0, 1], plan=plan, deadline=0.05)
        long = engine.draw(plain, [1, 1], [0, 1], plan=plan, deadline=60)
    with pytest.raises(Late):
        short.result()
    same(long.result(), alone(plain, [1, 1], [0, 1], plan=plan))


# --- graphs that never end, and graphs that fail


def before_all(proto: onnx.ModelProto, *nodes: onnx.NodeProto) -> None:
    """Let the graph compute from "checked", which these nodes make of it, where it computed from "seed"."""
    for node in proto.graph.node:
        node.input[:] = ["checked" if name == "seed" else name for name in node.input]
    for node in reversed(nodes):
        proto.graph.node.insert(0, node)


def constant(name: str, value: object) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], value=onnx.numpy_helper.from_array(np.array(value)))


def loops_for_ever(proto: onnx.ModelProto) -> None:
    words = helper.make_tensor_value_info("x", onnx.TensorProto.INT64, ["N"])
    flag = helper.make_tensor_value_info("on", onnx.TensorProto.BOOL, [])
    count = helper.make_tensor_value_info("i", onnx.TensorProto.INT64, [])
    outputs = [
        helper.make_tensor_value_info("on_after", onnx.TensorProto.BOOL, []),
        helper.make_tensor_value_info("x_after", onnx.TensorProto.INT64, ["N"]),
    ]
    nodes = [helper.make_node("Identity", ["on"], ["on_after"]), helper.make_node("Identity", ["x"], ["x_after"])]
    body = helper.make_graph(nodes, "body", [count, flag, words], outputs)
    before_all(proto, constant("true", True), helper.make_node("Loop", ["", "true", "seed"], ["checked"], body=body))


def fails_for_seed_13(proto: onnx.ModelProto) -> None:
    before_all(
        proto,
        constant("its_thirteen", 13),
        constant("its_nothing", np.array([0])),
        helper.make_node("Equal", ["seed", "its_thirteen"], ["its_bad"]),
        helper.make_node("Cast", ["its_bad"], ["its_row"], to=onnx.TensorProto.INT64),  # there is no row 1
        helper.make_node("Gather", ["its_nothing", "its_row"], ["its_zero"]),
        helper.make_node("Add", ["seed", "its_zero"], ["checked"]),
    )


@pytest.fixture
def runaway(family, restamped) -> Model:
    return served(restamped(family("vae").onnx, proto=loops_for_ever), "runaway")


def test_deadline_stops_a_graph_that_never_ends(engine, runaway, vae):
    begin = time.monotonic()
    with pytest.raises(Late, match="runaway: not drawn in time"):
        engine.draw(runaway, [0], [0], deadline=0.3).result()
    assert time.monotonic() - begin < 5
    assert idle()
    assert len(engine.draw(vae, [1], [1], deadline=SOON).result()[0]) == 1


def test_run_is_stopped_when_the_last_client_has_gone_and_not_before(engine, runaway, vae, metrics):
    with held(engine):
        first, second = (engine.draw(runaway, [i], [i], deadline=60) for i in range(2))
    while not calls(metrics):
        time.sleep(0.01)
    other = engine.draw(vae, [1], [1], deadline=60)
    first.cancel()
    time.sleep(0.3)
    assert not other.future.done()  # the second one still has the worker
    second.cancel()
    same(other.result(), alone(vae, [1], [1]))
    assert idle()
    assert engine.depth == 0
    with pytest.raises(CancelledError):
        second.result()


def test_request_that_fails_does_not_fail_those_merged_with_it(engine, family, restamped, metrics):
    model = served(restamped(family("vae").onnx, proto=fails_for_seed_13), "superstitious")
    with held(engine):
        tickets = [engine.draw(model, [seed], [0], deadline=SOON) for seed in (12, 13, 14)]
    same(tickets[0].result(), alone(model, [12], [0]))
    same(tickets[2].result(), alone(model, [14], [0]))
    with pytest.raises(JaxgenError, match="superstitious: onnxruntime failed") as caught:
        tickets[1].result()
    assert "\n" not in str(caught.value)
    assert str(model.path.parent) not in str(caught.value)
    assert calls(metrics) == 4  # all together, then each alone


def test_numbers_that_diverge_fail_their_own_request_alone(engine, plain, metrics):
    good = np.random.default_rng(0).standard_normal((2, 1, 8, 8, 1)).astype(np.float32)
    bad = np.full_like(good, np.nan)
    with held(engine):
        tickets = [engine.draw(plain, [0], [0], state=state, deadline=SOON) for state in (good, bad)]
    same(tickets[0].result(), alone(plain, [0], [0], state=good))
    with pytest.raises(JaxgenError, match="plain: drew NaN"):
        tickets[1].result()
    assert calls(metrics, 1) == 0 or calls(metrics) > calls(metrics, 1)  # they were drawn together


def test_watcher_that_fails_fails_its_own_request_alone(engine, plain):
    def on_frame(row: int, rows: int, images: np.ndarray) -> None:
        raise ConnectionError("the client has gone")

    with held(engine):
        watched = engine.draw(plain, [0], [0], deadline=SOON, on_frame=on_frame)
        other = engine.draw(plain, [1], [0], deadline=SOON)
    with pytest.raises(ConnectionError):
        watched.result()
    same(other.result(), alone(plain, [1], [0]))


def test_worker_outlives_what_nobody_foresaw(engine, vae, monkeypatch):
    with held(engine):
        tickets = [engine.draw(vae, [0], [i], deadline=SOON) for i in range(2)]
        monkeypatch.setattr(np, "concatenate", lambda *_, **__: 1 / 0)
    for ticket in tickets:
        with pytest.raises(JaxgenError, match="vae failed: ZeroDivisionError"):
            ticket.result()
    monkeypatch.undo()
    assert len(engine.draw(vae, [0], [0], deadline=SOON).result()[0]) == 1


# --- leaving


def test_cancelled_requests_are_not_drawn(engine, vae, metrics):
    with held(engine):
        tickets = [engine.draw(vae, [i], [0], deadline=SOON) for i in range(5)]
        for ticket in tickets[1:]:
            ticket.cancel()
        assert engine.depth == 2  # the first, and what holds the worker
    same(tickets[0].result(), alone(vae, [0], [0]))
    assert (calls(metrics), calls(metrics, 1)) == (1, 1)


def test_one_that_leaves_a_batch_under_way_leaves_it_to_the_others(engine, plain):
    plan = plain.sampler.plan(sampler="ddim", steps=40)
    begun = threading.Event()
    with held(engine):
        leaver = engine.draw(plain, [1] * 3, [0, 1, 2], plan=plan, deadline=SOON, on_frame=lambda *_: begun.set())
        stayer = engine.draw(plain, [2] * 3, [0, 1, 2], plan=plan, deadline=SOON)
    assert begun.wait(SOON)
    leaver.cancel()
    same(stayer.result(), alone(plain, [2] * 3, [0, 1, 2], plan=plan))


def test_cancelling_the_task_that_waits_cancels_the_request(engine, vae):
    async def wait() -> None:
        ticket = engine.draw(vae, [0], [0], deadline=60)
        task = asyncio.ensure_future(asyncio.wrap_future(ticket.future))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)  # for the loop to pass it on
        assert ticket.future.cancelled()

    with held(engine):
        asyncio.run(wait())
        assert engine.depth == 1


# --- pieces of work, and the end


def test_piece_of_work_gives_its_result_or_its_error(engine):
    assert 0 < engine.call(lambda left: left, deadline=5).result() <= 5
    with pytest.raises(UsageError, match="no such thing"):
        engine.call(lambda left: (_ for _ in ()).throw(UsageError("no such thing")), deadline=5).result()
    with pytest.raises(JaxgenError, match=r"^this failed: ZeroDivisionError$"):
        engine.call(lambda left: 1 / 0, deadline=5).result()
    gate = threading.Event()
    with pytest.raises(Late, match="not done in time"):
        engine.call(lambda left: gate.wait(SOON), deadline=0.1).result()
    gate.set()


def test_close_stops_what_runs_and_ends_the_threads(plain, runaway):
    before = set(threading.enumerate())
    engine = Engine()
    running = engine.draw(runaway, [0], [0], deadline=300)
    waiting = engine.draw(plain, [0] * 64, np.arange(64), plan=endless(plain), deadline=300)
    time.sleep(0.2)
    begin = time.monotonic()
    engine.close()
    assert time.monotonic() - begin < 5
    for ticket in (running, waiting):
        with pytest.raises(Busy, match="the server is stopping"):
            ticket.result()
    with pytest.raises(Busy, match="the server is stopping"):
        engine.draw(plain, [0], [0], deadline=1)
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert not {name for name in left if name.startswith("jaxgen-")}
    assert idle()


def test_counts_what_it_drew(engine, vae, metrics):
    engine.draw(vae, [0] * 3, np.arange(3), deadline=SOON).result()
    with held(engine):
        engine.draw(vae, [0] * 3, np.arange(3), deadline=SOON).cancel()
        assert "jaxgen_queue_depth 1.0" in metrics.text().decode()
    end = time.monotonic() + SOON
    while 'jaxgen_images_total{model="vae"} 3.0' not in metrics.text().decode():
        assert time.monotonic() < end  # counted just after the answer
