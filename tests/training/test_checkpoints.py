import errno
import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from jaxgen.errors import JaxgenError
from jaxgen.training import checkpoints as checkpoints_module
from jaxgen.training.checkpoints import Checkpoints, SaveError
from jaxgen.training.train_step import TrainState


def state_of(step: int) -> TrainState:
    weights = {"a": jnp.arange(300.0) * step, "b.c": jnp.full((2, 3), step, jnp.float32)}
    ema = {name: leaf / 2 for name, leaf in weights.items()}
    return TrainState(jnp.int32(step), weights, ema, (jnp.int32(step), {"a": jnp.ones(5) / 3}))


LIKE = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), state_of(0))


def assert_same(one: TrainState, other: TrainState) -> None:
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert np.array_equal(a, b) and a.dtype == b.dtype


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """The checkpoints of steps 1, 2 and 3."""
    folder = tmp_path_factory.mktemp("saved")
    for step in (1, 2, 3):
        Checkpoints(folder).save(state_of(step))
    return folder


@pytest.fixture
def three(saved, tmp_path) -> Checkpoints:
    return Checkpoints(shutil.copytree(saved, tmp_path / "checkpoints"))


def test_newest_state_comes_back_bit_for_bit(three):
    assert_same(three.restore(LIKE), state_of(3))
    assert_same(three.restore(LIKE, step=1), state_of(1))
    assert three.steps() == [1, 2, 3]


@pytest.mark.parametrize("dtype", [jnp.int32, jnp.bfloat16])
def test_arrays_of_another_dtype_are_refused_and_not_cast(three, dtype):
    params = LIKE.params | {"a": jax.ShapeDtypeStruct((300,), dtype, sharding=LIKE.params["a"].sharding)}
    with pytest.raises(JaxgenError, match=r"00000003: does not fit .*: params\.a was saved as float32, and is "):
        three.restore(LIKE._replace(params=params))


@pytest.mark.parametrize("name", ["a[1]b", "back\\slash", "[!x]*?", "50% {name} ümlaut #1"])
def test_any_name_of_a_folder_keeps_what_is_saved(tmp_path, name):
    (tmp_path / name).mkdir()
    checkpoints = Checkpoints(tmp_path / name / "checkpoints")
    checkpoints.save(state_of(1), 0.5)
    assert [path.name for path in tmp_path.iterdir()] == [name]  # nothing went elsewhere
    assert_same(checkpoints.restore(LIKE, say=lambda line: pytest.fail(line)), state_of(1))


def test_checkpoint_that_an_older_jaxgen_lost_says_why(tmp_path):
    path = tmp_path / "a[1]" / "00000007"
    with ocp.StandardCheckpointer() as writer:  # as it did: Orbax finds nothing to merge, and says nothing
        writer.save(path / "state", state_of(7))
    checkpoints_module._seal(path, 7, None, None)
    said: list[str] = []
    with pytest.raises(JaxgenError, match="no whole checkpoint"):
        Checkpoints(path.parent).restore(LIKE, say=said.append)
    assert "Orbax lost its arrays" in said[0]


def lose_the_arrays(state: Path) -> None:
    (state / "manifest.ocdbt").unlink()


def list_nothing(state: Path) -> None:
    (state / "_METADATA").unlink()


@pytest.mark.parametrize("spoil", [lose_the_arrays, list_nothing])
def test_what_cannot_be_read_back_is_not_sealed_and_costs_no_other(three, monkeypatch, spoil):
    finished = ocp.StandardCheckpointer.wait_until_finished

    def spoiled(writer):
        finished(writer)
        spoil(three.path(4).with_suffix(".tmp") / "state")

    monkeypatch.setattr(ocp.StandardCheckpointer, "wait_until_finished", spoiled)
    with pytest.raises(JaxgenError, match="00000004: cannot be saved") as refused:
        three.save(state_of(4))
    assert "\n" not in str(refused.value) and three.steps() == [1, 2, 3]


def test_no_checkpoints_restore_to_nothing(tmp_path):
    assert Checkpoints(tmp_path / "none").restore(LIKE) is None
    assert (Checkpoints(tmp_path).best(), Checkpoints(tmp_path).steps()) == (None, [])


