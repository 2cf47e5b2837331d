import errno
import os
import stat

import pytest

from jaxgen import files
from jaxgen.errors import JaxgenError, disk_fault, explain
from jaxgen.files import read_bytes, write_atomically


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("content", [b"new", lambda stream: stream.write(b"new")])
def test_write_replaces_the_file_and_leaves_nothing_else(tmp_path, content):
    (tmp_path / "a").write_bytes(b"old")
    write_atomically(tmp_path / "a", content)
    assert (tmp_path / "a").read_bytes() == b"new"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("failure", [OSError("disk full"), ZeroDivisionError(), KeyboardInterrupt()])
def test_failed_write_keeps_the_old_file_and_leaves_nothing_else(tmp_path, failure):
    def writer(stream):
        stream.write(b"half")
        stream.flush()
        raise failure

    (tmp_path / "a").write_bytes(b"old")
    expected = JaxgenError if isinstance(failure, OSError) else type(failure)
    with pytest.raises(expected):
        write_atomically(tmp_path / "a", writer)
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_bytes_are_on_the_disk_before_the_rename(tmp_path, monkeypatch):
    events: list[object] = []
    replace = files.Path.replace
    monkeypatch.setattr(os, "fsync", lambda handle: events.append(os.fstat(handle)))
    monkeypatch.setattr(files.Path, "replace", lambda *names: (events.append("rename"), replace(*names))[1])
    write_atomically(tmp_path / "a", b"123")
    file, rename, folder = events
    assert file.st_size == 3 and rename == "rename" and stat.S_ISDIR(folder.st_mode)


def test_written_file_has_the_mode_of_any_new_file(tmp_path):
    (tmp_path / "plain").touch()
    write_atomically(tmp_path / "a", b"x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_write_through_a_link_keeps_the_link(tmp_path):
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "link").symlink_to("target")
    write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"


def test_write_to_a_pipe_goes_through_it_and_leaves_it_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_atomically(tmp_path / "pipe", b"x")
    assert os.read(reader, 10) == b"x"
    assert (tmp_path / "pipe").is_fifo()
    os.close(reader)


@pytest.mark.parametrize("name", ["no/such/folder/a", "file/a", ".", "a\0b", "n" * 300])
def test_unwritable_place_gets_one_line_that_names_it(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(JaxgenError, match="cannot be written") as refusal:
        write_atomically(tmp_path / name, b"x")
    assert str(refusal.value).startswith(str(tmp_path)) and "\n" not in str(refusal.value)
    assert names(tmp_path) == ["file"]


def test_read_gives_the_bytes_up_to_the_limit(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    assert read_bytes(tmp_path / "a", 5) == b"12345"
    with pytest.raises(JaxgenError, match="at most 4 bytes, got 5"):
        read_bytes(tmp_path / "a", 4)


def test_read_of_what_is_no_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for a writer
    for name in ("pipe", ".", "missing", "a\0b", "n" * 300):
        with pytest.raises(JaxgenError) as refusal:
            read_bytes(tmp_path / name, 10)
        assert str(refusal.value).startswith(str(tmp_path))


def test_fault_of_the_disk_is_found_behind_a_library_s_error():
    full = OSError(errno.ENOSPC, "No space left on device", "run/state")
    try:
        try:
            raise full
        except OSError as err:
            raise ValueError("INTERNAL") from err
    except ValueError as err:
        behind = err
    assert disk_fault(behind) == explain(behind)[0] == "run/state: No space left on device"
    # XLA's status for memory is also TensorStore's for a disk.
    told = RuntimeError("RESOURCE_EXHAUSTED: Error writing: [OS error 28: No space left on device]")
    assert explain(told) == ("No space left on device", 3)
    assert (
        disk_fault(FileNotFoundError(errno.ENOENT, "No such file or directory", "x")) == "x: No such file or directory"
    )
    assert disk_fault(PermissionError(errno.EACCES, "Permission denied", "x")) is None
