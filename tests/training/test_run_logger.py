import errno
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event

from jaxgen.errors import JaxgenError
from jaxgen.runs.folder import RunFolder
from jaxgen.training import run_logger as reports
from jaxgen.training.run_logger import RunLogger


@pytest.fixture
def run(tmp_path) -> RunFolder:
    made = RunFolder(tmp_path)
    made.samples.mkdir()
    return made


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only when a test says so."""
    now = [100.0]
    monkeypatch.setattr(reports.time, "perf_counter", lambda: now[0])
    return now


def report(run: RunFolder, *, every: int = 1, main: bool = True, start: int = 0) -> RunLogger:
    return RunLogger(run, start=start, total=20, batch_size=8, log_every=every, main=main)


def tell(to: RunLogger, first: int, count: int) -> None:
    steps = np.arange(first, first + count)
    to.steps(first, {"loss": steps / 10, "grad_norm": steps * 2.0, "lr": steps / 1000})


def logged(run: RunFolder) -> list[dict]:
    return [json.loads(line) for line in run.metrics_file.read_text().splitlines()]


def events(run: RunFolder) -> list[Event]:
    """TensorBoard's file by the letter of its format: length, checksum, event, checksum."""
    (file,) = run.tensorboard.iterdir()
    content, found = file.read_bytes(), []
    while content:
        length = int.from_bytes(content[:8], "little")
        found.append(Event.FromString(content[12 : 12 + length]))
        content = content[16 + length :]
    return found


def test_metrics_are_written_at_every_nth_step_and_the_last(run, clock):
    with report(run, every=8) as to:
        for step in range(1, 21):
            clock[0] += 0.5
            tell(to, step, 1)
    assert [line["step"] for line in logged(run)] == [8, 16, 20]
    assert logged(run)[0] == {"step": 8, "loss": 0.8, "grad_norm": 16.0, "lr": 0.008, "images_per_second": 16.0}


@pytest.mark.parametrize("name", ["a[1]", "back\\slash"])
def test_any_name_of_a_folder_keeps_both_logs(tmp_path, name):
    run = RunFolder(tmp_path / name)
    run.samples.mkdir(parents=True)
    with report(run) as to:
        tell(to, 1, 1)
    assert len(logged(run)) == 1 and {event.step for event in events(run)} >= {1}
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_full_disk_under_the_metrics_is_one_line(run):
    run.metrics_file.symlink_to("/dev/full")
    with pytest.raises(JaxgenError) as stopped, report(run) as to:
        tell(to, 1, 1)
    assert str(stopped.value) == f"{run.metrics_file}: cannot be written: No space left on device"


def test_full_disk_under_tensorboard_is_one_line_and_waits_for_nothing(run, monkeypatch, capfd):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(JaxgenError) as stopped, report(run) as to:
        monkeypatch.setattr(EventsWriter, "write_event", full)
        for step in range(1, 10):
            tell(to, step, 1)
            time.sleep(0.05)  # for its thread
    assert str(stopped.value) == f"{run.tensorboard}: cannot be written: No space left on device"
    assert "Traceback" not in capfd.readouterr().err


def test_steps_of_one_call_have_one_speed(run, clock):
    with report(run) as to:
        clock[0] += 2
        tell(to, 1, 4)
        clock[0] += 1
        tell(to, 5, 4)
    assert [line["images_per_second"] for line in logged(run)] == [16.0] * 4 + [32.0] * 4


def test_what_is_no_training_does_not_count_in_the_speed(run, clock):
    with report(run, every=4, start=2) as to:
        clock[0] += 60  # compiling
        to.restart_clock(2)
        clock[0] += 1
        tell(to, 3, 1)
        clock[0] += 60  # a checkpoint
        to.restart_clock(3)
        clock[0] += 1
        tell(to, 4, 1)
    assert logged(run)[0]["images_per_second"] == 8.0


def test_pipe_gets_plain_lines_on_stderr(run, clock, capsys):
    with report(run, every=5) as to:
        to.say("[bold]training[/bold]: a")
        clock[0] += 1
        tell(to, 1, 5)
        clock[0] += 100
        tell(to, 6, 5)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "[bold]training[/bold]: a",
        "step 5/20  loss 0.5000  40 images/s  3 s left",
        "step 10/20  loss 1.0000  0 images/s  3 min left",
    ]


def test_compiling_is_said_with_its_time_which_does_not_count_in_the_speed(run, clock, capsys):
    with report(run, every=5) as to:
        to.compiling(0)
        clock[0] += 12.5
        to.compiled(0)
        clock[0] += 1
        tell(to, 1, 5)
    assert capsys.readouterr().err.splitlines()[:3] == [
        "compiling",
        "compiled in 12.5 s",
        "step 5/20  loss 0.5000  40 images/s  3 s left",
    ]