def flip(file: Path, bit: int) -> None:
    content = bytearray(file.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    file.write_bytes(content)


def largest(path: Path) -> Path:
    return max((file for file in path.rglob("*") if file.is_file()), key=lambda file: file.stat().st_size)


DAMAGES = {
    "flipped bit": lambda path: flip(largest(path), 8 * (largest(path).stat().st_size // 2) + 3),
    "truncated file": lambda path: largest(path).write_bytes(largest(path).read_bytes()[:-1]),
    "deleted file": lambda path: largest(path).unlink(),
    "added file": lambda path: (path / "state" / "more").write_bytes(b"x"),
    "missing seal": lambda path: (path / "jaxgen.json").unlink(),
    "empty seal": lambda path: (path / "jaxgen.json").write_bytes(b""),
    "foreign seal": lambda path: (path / "jaxgen.json").write_text("[1]"),
    "seal of nothing": lambda path: (path / "jaxgen.json").write_text('{"files": {}}'),
    "half deleted": lambda path: shutil.rmtree(path / "state"),
    "empty folder": lambda path: (shutil.rmtree(path), path.mkdir()),
    "file in place of the folder": lambda path: (shutil.rmtree(path), path.write_bytes(b"x")),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_newest_checkpoint_is_passed_over_and_named(three, damage):
    damage(three.path(3))
    said: list[str] = []
    assert_same(three.restore(LIKE, say=said.append), state_of(2))
    (line,) = said
    assert str(three.path(3)) in line and "damaged" in line and "\n" not in line


def test_every_single_file_is_guarded(three):
    files = [file for file in three.path(3).rglob("*") if file.is_file() and file.name != "jaxgen.json"]
    assert len(files) > 4
    for file in files:
        before = file.read_bytes()
        if before:
            flip(file, random.Random(0).randrange(8 * len(before)))
        else:
            file.write_bytes(b"x")
        said: list[str] = []
        assert_same(three.restore(LIKE, say=said.append), state_of(2))
        assert file.relative_to(three.path(3)).as_posix() in said[0]
        file.write_bytes(before)
    assert_same(three.restore(LIKE, say=lambda line: pytest.fail(line)), state_of(3))


def test_damage_is_reported_on_stderr(three, capsys):
    three.path(3).joinpath("jaxgen.json").unlink()
    three.restore(LIKE)
    out, err = capsys.readouterr()
    assert out == "" and "jaxgen.json is missing" in err


def test_all_damaged_is_one_line(three):
    for step in (1, 2, 3):
        flip(largest(three.path(step)), 77)
    said: list[str] = []
    with pytest.raises(JaxgenError, match=r"no whole checkpoint \(of step 1, 2, 3\); train again") as refused:
        three.restore(LIKE, say=said.append)
    assert "\n" not in str(refused.value) and len(said) == 3


def test_named_step_is_not_replaced_by_another(three):
    three.path(2).joinpath("jaxgen.json").unlink()
    with pytest.raises(JaxgenError, match="no whole checkpoint"):
        three.restore(LIKE, step=2)


def test_whole_checkpoint_of_another_network_is_one_line(three):
    other = {**LIKE.params, "d": jax.ShapeDtypeStruct((1,), jnp.float32)}
    with pytest.raises(JaxgenError, match="does not fit this config") as refused:
        three.restore(LIKE._replace(params=other))
    assert "\n" not in str(refused.value)


def test_last_ones_and_the_best_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step, score in [(1, 0.9), (2, 0.5), (3, 0.7), (4, None), (5, 0.6)]:
        checkpoints.save(state_of(step), score)
    assert (checkpoints.steps(), checkpoints.best()) == ([2, 4, 5], 2)
    assert_same(checkpoints.restore(LIKE, step=2), state_of(2))
    checkpoints.save(state_of(6), 0.1)
    assert (checkpoints.steps(), checkpoints.best()) == ([5, 6], 6)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000005", "00000006"]


def test_best_is_the_lowest_fid_where_one_was_measured(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=1)
    measured = [(1, 0.1, None), (2, 0.5, 40.0), (3, 0.4, 50.0), (4, None, 30.0), (5, 0.05, None)]
    best = []
    for step, score, fid in measured:
        checkpoints.save(state_of(step), score, fid=fid)
        best.append(checkpoints.best())
    assert best == [1, 2, 2, 4, 4] and checkpoints.steps() == [4, 5]
    assert [checkpoints.score(step) for step in (4, 5)] == [None, 0.05]


def test_a_step_saved_again_replaces_the_first(three):
    three.save(state_of(3)._replace(ema={"a": jnp.zeros(300), "b.c": jnp.ones((2, 3))}))
    assert not three.restore(LIKE).ema["a"].any()


def test_leftovers_of_a_killed_save_are_neither_listed_nor_kept(three):
    shutil.copytree(three.path(3), three.folder / "00000004.tmp")
    shutil.copytree(three.path(3), three.folder / "00000005.trash")
    assert_same(three.restore(LIKE, say=lambda line: pytest.fail(line)), state_of(3))
    three.save(state_of(4))
    assert sorted(path.name for path in three.folder.iterdir()) == ["00000002", "00000003", "00000004"]
    assert_same(three.restore(LIKE), state_of(4))


def test_set_aside_steps_stay_on_the_disk_and_count_no_more(three):
    three.path(3).joinpath("jaxgen.json").unlink()
    for _ in range(2):  # the second time there is one already
        three.set_aside_after(2)
        assert three.steps() == [1, 2] and (three.folder / "00000003.damaged" / "state").is_dir()
        three.path(3).mkdir()
        (three.path(3) / "state").mkdir()


def test_a_damaged_newer_one_does_not_push_out_what_is_saved_after_it(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(state_of(1))
    (tmp_path / "00000009").mkdir()
    checkpoints.set_aside_after(1)
    checkpoints.save(state_of(2))
    assert_same(checkpoints.restore(LIKE, say=lambda line: pytest.fail(line)), state_of(2))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS])
def test_fault_of_the_disk_is_one_line_and_leaves_what_was_saved(three, monkeypatch, capfd, number):
    def fail(writer):
        logging.getLogger("absl").error("a foreign traceback")
        threading.Thread(target=lambda: 1 / 0).start()
        raise ValueError(f"INTERNAL: Error writing\n{three.folder}: [{os.strerror(number)}]")

    monkeypatch.setattr(ocp.StandardCheckpointer, "wait_until_finished", fail)
    with pytest.raises(SaveError) as refused:
        three.save(state_of(4))
    assert str(refused.value) == f"{three.path(4)}: cannot be saved: {os.strerror(number)}"
    assert three.steps() == [1, 2, 3] and not list(three.folder.glob("*.tmp"))
    assert capfd.readouterr().err == ""


def test_vanished_folder_is_not_made_anew(tmp_path):
    run = tmp_path / "mount" / "run"
    with pytest.raises(SaveError, match="checkpoints: No such file or directory"):
        Checkpoints(run / "checkpoints").save(state_of(1))
    assert not run.parent.exists()


def test_unwritable_place_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(JaxgenError) as refused:
        Checkpoints(tmp_path / "file" / "checkpoints").save(state_of(1))
    assert str(tmp_path) in str(refused.value) and "\n" not in str(refused.value)


def test_scores_are_in_the_seal_and_broken_ones_are_none(three):
    three.save(state_of(4), 0.25)
    assert json.loads((three.path(4) / "jaxgen.json").read_text())["score"] == three.score(4) == 0.25
    (three.path(4) / "jaxgen.json").write_text('{"score": "x"}')
    assert three.score(4) is None and three.score(99) is None


class Crash(BaseException):
    """Like SIGKILL, nobody's to handle."""


@pytest.fixture
def crash_at(monkeypatch):
    """crash_at(n): end the n-th renaming, deleting or syncing from now on before it has done (all of) its work."""
    left = [0]

    def guard(owner: object, name: str, halfway=lambda *_: None) -> None:
        real = getattr(owner, name)

        def call(*arguments, **rest):
            left[0] -= 1
            if left[0] == 0:
                halfway(*arguments)
                raise Crash
            return real(*arguments, **rest)

        monkeypatch.setattr(owner, name, call)

    guard(os, "fsync")
    guard(Path, "rename")
    guard(checkpoints_module.shutil, "rmtree", lambda path, *_: largest(path).unlink())
    return lambda n: left.__setitem__(0, n)


def test_crash_at_any_moment_of_a_save_leaves_whole_checkpoints_alone(tmp_path, crash_at):
    checkpoints, step, moments = Checkpoints(tmp_path, keep=1), 1, 0
    checkpoints.save(state_of(1))
    for moments in range(1, 1000):
        crash_at(moments)
        try:
            checkpoints.save(state_of(step + 1))
            break
        except Crash:
            crash_at(0)
        assert checkpoints.steps()[-1] in (step, step + 1)
        step = checkpoints.steps()[-1]
        for each in checkpoints.steps():
            assert_same(checkpoints.restore(LIKE, step=each, say=lambda line: pytest.fail(line)), state_of(each))
    assert moments > 10


SAVER = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_checkpoints import state_of
from jaxgen.training.checkpoints import Checkpoints
checkpoints = Checkpoints(Path({folder!r}), keep=1)
first = max(checkpoints.steps(), default=0)
for step in range(first + 1, first + 10_000):
    checkpoints.save(state_of(step))
    print(step, flush=True)
"""


def test_killed_while_saving_leaves_whole_checkpoints_alone(tmp_path):
    code = SAVER.format(tests=str(Path(__file__).parent), folder=str(tmp_path / "checkpoints"))
    checkpoints, rng = Checkpoints(tmp_path / "checkpoints"), random.Random(0)
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as saver:
            reported = int(saver.stdout.readline())
            time.sleep(rng.uniform(0, 0.5))
            saver.send_signal(signal.SIGKILL)
            reported = int((saver.stdout.read().split() or [reported])[-1])
        restored = checkpoints.restore(LIKE, say=lambda line: pytest.fail(line))
        assert restored.step >= reported
        assert_same(restored, state_of(int(restored.step)))
