"""The engine against `Model.sample`, which samples each request alone; and whose turn it is."""

import threading
import time

import numpy as np
import pytest
from engines import SOON, alone, calls, endless, held, same, served

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.inference.required_inputs import with_required_inputs
from jaxgen_serve.batching.engine import Engine
from jaxgen_serve.batching.requests import Late

# --- what is sampled


def test_requests_that_wait_are_merged_and_get_what_each_gets_alone(classy, metrics):
    engine = Engine(metrics=metrics, slice_seconds=1000)
    asked = [([5], [0], [1]), ([5, 6, 7], [1, 1, 9], [-1, 0, 2]), ([2**32 - 1] * 2, [0, 2**32 - 1], [2, 2])]
    with held(engine):
        tickets = [engine.sample(classy, s, i, label=label, guidance=2.0, deadline=SOON) for s, i, label in asked]
    for ticket, (s, i, label) in zip(tickets, asked, strict=True):
        same(ticket.result(), alone(classy, s, i, label=np.array(label), guidance=2.0))
    assert calls(metrics) == 2  # one row to learn how long it takes, and the rest: of all six images
    assert calls(metrics, 4) == 0
    engine.close()


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_plan_run_row_by_row_gives_what_it_gives_whole(classy, metrics, steps):
    engine = Engine(metrics=metrics, slice_seconds=0)
    plan = classy.model.plan(sampler="ddim", steps=steps, eta=1.0)
    found = engine.sample(classy, [3, 4], [0, 1], plan=plan, deadline=SOON).result()
    same(found, alone(classy, [3, 4], [0, 1], plan=plan))
    assert calls(metrics) == steps
    engine.close()


def test_what_is_left_out_has_the_files_default(engine, classy, vae):
    same(engine.sample(classy, [3], [1], deadline=SOON).result(), alone(classy, [3], [1]))
    same(engine.sample(vae, [3], [1], deadline=SOON).result(), alone(vae, [3], [1]))


def test_file_with_required_inputs_is_sampled_as_any_other(engine, classy, vae, tmp_path):
    for one in (classy, vae):
        path = tmp_path / "required.onnx"
        path.write_bytes(with_required_inputs(one.model.artifact).data)
        required = served(path, "required")
        same(engine.sample(required, [3, 4], [1, 0], deadline=SOON).result(), alone(one, [3, 4], [1, 0]))


def test_request_larger_than_a_batch_is_cut(engine, vae, classy, metrics):
    index = np.arange(150)
    same(engine.sample(vae, 0 * index, index, deadline=SOON).result(), alone(vae, 0 * index, index))
    assert (calls(metrics), calls(metrics, 64)) == (3, 3)
    same(engine.sample(classy, 0 * index, index, deadline=SOON).result(), alone(classy, 0 * index, index))
    assert calls(metrics, 64) == calls(metrics)


def test_requests_of_all_sorts_at_once_get_what_each_gets_alone(plain, classy, vae, metrics):
    """Threads that ask and leave, and slices of a row, so that batches lose parts and take turns."""
    engine = Engine(metrics=metrics, max_batch=8, max_queue=10_000, slice_seconds=0.001)
    wrong: list[object] = []

    def client(number: int) -> None:
        rng = np.random.default_rng(number)
        for _ in range(6):
            one = (plain, classy, vae)[rng.integers(3)]
            count = int(rng.integers(1, 12))
            what = {"label": rng.integers(0, 3, count)} if one.model.classes else {}
            if one is not vae:
                what["plan"] = one.model.plan(sampler="ddim", steps=int(rng.choice([4, 8])))
            elif rng.random() < 0.5:
                what["latent"] = rng.standard_normal((count, 3)).astype(np.float32)
            if one is classy and rng.random() < 0.5:
                what["guidance"] = 3.0
            seed, index = rng.integers(0, 2**32, count), rng.integers(0, 2**32, count)
            ticket = engine.sample(one, seed, index, deadline=60, **what)
            if rng.random() < 0.2:
                ticket.cancel()
                continue
            found, want = ticket.result(), alone(one, seed, index, **what)
            if not np.array_equal(found[0], want[0]):
                wrong.append((one.name, seed, index, what))

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
            tickets.append(engine.sample(vae, [1], [len(tickets)], deadline=SOON))
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
    long = engine.sample(plain, [0] * 64, np.arange(64), plan=endless(plain), deadline=300)
    same(engine.sample(vae, [1], [1], deadline=SOON).result(), alone(vae, [1], [1]))
    assert engine.call(lambda left: left, deadline=SOON).result() > 0
    assert not long.future.done()
    long.cancel()


@pytest.mark.parametrize("rows", [(1, 2, 3), (1, 1, 1)], ids=["plans that differ", "one plan"])
def test_older_request_goes_first_within_a_model(plain, rows):
    engine, finished, tickets, now = Engine(max_batch=1), [], [], time.monotonic()
    with held(engine):
        for name, age, steps in zip(("young", "oldest", "older"), (0, 9, 5), rows, strict=True):
            plan = plain.model.plan(sampler="ddim", steps=steps)
            tickets.append(engine.sample(plain, [0], [0], plan=plan, deadline=SOON, since=now - age))
            tickets[-1].future.add_done_callback(lambda _, name=name: finished.append(name))
    for ticket in tickets:
        ticket.result()
    engine.close()
    assert finished == ["oldest", "older", "young"]


def test_watcher_sees_every_row_of_a_short_plan_and_twenty_cuts_of_a_long_one(engine, plain):
    for steps, want in ((3, [1, 2, 3]), (50, [*range(2, 51, 2)])):
        seen = []
        plan = plain.model.plan(sampler="ddim", steps=steps)
        ticket = engine.sample(
            plain, [4, 4], [0, 1], plan=plan, deadline=SOON, on_frame=lambda *what, seen=seen: seen.append(what)
        )
        images, _ = ticket.result()
        assert [row for row, _, _ in seen] == want
        assert {rows for _, rows, _ in seen} == {steps}
        np.testing.assert_array_equal(seen[0][2], alone(plain, [4, 4], [0, 1], plan=plan[: want[0]])[0])
        np.testing.assert_array_equal(seen[-1][2], images)


# --- what is refused at once


def test_impossible_request_is_refused_before_it_waits(engine, plain, vae):
    with held(engine):
        for refused in (
            lambda: engine.sample(plain, [-1], [0], deadline=SOON),
            lambda: engine.sample(plain, [0], [0, 1], deadline=SOON),
            lambda: engine.sample(plain, [0], [0], guidance=2.0, deadline=SOON),
            lambda: engine.sample(vae, [0], [0], latent=np.zeros((1, 2)), deadline=SOON),
            lambda: engine.sample(vae, [0], [0], label=[3], deadline=SOON),
            lambda: engine.sample(plain, [0] * 65, [0] * 65, deadline=SOON, on_frame=print),
        ):
            with pytest.raises(UsageError):
                refused()
        assert engine.depth == 1  # what holds the worker


# --- pieces of work, and counts


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


def test_counts_what_it_sampled(engine, vae, metrics):
    engine.sample(vae, [0] * 3, np.arange(3), deadline=SOON).result()
    with held(engine):
        engine.sample(vae, [0] * 3, np.arange(3), deadline=SOON).cancel()
        assert "jaxgen_queue_depth 1.0" in metrics.text().decode()
    end = time.monotonic() + SOON
    while 'jaxgen_images_total{model="vae"} 3.0' not in metrics.text().decode():
        assert time.monotonic() < end  # counted just after the answer
