"""The packages of the static site, and a site."""

import shutil
from pathlib import Path

import pytest

from jaxgen.errors import JaxgenError
from jaxgen_serve.web.npm_packages import ONNXRUNTIME, SITE
from jaxgen_serve.web.static_site import write_site


@pytest.fixture(scope="module")
def runtime():
    """onnxruntime-web's files, and the other packages', in the user's own cache."""
    if not all(package.folder() for package in SITE) and shutil.which("npm") is None:
        pytest.skip("THE STATIC SITE WAS NOT TESTED: npm is not installed (Debian: apt install npm)")
    try:
        for package in SITE:
            package.fetch()
        return ONNXRUNTIME.fetch()
    except JaxgenError as err:
        pytest.skip(f"THE STATIC SITE WAS NOT TESTED: {err}")


@pytest.fixture(scope="module")
def diffusion_site(conditional, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("diffusion") / "site"
    write_site({"model": conditional.onnx}, folder)
    return folder
