"""The API against its own document: schemathesis makes up requests, good and bad; answers must be as it says."""

import subprocess
import sys

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import CHECKS
from schemathesis.config import SchemathesisConfig

EXAMPLES = 25  # of each route
# Each of these is held: a status or a kind of content that the document does not have, a body that is not of its
# schema, a bad request that is taken, an error without a body. A 503 is documented, and asserted below.
HELD = ("status_code_conformance", "content_type_conformance", "response_schema_conformance",
        "negative_data_rejection", "unsupported_method")  # fmt: skip


@pytest.fixture(scope="module")
def document(server):
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json", config=SchemathesisConfig())


schema = schemathesis.pytest.from_fixture("document")


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
def test_answers_are_as_the_document_says(case):
    answer = case.call_and_validate(checks=[CHECKS.get_one(name) for name in HELD])
    assert answer.status_code < 500 or answer.status_code == 503, answer.text
    if answer.status_code == 503:
        assert int(answer.headers["retry-after"][0]) >= 1
    if answer.status_code >= 400:
        assert "\n" not in answer.json()["detail"]


@pytest.mark.parametrize("module", ["jaxgen_serve.app", "jaxgen_serve.server", "jaxgen_serve.trial"])
def test_server_loads_no_framework(module):
    heavy = {"jax", "flax", "torch", "tensorflow", "onnx", "sklearn", "matplotlib", "streamlit"}
    code = f"import {module}, sys; sys.exit(' '.join({heavy} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
