"""The static site on the disk: written whole or not at all, of files that npm fetched and nobody changed."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest

from jaxgen import shipped
from jaxgen.errors import JaxgenError, UsageError
from jaxgen.inference import model_file
from jaxgen_serve.web.npm_packages import ONNXRUNTIME
from jaxgen_serve.web.static_site import write_site

pytestmark = pytest.mark.usefixtures("runtime")


def test_site_describes_its_model_and_its_plans(diffusion_site, conditional):
    about = json.loads((diffusion_site / "site.json").read_bytes())
    (model,) = about["models"]
    assert (model["name"], model["family"], model["shape"]) == ("model", "ddpm", [8, 8, 3])
    assert (model["classes"], model["label_optional"], model["quick"]) == (["ant", "2", "bee"], True, False)
    assert model["plan"]["max_steps"] == 50
    assert {"ddim-8", "ancestral-50", "dpmpp-2m-10"} <= set(model["plans"])
    for name in ("ancestral-50", "dpmpp-2m-10", "dpmpp-2m-20"):  # tables that the exporter made
        plan, theirs = model["plans"][name], conditional.manifest["plans"][name]
        assert (plan["sampler"], plan["steps"]) == (theirs["sampler"], theirs["steps"])
        assert base64.b64decode(plan["table"]) == base64.b64decode(theirs["table"])
    written = {path.relative_to(diffusion_site).as_posix() for path in diffusion_site.rglob("*") if path.is_file()}
    assert written == set(about["files"])
    assert model["sha256"] == conditional.manifest["sha256"]  # what an image of the page says it was sampled by
    file = model_file.read(diffusion_site / "model.onnx")
    assert (file.manifest["made_from"], len(file.data)) == (conditional.manifest["sha256"], model["size_bytes"])
    inputs = onnxruntime.InferenceSession(file.data).get_inputs()
    assert [one.name for one in inputs] == ["seed", "index", "label", "guidance", "plan", "state"]


def test_site_of_a_folder_has_each_model_with_what_reads_its_images(family, plane, jaxgen, tmp_path):
    models = tmp_path / "models"
    models.mkdir()
    shutil.copy(family("vae").onnx, models / "first.onnx")
    shutil.copy(family("vae").onnx.with_suffix(".encoder.onnx"), models / "first.encoder.onnx")
    shutil.copy(plane.onnx, models / "second.onnx")
    done = jaxgen("export", models, "--web", tmp_path / "site")
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'site'}\n"), done.stderr
    about = json.loads((tmp_path / "site/site.json").read_bytes())
    first, second = about["models"]
    assert [one["name"] for one in about["models"]] == ["first", "second"]
    assert (first["encoder"], second["encoder"], second["map"]["file"]) == (True, False, "models/second-map.png")
    encoder = tmp_path / "site" / first["encoder_file"]
    assert encoder.read_bytes() == (models / "first.encoder.onnx").read_bytes()
    assert first["classifier"] == [str(n) for n in range(10)]
    assert (tmp_path / "site" / first["classifier_file"]).read_bytes() == shipped.extractor("digits").read_bytes()
    assert (tmp_path / "site" / second["file"]).exists()
    assert set(about["files"]) == {
        path.relative_to(tmp_path / "site").as_posix() for path in (tmp_path / "site").rglob("*") if path.is_file()
    }


def test_site_has_the_licences_of_what_it_passes_on(diffusion_site):
    licence = (diffusion_site / "ort/LICENSE").read_bytes()
    assert licence == Path(onnxruntime.__file__).with_name("LICENSE").read_bytes()  # the project's own, of any build
    for package in ("fflate", "gifenc"):
        assert "MIT License" in (diffusion_site / package / "LICENSE").read_text()
    assert "LICENSE" not in (diffusion_site / "service-worker.js").read_text()


def test_earlier_site_is_replaced_and_any_other_folder_refused(conditional, tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    write_site({"model": conditional.onnx}, site)
    write_site({"renamed": conditional.onnx}, site)
    assert json.loads((site / "site.json").read_bytes())["models"][0]["name"] == "renamed"
    (site / "notes.txt").write_text("mine")
    before = sorted(site.rglob("*"))
    with pytest.raises(UsageError, match=r"holds files that are not of an earlier site \(notes.txt\)"):
        write_site({"model": conditional.onnx}, site)
    assert sorted(site.rglob("*")) == before
    with pytest.raises(UsageError, match="got a file"):
        write_site({"model": conditional.onnx}, site / "notes.txt")
    with pytest.raises(UsageError, match="create it first"):
        write_site({"model": conditional.onnx}, tmp_path / "no" / "site")
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_full_disk_leaves_the_earlier_site_as_it_was(conditional, tmp_path):
    site = tmp_path / "site"
    write_site({"model": conditional.onnx}, site)
    before = {path: path.read_bytes() for path in site.rglob("*") if path.is_file()}
    code = f"""
import resource, signal
from pathlib import Path
from jaxgen_serve.web.static_site import write_site
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, 10**6))
write_site({{"model": Path({str(conditional.onnx)!r})}}, Path({str(site)!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "JaxgenError" in done.stderr.splitlines()[-1]
    assert {path: path.read_bytes() for path in site.rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_missing_npm_exits_4_with_one_line(conditional, tmp_path, jaxgen):
    done = jaxgen(
        "export", conditional.onnx, "--web", tmp_path / "site", PATH=str(tmp_path), XDG_CACHE_HOME=str(tmp_path)
    )
    assert (done.returncode, done.stdout) == (4, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("jaxgen: this needs onnxruntime-web, which npm fetches")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(
    shutil.which("npm") is None, reason="THE WAY WITHOUT A NETWORK WAS NOT TESTED: npm is not installed"
)
def test_npm_without_network_exits_3_and_names_no_host(conditional, tmp_path, jaxgen):
    nobody = {"npm_config_registry": "http://127.0.0.1:9/", "npm_config_fetch_retries": "0"}
    nobody |= {"npm_config_cache": str(tmp_path / "npm"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = jaxgen("export", conditional.onnx, "--web", tmp_path / "site", **nobody)
    assert (done.returncode, done.stdout) == (3, "")
    line = done.stderr.splitlines()[-1]
    assert line.startswith("jaxgen: npm could not fetch onnxruntime-web")
    assert "127.0.0.1" not in done.stderr
    assert not (tmp_path / "site").exists()


def test_changed_file_in_the_cache_is_not_used(runtime, tmp_path, monkeypatch):
    """Without npm it cannot be fetched again, which shows that it was noticed."""
    cache = tmp_path / "jaxgen" / runtime.name
    shutil.copytree(runtime, cache)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert ONNXRUNTIME.fetch() == ONNXRUNTIME.folder() == cache
    damaged = bytearray((cache / "ort.js").read_bytes())
    damaged[-1] ^= 1
    (cache / "ort.js").write_bytes(damaged)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(JaxgenError, match="npm"):
        ONNXRUNTIME.fetch()


@pytest.mark.parametrize(("options", "complaint"), [((), "give --web DIR"), (("-o", "b.onnx"), "required with -o")])
def test_exported_file_is_taken_for_a_site_or_for_required_inputs_alone(
    conditional, jaxgen, tmp_path, options, complaint
):
    web = ("--web", tmp_path / "site") if options else ()
    done = jaxgen("export", conditional.onnx, *options, *web)
    assert done.returncode == 2
    assert complaint in done.stderr
