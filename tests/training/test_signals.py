import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from jaxgen.errors import Interrupted
from jaxgen.training.signals import StopSignal


def send(number: int = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


def send_soon() -> None:
    """While the main thread waits. Called where the signal is handled: elsewhere it would end this process."""
    threading.Timer(0.1, send).start()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_ends_what_has_nothing_to_save(number, code):
    stop = StopSignal()
    with pytest.raises(Interrupted) as interrupted, stop.handled():
        send(number)
        pytest.fail("went on")
    assert (interrupted.value.exit_code, stop.signal) == (code, number)


def test_signal_is_only_remembered_where_there_is_something_to_save():
    stop = StopSignal()
    with stop.handled(), stop.deferred():
        assert stop.signal is None
        send()
        assert stop.signal == signal.SIGTERM


def test_handlers_are_put_back():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with StopSignal().handled():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_side_work_gives_its_result_or_its_error():
    stop = StopSignal()
    assert stop.side_work(lambda: 42) == 42
    with pytest.raises(ZeroDivisionError):
        stop.side_work(lambda: 1 / 0)


def test_side_work_is_abandoned_at_a_signal():
    stop, release = StopSignal(), threading.Event()
    start = time.monotonic()
    with stop.handled(), stop.deferred():
        send_soon()
        assert stop.side_work(lambda: release.wait(30)) is None
    assert time.monotonic() - start < 3 and stop.signal == signal.SIGTERM
    release.set()


def test_side_work_before_there_is_something_to_save_raises():
    stop, release = StopSignal(), threading.Event()
    with pytest.raises(Interrupted), stop.handled():
        send_soon()
        stop.side_work(lambda: release.wait(30))
    release.set()


def test_nothing_is_handled_outside_the_main_thread():
    entered = []

    def body() -> None:
        with StopSignal().handled():
            entered.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert entered == [signal.getsignal(signal.SIGTERM)]


def test_second_signal_leaves_at_once():
    code = """
import os, signal
from jaxgen.training.signals import StopSignal
stop = StopSignal()
with stop.handled(), stop.deferred():
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGTERM)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 143
