"""What a command shows while it works: on a terminal, and in a pipe."""

import io
import os
import pty
import re
import subprocess
import sys

import click
import pytest

from jaxgen.cli import progress
from jaxgen.cli.help import Command
from jaxgen.cli.progress import ProgressBar


@pytest.fixture
def terminal(monkeypatch):
    """rich takes stderr for a terminal, and nothing is too fast to be shown."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress, "PATIENCE", 0)


def words(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)


def test_what_is_fast_shows_nothing(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(progress, "PATIENCE", 1000)
    with ProgressBar("sampling") as bar:
        bar.count("sampling", 1, 2)
    assert capsys.readouterr() == ("", "")


def test_terminal_sees_what_is_done_and_of_how_much_and_the_time(terminal, capsys):
    with ProgressBar("loading") as bar:
        bar.count("sampling", 0, 2000)
        bar.count("sampling", 640, 2000)
    out, err = capsys.readouterr()
    assert out == "" and "loading" in words(err)
    assert re.search(r"sampling \S+ 640/2,000 0:00:0\d", words(err))


def test_terminal_sees_the_time_of_what_cannot_be_counted(terminal, capsys):
    with ProgressBar("exporting"):
        pass
    assert re.search(r"exporting \S+\s+0:00:0\d", words(capsys.readouterr().err))


def test_pipe_hears_of_a_long_stage_now_and_then_and_of_a_short_one_nothing(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with ProgressBar() as bar:
        for done, seconds in ((0, 0), (64, 5), (128, 11), (192, 15), (1920, 40), (2000, 60)):
            now[0] = seconds
            bar.count("sampling", done, 2000)
    assert capsys.readouterr().err == "sampling: 128 of 2,000\nsampling: 1,920 of 2,000\n"


def test_bar_makes_way_and_comes_back(terminal, capsys):
    with ProgressBar("exporting") as bar:
        capsys.readouterr()
        with bar.paused():
            capsys.readouterr()
            print("another process", file=sys.stderr)
            assert words(capsys.readouterr().err) == "another process\n"
        assert "exporting" in words(capsys.readouterr().err)
    capsys.readouterr()
    with ProgressBar().paused():  # one that was not there stays away
        pass
    assert capsys.readouterr().err == ""


def test_command_that_prints_ends_its_bar_first(terminal, monkeypatch):
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", screen)
    with ProgressBar("sampling"):
        click.echo('{"a": ' + '"word ' * 60 + '"}')  # longer than a line: it must not be wrapped
        click.echo("second")
    assert sys.stdout is screen
    text = screen.getvalue()
    assert words(text).count("sampling") and text.endswith('"}\nsecond\n')
    assert '{"a": ' + '"word ' * 60 + '"}' in text


def test_every_command_shows_that_it_works_but_those_that_show_it_themselves():
    from jaxgen.cli import cli

    def below(group):
        for name, command in group.commands.items():
            yield from below(command) if isinstance(command, click.Group) else [(name, command)]

    assert all(isinstance(command, Command) for _, command in below(cli))
    quiet = {name for name, command in below(cli) if command.doing is None}
    assert quiet == {"train", "distill", "serve", "dashboard"}


def test_sampling_on_a_terminal_has_a_bar(command, terminal):
    outcome = command("sample", "cvae-digits", "-n", 200, "-o", "a.npy")
    assert outcome.out == "a.npy\n"
    assert "200/200" in words(outcome.err)


def test_frames_of_a_gif_are_counted(command, terminal):
    from golden import calls

    outcome = command("sample", calls.FOLDERS[-1] / "flow.onnx", "-n", 2, "--steps", 3, "-o", "a.gif")
    assert outcome.out == "a.gif\n" and "4/4" in words(outcome.err)


def test_real_terminal_is_left_as_it_was():
    master, slave = pty.openpty()
    code = (
        "import time\nfrom jaxgen.cli import progress\nprogress.PATIENCE = 0\n"
        "with progress.ProgressBar('working') as bar:\n    bar.count('sampling', 1, 2)\n    time.sleep(0.2)\n"
        "print('end')"
    )
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    with subprocess.Popen([sys.executable, "-c", code], stdout=slave, stderr=slave, env=environment) as process:
        os.close(slave)
        seen = b""
        while True:
            try:
                part = os.read(master, 65536)
            except OSError:  # Linux's end of a terminal
                break
            if not part:
                break
            seen += part
        assert process.wait() == 0
    os.close(master)
    text = seen.decode()
    assert "1/2" in words(text) and text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # the cursor is there again
    assert words(text).endswith("end\r\n")


def test_training_shows_that_it_loads_until_it_shows_its_own_progress(command, terminal, monkeypatch, capsys):
    from jaxgen.training import trainer

    def train(config, folder, *, prepared, **_):
        assert "loading JAX, the data and the network" in words(capsys.readouterr().err)
        prepared()
        capsys.readouterr()
        print("its own", file=sys.stderr)
        return folder

    monkeypatch.setattr(trainer, "train", train)
    outcome = command("train", "--preset", "ddpm-digits")
    assert (outcome.code, outcome.err) == (0, "its own\n")
