"""The dashboard's jobs, which outlive it, and what it reads of their progress."""

import json
import subprocess
import sys

import pytest
from dashboards import SHORT, wait

from jaxgen import config as configs
from jaxgen.config import presets
from jaxgen.errors import JaxgenError, UsageError
from jaxgen.runs.metrics import read_curves
from jaxgen_serve.dashboard import background_jobs
from jaxgen_serve.dashboard.background_jobs import Jobs
from jaxgen_serve.dashboard.run_status import Run, Tail, progress

# A dashboard that starts a job, says so, and would live on.
DASHBOARD = """
import sys, time
from pathlib import Path
from jaxgen_serve.dashboard.background_jobs import Jobs
print(Jobs(Path(sys.argv[1])).start("long", sys.argv[2:]).pid, flush=True)
time.sleep(600)
"""


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
    assert f"interrupted, saved at step {saved}; go on with" in background_jobs.complaint(jobs.log("long"))
    assert saved >= before.step
    jobs.start("long", ["train", "--resume", str(run.path), "--set", f"training.steps={saved + 5}"])
    wait(lambda: not jobs.running("long"), "the end of a resumed run")
    assert run.checkpoints()[-1].step == saved + 5
    assert progress(run.config(), Tail(run.path / "metrics.jsonl").read(), jobs.log("long")).finished


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
        background_jobs.run(["presets", "nosuch"], deadline=60)
    with pytest.raises(JaxgenError, match="'jaxgen presets' was stopped after 0 seconds"):
        background_jobs.run(["presets"], deadline=0.001)


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


def test_progress_in_epochs_of_pictures_of_a_known_number_needs_no_log():
    now = progress(presets.preset("vae-digits"), {"loss": ([50, 1650], [30.0, 20.0]), "lr": ([50], [0.1])}, "")
    assert (now.step, now.loss, now.share, now.speed) == (1650, 20.0, 0.5, "")
    assert now.total == 3300  # 300 epochs of 1497 // 128 = 11 whole batches
    assert progress(presets.preset("dcgan-cryptopunks"), {}, "").total == 60 * (9000 // 64)
    assert progress(presets.preset("ddpm-digits"), {}, "").total == 3000


@pytest.mark.parametrize("change", ["data.without=[8, 9]", "data.dataset=folder:holiday", "data.dataset=nosuch"])
def test_progress_in_epochs_of_an_unknown_number_of_pictures_is_what_the_log_says(change):
    config = configs.override(presets.preset("vae-digits"), [change])
    first = "training: vae-digits, 75,000 parameters, 2,700 steps, on 1 x cpu, in runs/x\n"
    later = "step 100/2700  loss 26.9  kl 2.1  93,000 images/s  40 s left\n"  # all that is read of a long log
    for log in (first, later, first + later, "jaxgen: runs/x is finished: step 2700 of 2700; for more: ...\n"):
        assert progress(config, {}, log).total == 2700
    now = progress(config, {"loss": ([2700], [20.0])}, "")
    assert (now.total, now.finished) == (0, False)
    assert progress(config, {}, first + later).speed == "93,000 images/s"
    assert progress(config, {}, first + later).left == "40 s left"


def test_log_that_is_older_than_what_is_asked_for_is_not_read(tmp_path):
    jobs = Jobs(tmp_path)
    jobs.start("quick", ["presets"])
    wait(lambda: not jobs.running("quick"), "the end of a quick job")
    printed = (tmp_path / ".dashboard/quick.log").stat().st_mtime
    assert jobs.log("quick", since=printed) == jobs.log("quick") != ""
    assert jobs.log("quick", since=printed + 1) == ""
