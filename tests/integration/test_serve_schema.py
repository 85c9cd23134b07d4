"""The OpenAPI description against the server: requests drawn from it never end in a fault, and responses are what it says."""

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from scripted_chat import ScriptedChatEngine
from scripted_server import RunningServer, running
from tina_azr.sandbox import Limits, Sandbox


@pytest.fixture(scope="module")
def described() -> Iterator[RunningServer]:
    sandbox = Sandbox(workers=1, limits=Limits(fuel=20_000_000))
    with running(ScriptedChatEngine(allow_visible=True), checker=sandbox) as server:
        yield server


@pytest.fixture(scope="module")
def api(described: RunningServer) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_url(f"{described.url}/openapi.json")


schema = schemathesis.pytest.from_fixture("api")


@schema.parametrize()
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_request_ends_in_a_fault(case: schemathesis.Case) -> None:
    response = case.call(timeout=30)
    assert response.status_code < 500, response.text
    case.validate_response(response, checks=[status_code_conformance, content_type_conformance, response_schema_conformance])
