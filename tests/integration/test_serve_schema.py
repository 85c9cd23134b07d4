"""Tests of the OpenAPI description: requests drawn from it never cause a server error, and responses match it."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from scripted_chat import ScriptedChatEngine
from scripted_server import PATIENCE, RunningServer, running, scripted_model, scripted_settings
from tina_azr.sandbox import Limits, Sandbox
from tina_azr.serve.app import build_app

CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]


def operations() -> dict[str, schemathesis.schemas.APIOperation]:
    """Return every operation of the description by its name."""
    engine = ScriptedChatEngine()
    description = build_app(engine, model=scripted_model(engine), settings=scripted_settings(engine)).openapi()
    found = [result.ok() for result in schemathesis.openapi.from_dict(description).get_all_operations()]
    return {operation.label: operation for operation in found}


OPERATIONS = operations()


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    sandbox = Sandbox(workers=1, limits=Limits(fuel=20_000_000))
    with running(ScriptedChatEngine(allow_visible=True), checker=sandbox) as started:
        yield started


def test_the_whole_api_is_described() -> None:
    assert set(OPERATIONS) == {
        "GET /health",
        "GET /metrics",
        "GET /ready",
        "GET /v1/models",
        "GET /v1/models/{name}",
        "GET /v1/tina/info",
        "POST /v1/chat/completions",
        "POST /v1/chat/completions/control",
        "POST /v1/responses",
        "POST /v1/tina/render",
        "POST /v1/tina/sandbox",
    }


def answerable(body: Any) -> Any:
    """Remove known but unsupported fields from a body, so that it reaches the engine."""
    if not isinstance(body, dict) or "messages" not in body:
        return body
    unsupported = (
        "model",
        "n",
        "tools",
        "functions",
        "response_format",
        "logit_bias",
        "top_logprobs",
        "stop",
        "reasoning",
        "thinking",
    )
    rest = {key: value for key, value in body.items() if key not in unsupported and "penalty" not in key}
    return {**rest, "messages": [{"role": "user", "content": "hello"}]}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hello"}], "stream_options": {"include_usage": True}}),
        ("/v1/responses", {"input": "hello"}),
    ],
)
def test_streams_match_the_openapi_description(server: RunningServer, path: str, body: dict[str, object]) -> None:
    case = OPERATIONS[f"POST {path}"].Case(body={**body, "stream": True}, media_type="application/json")
    response = case.call(base_url=server.url, timeout=PATIENCE)
    assert response.headers["content-type"][0].startswith("text/event-stream")
    case.validate_response(response, checks=CHECKS)


CASES = [
    (name, mode)
    for name in OPERATIONS
    for mode in schemathesis.GenerationMode
    if name.startswith("POST") or mode is schemathesis.GenerationMode.POSITIVE
]
"""Nothing about a request without a body can be wrong."""


@pytest.mark.parametrize(("name", "mode"), CASES, ids=lambda value: getattr(value, "value", value))
def test_no_request_causes_a_server_error(server: RunningServer, name: str, mode: schemathesis.GenerationMode) -> None:
    operation = OPERATIONS[name]
    statuses = set()

    @settings(
        max_examples=60 if name.startswith("POST") else 5,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(st.data())
    def ask(data: st.DataObject) -> None:
        case = data.draw(operation.as_strategy(generation_mode=mode))
        if mode is schemathesis.GenerationMode.POSITIVE and data.draw(st.booleans()):
            case.body = answerable(case.body)
        response = case.call(base_url=server.url, timeout=PATIENCE)
        statuses.add(response.status_code)
        assert response.status_code < 500, response.text
        case.validate_response(response, checks=CHECKS)

    ask()
    reached = {200, 404} if "{name}" in name else {200}
    assert mode is schemathesis.GenerationMode.NEGATIVE or reached & statuses, statuses
