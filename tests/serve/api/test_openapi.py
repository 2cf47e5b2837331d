"""The API against its own document: schemathesis makes up requests, good and bad; answers must be as it says."""

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS

EXAMPLES = 20  # good ones of each route, and as many bad ones
ROUTES = [
    "GET /", "GET /health", "GET /ready", "GET /metrics", "POST /login",
    "GET /models", "POST /models", "GET /model-info", "GET /model-file", "GET /plan",
    "POST /generate", "POST /generate-batch", "GET /stream", "GET /images/{model}/{seed}/{index}.png",
    "POST /interpolate", "POST /reconstruct", "POST /anomaly", "POST /classify", "POST /inpaint", "GET /latent-map",
    "POST /gallery", "POST /gallery/files/zip", "GET /gallery", "GET /gallery/{image_id}.png",
    "PATCH /gallery/{image_id}",
    "DELETE /gallery/{image_id}", "POST /gallery/{image_id}/restore",
]  # fmt: skip
TAKES_ANYTHING = {"GET /", "GET /health", "GET /ready", "GET /metrics", "GET /models", "GET /gallery/{image_id}.png",
                  "DELETE /gallery/{image_id}", "POST /gallery/{image_id}/restore"}  # fmt: skip
# What is held: no status or kind of content that the document does not have, no body that is not of its schema, no
# request taken that the document refuses, and 405 for methods that it does not have.
HELD = ("status_code_conformance", "content_type_conformance", "response_schema_conformance",
        "negative_data_rejection", "unsupported_method")  # fmt: skip


@pytest.fixture(scope="module")
def document(server):
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json")


@pytest.fixture(scope="module")
def session():
    with requests.Session() as session:
        session.trust_env = False
        yield session


def test_every_route_is_in_the_list_above(document):
    found = [f"{method.upper()} {path}" for path, methods in document.raw_schema["paths"].items() for method in methods]
    assert sorted(found) == sorted(ROUTES)


@pytest.mark.parametrize(
    ("mode", "route"),
    [(GenerationMode.POSITIVE, route) for route in ROUTES]
    + [(GenerationMode.NEGATIVE, route) for route in ROUTES if route not in TAKES_ANYTHING],
)
def test_answers_are_as_the_document_says(document, session, route, mode):
    method, path = route.split(" ")
    operation = document[path][method.lower()]
    own = {"path_parameters": {"image_id": "0" * 28}} if mode is GenerationMode.NEGATIVE and "{" in path else {}
    checks = {name: CHECKS.get_one(name) for name in HELD}

    @given(case=operation.as_strategy(generation_mode=mode, **own))
    @settings(
        max_examples=EXAMPLES, deadline=None, phases=[Phase.generate], derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def hold(case):
        answer = case.call(session=session, timeout=60)
        refused = answer.status_code == 413  # which schemathesis does not count as that
        unsaid = any(
            value in ([], {}) for value in (case.query or {}).values()
        )  # in an address they are nothing at all
        case.validate_response(
            answer,
            checks=[
                check for name, check in checks.items() if name != "negative_data_rejection" or not (refused or unsaid)
            ],
        )
        assert answer.status_code < 500 or answer.status_code == 503, answer.text
        if answer.status_code == 503:
            assert int(answer.headers["retry-after"][0]) >= 1
        if answer.status_code >= 400:
            assert "\n" not in answer.json()["detail"]

    hold()
