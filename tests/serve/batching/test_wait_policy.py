"""How long a request waits for company, worked out by hand; each image of these plans takes a tenth of a second."""

import time
from math import inf

import numpy as np
import pytest
from engines import SOON, calls

from jaxgen_serve.batching.engine import Engine
from jaxgen_serve.batching.queue import ModelQueue
from jaxgen_serve.batching.requests import Job
from jaxgen_serve.batching.wait_policy import RETURN, SHARE, WaitPolicy

DELAY = 1.0
PACE = 0.01  # seconds a row and image
ROWS = 10


@pytest.fixture
def policy(vae):
    made = WaitPolicy(max_batch=64, max_delay=DELAY)
    made.called(vae, PACE)
    return made


@pytest.fixture
def job(vae):
    def make(count: int = 1, *, waited: float = 0.0, until: float = inf, scale: float = 1.0) -> Job:
        feeds = {"seed": np.zeros(count, np.int64), "plan": np.full((ROWS, 9), scale, np.float32)}
        now = time.monotonic()
        return Job(served=vae, feeds=feeds, count=count, since=now - waited, until=now + until)

    return make


def queue(*jobs: Job) -> ModelQueue:
    made = ModelQueue(64)
    for one in jobs:
        made.add(one)
    return made


def answer(policy: WaitPolicy, *jobs: Job) -> None:
    """As the engine does when these have been sampled together, just now."""
    policy.company(jobs[0].group, [part for one in jobs for part in one.parts(64)])
    policy.answered(jobs[0].served)


def test_first_request_of_all_waits_for_the_delay(policy, vae, job):
    assert policy.seconds_left(vae, queue(job(waited=0.25))) == pytest.approx(0.75, abs=0.1)
    assert policy.seconds_left(vae, queue(job(waited=1.5))) < 0
    assert policy.seconds_left(vae, queue()) == 0


def test_those_who_were_answered_together_are_waited_for(policy, vae, job):
    answer(policy, job(), job(), job(), job())
    assert policy.seconds_left(vae, queue(*(job(waited=2) for _ in range(3)))) == pytest.approx(SHARE * 0.4, abs=0.04)
    assert policy.seconds_left(vae, queue(*(job() for _ in range(4)))) == 0
    short = WaitPolicy(max_batch=64, max_delay=0.001)
    short.called(vae, PACE)
    answer(short, *(job() for _ in range(64)))  # an eighth of six seconds is far more than clients need to come back
    assert 0 < short.seconds_left(vae, queue(job())) <= RETURN * 0.001


def test_full_batch_waits_for_nobody(policy, vae, job):
    assert policy.seconds_left(vae, queue(job(40), job(24))) == 0


def test_many_images_of_one_request_are_no_company(policy, vae, job):
    answer(policy, job(64))
    assert policy.seconds_left(vae, queue(job())) == 0


def test_those_of_another_plan_are_no_company(policy, vae, job):
    answer(policy, job(), job(), job())
    assert policy.seconds_left(vae, queue(job(waited=2, scale=2.0))) < 0
    assert policy.seconds_left(vae, queue(job(waited=2), job(scale=2.0), job(scale=2.0))) > 0


def test_who_has_left_is_not_counted(policy, vae, job):
    answer(policy, job(), job())
    gone = job(waited=2)
    waiting = queue(gone, job())
    assert policy.seconds_left(vae, waiting) == 0
    gone.future.cancel()
    assert policy.seconds_left(vae, waiting) > 0


def test_nobody_waits_until_it_is_too_late(policy, vae, job):
    assert policy.seconds_left(vae, queue(job(3, until=0.5))) == pytest.approx(0.2, abs=0.1)  # 3 images: 0.3 s
    assert policy.seconds_left(vae, queue(job(3, until=0.2))) < 0


def test_waiting_for_company_keeps_nobody_else_waiting(plain, vae, metrics):
    engine = Engine(metrics=metrics, max_delay=SOON)
    begin = time.monotonic()
    first = engine.sample(vae, [1], [0], deadline=10 * SOON)
    time.sleep(0.1)
    assert engine.call(lambda left: "done", deadline=SOON).result() == "done"
    engine.sample(plain, [1], [0], deadline=10 * SOON).cancel()
    first.result()  # it was the other model's turn then, so that there was no more waiting
    assert time.monotonic() - begin < SOON / 2
    assert calls(metrics) == 1
    engine.close()