def test_terminal_says_that_it_compiles_in_its_bar(run, clock, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with report(run) as to:
        to.compiling(0)
    assert "compiling" in capsys.readouterr().err


def test_terminal_sees_how_long_it_has_compiled(run, clock, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with report(run) as to:
        to.compiling(0)
        clock[0] += 17
    assert "compiling 17 s" in capsys.readouterr().err


def test_terminal_is_told_once_how_long_the_run_takes_by_the_speed_of_its_first_steps(run, clock, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with report(run, every=10) as to:
        clock[0] += 0.5  # too short to tell
        tell(to, 1, 1)
        clock[0] += 9.5
        tell(to, 2, 1)  # two steps of 8 images in 10 s; 18 steps are left
        tell(to, 3, 1)
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("about 90 s to go, at 2 images/s") == 1 or said.count("about 2 min to go, at 2 images/s") == 1


def test_tensorboard_does_not_load_pytorch(tmp_path):
    code = (
        "import sys\nfrom pathlib import Path\nfrom importlib.util import find_spec\n"
        "from jaxgen.runs.folder import RunFolder\nfrom jaxgen.training.run_logger import RunLogger\n"
        "RunLogger(RunFolder(Path(sys.argv[1])), start=0, total=1, batch_size=1, log_every=1, main=True)\n"
        "print('torch' in sys.modules, 'tensorboardX' in sys.modules, find_spec('torch') is not None)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("False True True\n", "")


def test_terminal_gets_a_bar(run, clock, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich's word for "this is a terminal"
    monkeypatch.setenv("TERM", "xterm")
    with report(run, every=5) as to:
        clock[0] += 1
        tell(to, 1, 5)
    err = capsys.readouterr().err
    assert "\x1b[" in err and "5/20" in err and "0.5000" in err and "40 images/s" in err
    assert "s left" not in err


def test_tensorboard_gets_numbers_and_images(run):
    grid = np.arange(48, dtype=np.uint8).reshape(4, 12, 1)
    with report(run, start=3) as to:
        tell(to, 4, 1)
        to.scalars(4, {"test_loss": 0.25})
        to.images(4, {"samples": grid, "latents": grid[:2]})
    values = {value.tag: value for event in events(run) if event.step == 4 for value in event.summary.value}
    assert values["loss"].simple_value == pytest.approx(0.4) and values["lr"].simple_value == pytest.approx(0.004)
    assert values["grad_norm"].simple_value == 8 and values["test_loss"].simple_value == 0.25
    assert (values["samples"].image.height, values["samples"].image.width) == (4, 12)
    assert np.array_equal(np.asarray(Image.open(run.samples / "00000004.png")), grid[..., 0])
    assert (values["latents"].image.height, values["latents"].image.width) == (2, 12)
    assert np.array_equal(np.asarray(Image.open(run.samples / "00000004-latents.png")), grid[:2, :, 0])


def test_terms_of_a_loss_are_reported_and_written_beside_it(run, clock, capsys):
    with report(run, every=2) as to:
        clock[0] += 1
        terms = {"kl": np.array([0.5, 0.25]), "loss": np.array([3.0, 2.0])}  # by name, as compiled calls give them
        norms = {"discriminator_grad_norm": np.ones(2), "grad_norm": np.ones(2)}
        to.steps(1, {**norms, **terms, "lr": np.ones(2)})
    told = {"loss": 2.0, "kl": 0.25, "discriminator_grad_norm": 1.0, "grad_norm": 1.0, "lr": 1.0}
    assert logged(run) == [{"step": 2, **told, "images_per_second": 16.0}]
    assert "step 2/20  loss 2.0000  kl 0.2500  16 images/s" in capsys.readouterr().err


def test_lines_survive_a_crash_as_they_are_written(run):
    to = report(run)
    tell(to, 1, 1)
    assert logged(run)[0]["step"] == 1  # before it is closed


def test_going_on_adds_to_the_metrics(run):
    for start in (0, 3):
        with report(run, start=start) as to:
            tell(to, start + 1, 1)
    assert [line["step"] for line in logged(run)] == [1, 4]


def test_other_processes_write_and_say_nothing(run, capsys):
    with report(run, main=False) as to:
        to.say("training")
        tell(to, 1, 20)
        to.images(1, {"samples": np.zeros((2, 2, 1), np.uint8)})
    assert capsys.readouterr() == ("", "")
    assert not run.metrics_file.exists() and not run.tensorboard.exists() and list(run.samples.iterdir()) == []
