"""The files of the page at /app: cached by content, fenced in by their headers, and no others."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

from jaxgen.inference.provenance import Provenance
from jaxgen_serve.web import PAGE


def test_files_are_cached_by_content_and_nothing_else_is_served(client):
    page = client.get("/app/")
    assert "script-src 'self' 'wasm-unsafe-eval';" in page.headers["content-security-policy"]
    assert page.headers["cross-origin-opener-policy"] == "same-origin"
    assert page.headers["cross-origin-embedder-policy"] == "require-corp"
    again = client.get("/app/", headers={"If-None-Match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/app", follow_redirects=False).headers["location"] == "/app/"
    assert client.get("/app/main.js").headers["content-type"].startswith("text/javascript")
    for path in (
        "/app/nothing.js",
        "/app/..%2fapp.py",
        "/app/%2e%2e/app.py",
        "/app/ort/nothing.wasm",
        "/app/ort/..%2fx",
    ):
        refused = client.get(path)
        assert refused.status_code == 404, path
        assert "\n" not in refused.json()["detail"]
    assert not re.search(
        r"https?://", "".join(path.read_text() for path in PAGE.iterdir()).replace("http://www.w3.org/", "")
    )


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.parametrize("untrained", [False, True])
@pytest.mark.parametrize("label", [None, 0, 9])
def test_saved_files_have_the_names_that_python_gives(label, untrained):
    seed, index = 2**32 - 1, 1_000_002
    used, image = json.dumps({"seed": seed, "untrained": untrained}), json.dumps({"index": index, "label": label})
    asked = f"[imageName({used}, {image}), batchName({used}, {{name: 'm'}}, '.zip')]"
    code = f"{(PAGE / 'file-names.js').read_text()}\nconsole.log(JSON.stringify({asked}));"
    done = subprocess.run(["node", "--input-type=module", "-"], input=code, capture_output=True, text=True, check=True)
    made = Provenance(model="", seed=seed, index=index, label=-1 if label is None else label, untrained=untrained)
    assert json.loads(done.stdout) == [made.file_name, made.batch_name("m", ".zip")]
