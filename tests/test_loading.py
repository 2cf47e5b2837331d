"""What loads when: a file opens without a training's config, the help is quick, and onnxruntime keeps silent."""

import os
import resource
import subprocess
import sys
from pathlib import Path


def test_opening_a_file_and_sampling_from_it_loads_no_config_of_a_training():
    code = (
        "import sys, jaxgen.inference.writers; from jaxgen.inference.model import Model; "
        f"model = Model.open({str(Path(__file__).parent / 'golden/format2/vae.onnx')!r}); model.sample([0], [0]); "
        "sys.exit(' '.join(name for name in sys.modules if name.startswith('jaxgen.config')) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_help_takes_a_fifth_of_a_second():
    def seconds() -> float:
        """Of the processor, and not of the clock: other work on the machine does not count."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "jaxgen", "--help"], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(5)) < 0.2


def test_onnxruntime_telemetry_is_off_before_it_is_loaded():
    shown = "os.environ['ORT_DISABLE_TELEMETRY'], 'onnxruntime' in sys.modules"
    code = f"import jaxgen.inference.session, os, sys; print({shown})"
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.split() == ["1", "False"]
