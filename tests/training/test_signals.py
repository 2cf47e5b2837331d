import signal
import subprocess
import sys
import threading
import time

import pytest

from jaxgen.training.signals import StopSignal


def after(code: str) -> list[str]:
    """The lines that `code` prints in a process of its own: a signal to the process of the tests could end all of them.

    `send(number)` sends it a signal, and `soon(number)` does so in a tenth of a second.
    """
    begin = (
        "import os, signal, threading\n"
        "from jaxgen.errors import Interrupted\n"
        "from jaxgen.training.signals import StopSignal\n"
        "def send(number): os.kill(os.getpid(), number)\n"
        "def soon(number): threading.Timer(0.1, send, [number]).start()\n"
        "stop, release = StopSignal(), threading.Event()\n"
    )
    done = subprocess.run([sys.executable, "-c", begin + code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_ends_what_has_nothing_to_save(number, code):
    printed = after(f"""
try:
    with stop.handled():
        send({int(number)})
        print("went on")
except Interrupted as err:
    print(err.exit_code, int(stop.signal))
""")
    assert printed == [f"{code} {int(number)}"]


def test_signal_is_only_remembered_where_there_is_something_to_save():
    printed = after("""
with stop.handled(), stop.deferred():
    print(stop.signal)
    send(signal.SIGTERM)
    print(int(stop.signal))
""")
    assert printed == ["None", str(int(signal.SIGTERM))]


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
    start = time.monotonic()
    printed = after("""
with stop.handled(), stop.deferred():
    soon(signal.SIGTERM)
    print(stop.side_work(lambda: release.wait(30)), int(stop.signal))
release.set()
""")
    assert printed == [f"None {int(signal.SIGTERM)}"] and time.monotonic() - start < 20


def test_side_work_before_there_is_something_to_save_raises():
    printed = after("""
try:
    with stop.handled():
        soon(signal.SIGTERM)
        stop.side_work(lambda: release.wait(30))
        print("went on")
except Interrupted:
    print("interrupted")
release.set()
""")
    assert printed == ["interrupted"]


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
