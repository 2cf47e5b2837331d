"""The engine when things go wrong: full queues, deadlines, graphs that never end or fail, and who leaves."""

import asyncio
import threading
import time
from concurrent.futures import CancelledError

import numpy as np
import onnx
import pytest
from engines import SOON, alone, calls, endless, held, same, served
from onnx import helper
from servers import before_all, constant, loops_for_ever

from jaxgen.errors import JaxgenError
from jaxgen_serve.batching.engine import Engine
from jaxgen_serve.batching.requests import Busy, Late
from jaxgen_serve.models.registry import ServedModel


def idle() -> bool:
    """Whether this process stops computing."""
    end = time.monotonic() + SOON
    while time.monotonic() < end:
        used, begin = time.process_time(), time.monotonic()
        time.sleep(0.2)
        if time.process_time() - used < 0.5 * (time.monotonic() - begin):
            return True
    return False


# --- limits


def test_full_queue_is_busy_and_says_when_to_come_again(vae):
    engine = Engine(max_queue=10)
    with held(engine):
        waiting = engine.sample(vae, [0] * 9, np.arange(9), deadline=SOON)
        with pytest.raises(Busy, match="10 images wait already, of at most 10; try later") as caught:
            engine.sample(vae, [0], [0], deadline=SOON)
    assert not isinstance(caught.value, Late)
    assert 1 <= caught.value.retry_after <= 60
    waiting.result()
    assert len(engine.sample(vae, [0] * 11, np.arange(11), deadline=SOON).result()[0]) == 11  # nobody is before it
    engine.close()


def test_deadline_passes_on_time_while_others_keep_the_worker(engine, vae):
    with held(engine):
        begin = time.monotonic()
        with pytest.raises(Late, match="vae: not sampled in time; try later, or ask for less"):
            engine.sample(vae, [0], [0], deadline=0.2).result()
        assert time.monotonic() - begin < 2
        assert engine.depth == 1


def test_deadline_leaves_the_others_of_a_batch_alone(engine, plain):
    plan = np.repeat(plain.model.plan(), 100, axis=0)
    with held(engine):
        short = engine.sample(plain, [0, 0], [0, 1], plan=plan, deadline=0.05)
        long = engine.sample(plain, [1, 1], [0, 1], plan=plan, deadline=60)
    with pytest.raises(Late):
        short.result()
    same(long.result(), alone(plain, [1, 1], [0, 1], plan=plan))


# --- graphs that never end, and graphs that fail


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
def runaway(family, restamped) -> ServedModel:
    return served(restamped(family("vae").onnx, proto=loops_for_ever), "runaway")


def test_deadline_stops_a_graph_that_never_ends(engine, runaway, vae):
    begin = time.monotonic()
    with pytest.raises(Late, match="runaway: not sampled in time"):
        engine.sample(runaway, [0], [0], deadline=0.3).result()
    assert time.monotonic() - begin < 5
    assert idle()
    assert len(engine.sample(vae, [1], [1], deadline=SOON).result()[0]) == 1


def test_run_is_stopped_when_the_last_client_has_gone_and_not_before(engine, runaway, vae, metrics):
    with held(engine):
        first, second = (engine.sample(runaway, [i], [i], deadline=60) for i in range(2))
    while not calls(metrics):
        time.sleep(0.01)
    other = engine.sample(vae, [1], [1], deadline=60)
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
        tickets = [engine.sample(model, [seed], [0], deadline=SOON) for seed in (12, 13, 14)]
    same(tickets[0].result(), alone(model, [12], [0]))
    same(tickets[2].result(), alone(model, [14], [0]))
    with pytest.raises(JaxgenError, match="superstitious: onnxruntime failed") as caught:
        tickets[1].result()
    assert "\n" not in str(caught.value)
    assert str(model.path.parent) not in str(caught.value)
    assert calls(metrics) == 4  # all together, then each alone


def test_numbers_that_diverge_fail_their_own_request_alone(engine, plain, metrics):
    good = np.random.default_rng(0).standard_normal((2, 1, 8, 8, 1)).astype(np.float32)
    bad = np.full_like(good, 3e38)  # finite, and the network's first sum of it is not
    with held(engine):
        tickets = [engine.sample(plain, [0], [0], state=state, deadline=SOON) for state in (good, bad)]
    same(tickets[0].result(), alone(plain, [0], [0], state=good))
    with pytest.raises(JaxgenError, match="plain: sampled NaN"):
        tickets[1].result()
    assert calls(metrics, 1) == 0 or calls(metrics) > calls(metrics, 1)  # they were sampled together


def test_watcher_that_fails_fails_its_own_request_alone(engine, plain):
    def on_frame(row: int, rows: int, images: np.ndarray) -> None:
        raise ConnectionError("the client has gone")

    with held(engine):
        watched = engine.sample(plain, [0], [0], deadline=SOON, on_frame=on_frame)
        other = engine.sample(plain, [1], [0], deadline=SOON)
    with pytest.raises(ConnectionError):
        watched.result()
    same(other.result(), alone(plain, [1], [0]))


def test_worker_outlives_what_nobody_foresaw(engine, vae, monkeypatch):
    with held(engine):
        tickets = [engine.sample(vae, [0], [i], deadline=SOON) for i in range(2)]
        monkeypatch.setattr(np, "concatenate", lambda *_, **__: 1 / 0)
    for ticket in tickets:
        with pytest.raises(JaxgenError, match="vae failed: ZeroDivisionError"):
            ticket.result()
    monkeypatch.undo()
    assert len(engine.sample(vae, [0], [0], deadline=SOON).result()[0]) == 1


# --- leaving


def test_cancelled_requests_are_not_sampled(engine, vae, metrics):
    with held(engine):
        tickets = [engine.sample(vae, [i], [0], deadline=SOON) for i in range(5)]
        for ticket in tickets[1:]:
            ticket.cancel()
        assert engine.depth == 2  # the first, and what holds the worker
    same(tickets[0].result(), alone(vae, [0], [0]))
    assert (calls(metrics), calls(metrics, 1)) == (1, 1)


def test_one_that_leaves_a_batch_under_way_leaves_it_to_the_others(engine, plain):
    plan = plain.model.plan(sampler="ddim", steps=40)
    begun = threading.Event()
    with held(engine):
        leaver = engine.sample(plain, [1] * 3, [0, 1, 2], plan=plan, deadline=SOON, on_frame=lambda *_: begun.set())
        stayer = engine.sample(plain, [2] * 3, [0, 1, 2], plan=plan, deadline=SOON)
    assert begun.wait(SOON)
    leaver.cancel()
    same(stayer.result(), alone(plain, [2] * 3, [0, 1, 2], plan=plan))


def test_cancelling_the_task_that_waits_cancels_the_request(engine, vae):
    async def wait() -> None:
        ticket = engine.sample(vae, [0], [0], deadline=60)
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


# --- the end


def test_close_stops_what_runs_and_ends_the_threads(plain, runaway):
    before = set(threading.enumerate())
    engine = Engine()
    running = engine.sample(runaway, [0], [0], deadline=300)
    waiting = engine.sample(plain, [0] * 64, np.arange(64), plan=endless(plain), deadline=300)
    time.sleep(0.2)
    begin = time.monotonic()
    engine.close()
    assert time.monotonic() - begin < 5
    for ticket in (running, waiting):
        with pytest.raises(Busy, match="the server is stopping"):
            ticket.result()
    with pytest.raises(Busy, match="the server is stopping"):
        engine.sample(plain, [0], [0], deadline=1)
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert not {name for name in left if name.startswith("jaxgen-")}
    assert idle()
