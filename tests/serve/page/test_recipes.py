"""What the Copy menu gives: a command, curl and Python that get the images that the page shows."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
from servers import pixels

from jaxgen.cli import main
from jaxgen.images import png_pixels, read_png
from jaxgen_serve.web import PAGE

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
NAMES = ("model", "sha256", "seed", "label", "sampler", "steps", "eta", "guidance")


@pytest.fixture(params=["one", "in turn", "optional", "picked"])
def asked(request, client, server):
    """Images of the API, and the recipes for them."""
    body = {
        "one": {"model": "classes", "seed": 6, "label": 1, "steps": 4, "guidance": 2.0},  # the class called 2
        "in turn": {"model": "vae", "seed": 7, "index": 2},
        "optional": {"model": "classes", "seed": 8, "sampler": "dpmpp-2m", "steps": 3},
        "picked": {"model": "vae", "seed": 9, "label": "bee"},
    }[request.param]
    answer = client.post(f"/generate-batch?num_images={1 if request.param == 'one' else 3}", json=body).json()
    if request.param == "picked":
        answer["images"] = answer["images"][::2]
    used = {name: answer[name] for name in NAMES}
    images = [{key: one[key] for key in ("index", "label", "class_name")} for one in answer["images"]]
    file = f"{server.url}/model-file?model={body['model']}"
    given = f"{json.dumps(used)}, {json.dumps(images)}"
    code = f"""import {{ commandOf, curlOf, pythonOf }} from {json.dumps((PAGE / "recipes.js").as_uri())};
const file = {json.dumps(file)};
const all = [commandOf({given}, file), curlOf({given}, "{server.url}/"), pythonOf({given}, file, 3)];
console.log(JSON.stringify(all));"""
    done = subprocess.run(["node", "--input-type=module", "-"], input=code, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return np.array([pixels(one["image"]) for one in answer["images"]]), json.loads(done.stdout)


def test_copied_command_and_python_sample_the_images_of_the_page(asked, client, shelf, tmp_path, monkeypatch):
    want, (command, _, python) = asked
    monkeypatch.chdir(tmp_path)
    fetch, *sample = command.splitlines()
    name = shlex.split(fetch)[2]
    shutil.copy(shelf / name, tmp_path)
    assert client.get(shlex.split(fetch)[3]).content == (shelf / name).read_bytes()
    made = []
    for line in sample:
        words = [word.replace(".png", ".npy") for word in shlex.split(line)]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        made.append(np.load(words[-1]))
    assert np.array_equal(np.concatenate(made), want)
    found: dict = {}
    exec(re.sub(r"urlretrieve\(.*\)\n", "", python), found)
    assert np.array_equal(found["images"], want)


def test_copied_curl_fetches_the_images_of_the_page(asked, client, tmp_path):
    want, (_, curl, _) = asked
    words = shlex.split(curl)
    if len(want) > 1:
        answer = client.post(words[3], content=words[-1], headers={"content-type": "application/json"})
        (tmp_path / "it.zip").write_bytes(answer.content)
        shutil.unpack_archive(tmp_path / "it.zip", tmp_path / "it")
        found = np.array([read_png(path) for path in sorted((tmp_path / "it").iterdir())])
    else:
        found = png_pixels(client.get(words[3]).content, "it")[None]
    assert words[:2] == ["curl", "-o"]
    assert np.array_equal(found, want)
