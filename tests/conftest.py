"""What is compiled once in a session is not compiled again, in this process or in those that tests start."""

import contextlib
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import onnx
import pytest
from filelock import FileLock, Timeout
from tiny import CLASSES, CONDITIONAL, FAMILIES, UNCONDITIONAL, Exported, exported

from jaxgen.config import DDPM, Config, DataConfig, DiffusionConfig, TrainingConfig, UNetConfig
from jaxgen.inference import model_file
from jaxgen.inference.model import Model

# These say what differs, too.
pytest.register_assert_rewrite("adopting", "dashboards", "engines", "onnx_files", "runtimes")
CACHE = tempfile.mkdtemp(prefix="jaxgen-tests-")
os.environ |= {  # here and not in a hook: before anything imports jax
    "JAX_COMPILATION_CACHE_DIR": CACHE,
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    # Tiny networks that run a few times: compiling them well takes longer than running them.
    "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0",
    "OMP_WAIT_POLICY": "PASSIVE",  # PyTorch's idle threads sleep: spinning takes minutes on a busy machine
}
if (run := os.environ.get("PYTEST_XDIST_TESTRUNUID")) and hasattr(os, "sched_setaffinity"):
    # A core each. With all cores, the threads of XLA, PyTorch and onnxruntime in one worker wait for those in another.
    for core in sorted(os.sched_getaffinity(0)):
        CORE = FileLock(Path(tempfile.gettempdir()) / f"jaxgen-tests-{run}-core{core}")  # until this worker ends
        with contextlib.suppress(Timeout):
            CORE.acquire(timeout=0)
            os.sched_setaffinity(0, {core})
            break


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Where everything must run (JAXGEN_NO_SKIP=1), a test that lacks its browser or npm has failed."""
    report = yield
    missing = any(words in str(report.longrepr) for words in ("DID NOT RUN", "NOT TESTED"))
    if report.skipped and missing and os.environ.get("JAXGEN_NO_SKIP"):
        report.outcome = "failed"
    return report


def pytest_unconfigure():
    shutil.rmtree(CACHE, ignore_errors=True)


@pytest.fixture(scope="session")
def small() -> Config:
    """A DDPM on the digits that trains for six steps in a second; checkpoints after the third and the last."""
    return DDPM(
        name="small",
        data=DataConfig(dataset="digits", size=8, channels=1),
        model=UNetConfig(channels=8, multipliers=(1,), blocks=1, groups=4),
        diffusion=DiffusionConfig(steps=50, schedule="cosine", sampler_steps=2),
        training=TrainingConfig(
            steps=6, batch_size=8, lr=1e-3, log_every=1, checkpoint_every=3, sample_every=6, sample_count=4
        ),
    )


@pytest.fixture(scope="session")
def jaxgen():
    """jaxgen(*arguments, **environment): the command in a process of its own."""

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "jaxgen", *map(str, arguments)]
        env = {**os.environ, **environment}
        return subprocess.run(command, capture_output=True, text=True, env=env, timeout=120, check=False)

    return run


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> Path:
    """Where tiny models are exported to, one folder for all workers of a test run: an export takes up to a minute."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "models"


@pytest.fixture(scope="session")
def family(models):
    """family(name): that one of FAMILIES, exported once."""

    @functools.cache
    def get(name: str) -> Exported:
        config = FAMILIES[name]
        return exported(config, CLASSES[: config.class_count], models / name)

    return get


@pytest.fixture(scope="session")
def unconditional(models) -> Exported:
    return exported(UNCONDITIONAL, (), models / "unconditional")


@pytest.fixture(scope="session")
def conditional(models) -> Exported:
    return exported(CONDITIONAL, CLASSES, models / "conditional")


@pytest.fixture(scope="session")
def any_model(unconditional, conditional, family):
    """any_model(name): one of the two, or of FAMILIES."""
    two = {"unconditional": unconditional, "conditional": conditional}
    return lambda name: two.get(name) or family(name)


@pytest.fixture(scope="session", params=["unconditional", "conditional"])
def model(request) -> Exported:
    """Each of the two."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def restamped(tmp_path):
    """restamped(path, manifest=change, proto=change): a copy, changed in place by these and stamped anew."""

    def make(path: Path, *, manifest=lambda entries: None, proto=lambda model: None) -> Path:
        changed = onnx.load_from_string(path.read_bytes())
        proto(changed)
        (entry,) = (entry for entry in changed.metadata_props if entry.key == "jaxgen")
        entries = json.loads(entry.value)
        manifest(entries)
        entry.value = model_file.dump_manifest(entries)
        copy = tmp_path / "restamped.onnx"
        copy.write_bytes(model_file.stamp(changed.SerializeToString()))
        return copy

    return make


@pytest.fixture(scope="module")
def plain(unconditional) -> Model:
    """That model, in this process; in tests/serve/batching, `plain` and `classy` are for an engine."""
    return Model.open(unconditional.onnx)


@pytest.fixture(scope="module")
def classy(conditional) -> Model:
    """That model, likewise."""
    return Model.open(conditional.onnx)
