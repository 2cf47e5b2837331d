"""The dashboard's jobs, which outlive it, and what it reads of their progress."""

import json
import subprocess
import sys

import pytest
from dashboards import SHORT, wait

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.runs.folder import RunFolder
from jaxgen.runs.metrics import Tail
from jaxgen.runs.status import read_status, saved_checkpoints
from jaxgen_serve.dashboard import background_jobs
from jaxgen_serve.dashboard.background_jobs import Jobs

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
    jobs, run = Jobs(tmp_path), RunFolder(tmp_path / "long")
    assert jobs.running("long") and jobs.find("long").pid == pid
    wait(lambda: saved_checkpoints(run), "a checkpoint")
    before = read_status(run, Tail(run.metrics_file).read())
    assert 0 < before.step < before.total == 1_000_000
    assert before.state == "training" and before.images_per_second > 0 and before.seconds_left > 0
    with pytest.raises(UsageError, match="long is running already"):
        jobs.start("long", ["presets"])
    jobs.stop("long")
    jobs.stop("long")  # a second signal would lose what is being saved
    wait(lambda: not jobs.running("long"), "the end of a stopped run")
    saved = saved_checkpoints(run)[-1].step
    assert f"interrupted, saved at step {saved}; go on with" in background_jobs.complaint(jobs.log("long"))
    assert saved >= before.step
    jobs.start("long", ["train", "--resume", str(run.path), "--set", f"training.steps={saved + 5}"])
    wait(lambda: not jobs.running("long"), "the end of a resumed run")
    assert saved_checkpoints(run)[-1].step == saved + 5
    assert read_status(run, Tail(run.metrics_file).read()).state == "finished"


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


def test_command_that_crashes_says_so_in_words(tmp_path, monkeypatch):
    crashing = tmp_path / "python"
    crashing.write_text("#!/bin/sh\nkill -SEGV $$\n")
    crashing.chmod(0o755)
    monkeypatch.setattr(background_jobs.sys, "executable", str(crashing))
    with pytest.raises(JaxgenError, match=r"^'jaxgen latent' crashed: Segmentation fault$"):
        background_jobs.run(["latent", "map"], deadline=60)


def test_log_that_is_older_than_the_request_is_not_read(tmp_path):
    jobs = Jobs(tmp_path)
    jobs.start("quick", ["presets"])
    wait(lambda: not jobs.running("quick"), "the end of a quick job")
    printed = (tmp_path / ".dashboard/quick.log").stat().st_mtime
    assert jobs.log("quick", since=printed) == jobs.log("quick") != ""
    assert jobs.log("quick", since=printed + 1) == ""
