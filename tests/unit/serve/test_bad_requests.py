"""Tests of invalid requests: the error is 400, names the field, and never quotes the value."""

import json
from typing import Any

import httpx
import pytest

USER = {"role": "user", "content": "hello"}
SECRET = "the-clients-own-words"


def chat(**fields: Any) -> dict[str, Any]:
    return {"messages": [USER], **fields}


@pytest.mark.parametrize(
    "body",
    ["", "{", "nothing", "[1,", '{"messages": NaN', "\x00", '{"a": ' * 3_000, "'single'"],
    ids=lambda body: body[:12] or "empty",
)
def test_malformed_json_is_refused(client: httpx.Client, body: str) -> None:
    response = client.post("/v1/chat/completions", content=body.encode(), headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ([], None),
        ("text", None),
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [USER] * 9}, "messages"),
        ({"messages": [{"role": "user", "content": "x" * 9_001}]}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x"}}]}]},
            "messages.0.content",
        ),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages"),
        ({"messages": [USER, {"role": "assistant", "content": "x"}]}, "messages"),
        (chat(n=0), "n"),
        (chat(n=5), "n"),
        (chat(n=1_000_000), "n"),
        (chat(n="2"), "n"),
        (chat(n=True), "n"),
        (chat(max_tokens=0), "max_tokens"),
        (chat(max_tokens=-1), "max_tokens"),
        (chat(max_tokens=1e99), "max_tokens"),
        (chat(max_completion_tokens=2**63), "max_completion_tokens"),
        (chat(temperature=-0.1), "temperature"),
        (chat(temperature=2.1), "temperature"),
        (chat(temperature="warm"), "temperature"),
        (chat(top_p=0), "top_p"),
        (chat(top_k=-2), "top_k"),
        (chat(min_p=1.5), "min_p"),
        (chat(seed=2**63), "seed"),
        (chat(seed=1.5), "seed"),
        (chat(stop=""), "stop"),
        (chat(stop=["a"] * 17), "stop"),
        (chat(stop=["x" * 257]), "stop"),
        (chat(stop=[1]), "stop"),
        (chat(stream="yes"), "stream"),
        (chat(stream_options=[]), "stream_options"),
        (chat(top_logprobs=3), "top_logprobs"),
        (chat(tools=[{"type": "function"}]), "tools"),
        (chat(functions=[{}]), "functions"),
        (chat(response_format={"type": "json_object"}), "response_format"),
        (chat(logit_bias={"5": 1}), "logit_bias"),
        (chat(presence_penalty=1.5), "presence_penalty"),
        (chat(thinking_budget=-1), "thinking_budget"),
        (chat(thinking_token_budget=-5), "thinking_token_budget"),
        (chat(thinking_budget_tokens=2.5), "thinking_budget_tokens"),
        (chat(thinking={"budget_tokens": -1}), "thinking.budget_tokens"),
        (chat(reasoning={"max_tokens": "many"}), "reasoning.max_tokens"),
        (chat(reasoning={"effort": "enormous"}), "reasoning.effort"),
        (chat(reasoning_effort="enormous"), "reasoning_effort"),
        (chat(thinking_budget=5, thinking_token_budget=6), "thinking_budget"),
        (chat(thinking_budget=5, thinking={"type": "disabled"}), "thinking.type"),
        (chat(chat_template_kwargs={"tokenize": True}), "chat_template_kwargs.tokenize"),
        (chat(chat_template_kwargs={"chat_template": "{{ 1 }}"}), "chat_template_kwargs.chat_template"),
    ],
    ids=lambda value: json.dumps(value)[:60] if not isinstance(value, str) else value,
)
def test_wrong_value_is_refused_and_its_field_named(client: httpx.Client, body: object, param: str | None) -> None:
    response = client.post("/v1/chat/completions", json=body)
    error = response.json()["error"]
    assert (response.status_code, error["type"]) == (400, "invalid_request_error")
    assert (error["param"] or "").startswith(param or "")
    assert bool(error["param"]) is bool(param)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("field", ["temperature", "top_p", "min_p", "max_tokens", "thinking_budget"])
