"""What sampling costs on the base install, on a network of the size of ddpm-mnist with random weights."""

import subprocess
import sys
import time

import pytest

from jaxgen.config.presets import preset


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    from jaxgen.models.network import fresh
    from jaxgen_export.export import export_model

    config, path = preset("ddpm-mnist"), tmp_path_factory.mktemp("mnist") / "model.onnx"
    export_model(config, fresh(config), path, certify=False)
    return path


def test_from_the_shell_to_a_png_of_one_image_takes_less_than_a_second(model, tmp_path):
    command = [sys.executable, "-m", "jaxgen", "sample", str(model), "-n", "1", "--steps", "10"]

    def seconds() -> float:
        start = time.perf_counter()
        subprocess.run([*command, "-o", str(tmp_path / "one.png")], check=True, capture_output=True)
        return time.perf_counter() - start

    assert min(seconds() for _ in range(5)) < 1.0  # the least: other tests may run meanwhile


def test_64_images_need_less_than_400_mb(model, tmp_path):
    measure = (
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    command = [sys.executable, "-m", "jaxgen", "sample", str(model), "-n", "64", "--steps", "3"]
    done = subprocess.run(
        [sys.executable, "-c", measure, *command, "-o", str(tmp_path / "grid.png")],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert int(done.stdout) < 400_000  # kB on Linux