def test_numbers_that_are_not_finite_are_refused(client: httpx.Client, field: str, number: str) -> None:
    body = f'{{"messages": [{json.dumps(USER)}], "{field}": {number}}}'
    response = client.post("/v1/chat/completions", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 400


def test_lone_surrogate_is_refused(client: httpx.Client) -> None:
    body = '{"messages": [{"role": "user", "content": "\\ud800"}]}'
    response = client.post("/v1/chat/completions", content=body, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "messages.0.content")


def test_unknown_model_is_not_found(client: httpx.Client) -> None:
    for path, body in (("/v1/chat/completions", chat(model="gpt-9")), ("/v1/responses", {"input": "x", "model": "gpt-9"})):
        response = client.post(path, json=body)
        assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")
    assert client.get("/v1/models/gpt-9").status_code == 404
    assert client.get("/v1/models/scripted").json()["id"] == "scripted"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": 5}, "input"),
        ({"input": [{"type": "function_call_output", "call_id": "1", "output": "x"}]}, "input"),
        ({"input": [{"type": "reasoning", "summary": []}]}, "input"),
        ({"input": "x", "previous_response_id": "resp_1"}, "previous_response_id"),
        ({"input": "x", "background": True}, "background"),
        ({"input": "x", "tools": [{"type": "web_search"}]}, "tools"),
        ({"input": "x", "text": {"format": {"type": "json_object"}}}, "text.format"),
        ({"input": "x", "max_output_tokens": 0}, "max_output_tokens"),
    ],
    ids=lambda value: json.dumps(value)[:60] if not isinstance(value, str) else value,
)
def test_a_wrong_value_of_the_responses_api_is_refused(client: httpx.Client, body: object, param: str) -> None:
    response = client.post("/v1/responses", json=body)
    assert response.status_code == 400
    assert response.json()["error"]["param"].startswith(param)


def test_engine_refusal_is_a_bad_request(client: httpx.Client) -> None:
    response = client.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": "a " * 4_200}]})
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, "messages")
    assert "the context holds 4096" in error["message"]


def test_refused_stream_is_a_plain_error(client: httpx.Client) -> None:
    response = client.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": "a " * 4_200}], "stream": True})
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "body",
    [
        chat(model=SECRET),
        chat(reasoning_effort=SECRET),
        chat(temperature=SECRET),
        {"messages": [{"role": SECRET, "content": SECRET}]},
        {"messages": SECRET},
        chat(chat_template_kwargs={"reasoning_effort": SECRET}),
        chat(tools=[SECRET]),
    ],
    ids=lambda body: json.dumps(body)[:60],
)
def test_error_does_not_quote_the_request(client: httpx.Client, body: object) -> None:
    response = client.post("/v1/chat/completions", json=body)
    assert 400 <= response.status_code < 500
    assert SECRET not in response.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/v1/chat/completions", 405),
        ("POST", "/v1/models", 405),
        ("GET", "/docs", 404),
        ("GET", "/redoc", 404),
    ],
)
def test_unknown_path_has_the_same_error_format(client: httpx.Client, method: str, path: str, status: int) -> None:
    response = client.request(method, path, json={} if method == "POST" else None)
    assert response.status_code == status
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}


def test_unknown_fields_are_ignored(client: httpx.Client) -> None:
    extra = {
        "user": "me",
        "metadata": {"a": "b"},
        "store": False,
        "service_tier": "auto",
        "parallel_tool_calls": True,
        "tools": [],
        "tool_choice": "auto",
    }
    response = client.post(
        "/v1/chat/completions", json=chat(**extra, frequency_penalty=0, presence_penalty=0.0, response_format={"type": "text"})
    )
    assert response.status_code == 200
