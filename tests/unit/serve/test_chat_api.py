"""Tests of `/v1/chat/completions`: whole responses and streams agree."""

import json
from typing import Any

import httpx
import pytest

from scripted_chat import SENTINEL, ScriptedChatEngine
from scripted_server import CALIBRATION, RunningServer, running
from tina_azr.engine.types import GenerationRequest


def chat(content: str = "hello", **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}], "seed": 7, **fields}


def ask(client: httpx.Client, content: str = "hello", **fields: Any) -> dict[str, Any]:
    response = client.post("/v1/chat/completions", json=chat(content, **fields))
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def stream(client: httpx.Client, content: str = "hello", **fields: Any) -> list[dict[str, Any]]:
    response = client.post("/v1/chat/completions", json=chat(content, stream=True, **fields))
    assert response.headers["content-type"].startswith("text/event-stream")
    blocks = response.text.split("\n\n")
    assert blocks.pop() == ""
    assert blocks.pop() == "data: [DONE]"
    assert all(block.startswith("data: ") and "\n" not in block for block in blocks)
    return [json.loads(block.removeprefix("data: ")) for block in blocks]


def asked_of(engine: ScriptedChatEngine) -> GenerationRequest:
    """Return the newest request of the engine."""
    request = [what for kind, what in engine.log if kind == "submit"][-1]
    assert isinstance(request, GenerationRequest)
    return request


def said(chunks: list[dict[str, Any]], index: int = 0, field: str = "content") -> str:
    choices = [choice for chunk in chunks for choice in chunk["choices"] if choice["index"] == index]
    return "".join(choice["delta"].get(field, "") for choice in choices)


@pytest.fixture(scope="module")
def open_server() -> Any:
    """Serve with visible reasoning allowed."""
    with running(ScriptedChatEngine(allow_visible=True, abstain_below=0.5)) as server:
        yield server


@pytest.fixture
def open_client(open_server: RunningServer) -> Any:
    with open_server.client() as http:
        yield http


def test_response_has_openais_format(client: httpx.Client) -> None:
    body = ask(client)
    (choice,) = body["choices"]
    assert body["id"].startswith("chatcmpl-")
    assert (body["object"], body["model"]) == ("chat.completion", "scripted")
    assert choice["message"] == {
        "role": "assistant",
        "content": "You said 5 characters; seed 7, choice 0. Žluťoučký 🐎.",
        "refusal": None,
    }
    assert (choice["index"], choice["finish_reason"], choice["logprobs"]) == (0, "stop", None)


def test_usage_counts_all_tokens_and_the_reasoning_tokens(client: httpx.Client) -> None:
    body = ask(client)
    timing = body["tina"]["timing"]
    assert body["usage"] == {
        "prompt_tokens": 5,
        "completion_tokens": 25 + 1 + 12,
        "total_tokens": 43,
        "completion_tokens_details": {"reasoning_tokens": 25},
    }
    assert (timing["prompt_tokens"], timing["think_tokens"], timing["answer_tokens"]) == (5, 25, 12)


def test_tina_object_has_forecast_budget_and_confidence(client: httpx.Client) -> None:
    tina = ask(client)["tina"]
    assert tina["plan"]["choice"] == "outline"
    assert sum(tina["plan"]["probabilities"].values()) == pytest.approx(1)
    assert tina["budget"] == {
        "predicted": {"0.5": 20, "0.8": 32, "0.95": 80},
        "budget": 32,
        "wall": 48,
        "source": "predicted",
        "warning": None,
    }
    assert (tina["used"], tina["think_stop"], tina["forced_close"], tina["leak"]) == (25, "closed", False, False)
    assert (tina["c0"], tina["cE"], tina["abstain"], tina["ended_by"]) == (0.62, 0.83, False, None)
    assert tina["calibration"] == {"digest": "c" * 64, "n": CALIBRATION.n, "ece": CALIBRATION.ece, "date": CALIBRATION.date}
    assert tina["context"] == {"used": 43, "limit": 4096}
    assert tina["tag_tokens"] == {}
    assert 0 < tina["timing"]["time_to_first_token"] <= tina["timing"]["seconds"]


def test_without_heads_the_forecast_is_null() -> None:
    with running(ScriptedChatEngine(heads=False)) as server, server.client() as client:
        tina = ask(client)["tina"]
    assert (tina["plan"], tina["c0"], tina["cE"], tina["budget"]["predicted"]) == (None, None, None, None)
    assert tina["budget"]["source"] == "default"
    assert tina["calibration"] == {"digest": None, "n": None, "ece": None, "date": None}


def test_stream_equals_the_whole_response(client: httpx.Client) -> None:
    whole, chunks = ask(client), stream(client)
    assert said(chunks) == whole["choices"][0]["message"]["content"]
    final = chunks[-1]
    assert final["choices"][0]["finish_reason"] == "stop"
    volatile = {"timing"}
    assert {key: value for key, value in final["tina"].items() if key not in volatile} == {
        key: value for key, value in whole["tina"].items() if key not in volatile
    }


def test_stream_begins_with_forecast_and_marks_end_of_reasoning(client: httpx.Client) -> None:
    chunks = stream(client)
    first = chunks[0]
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert (first["tina"]["budget"]["budget"], first["tina"]["c0"], first["tina"]["used"], first["tina"]["think_stop"]) == (
        32,
        0.62,
        0,
        None,
    )
    (ended,) = [chunk for chunk in chunks if set(chunk.get("tina", {})) == {"used", "think_stop", "forced_close", "cE"}]
    assert ended["tina"] == {"used": 25, "think_stop": "closed", "forced_close": False, "cE": 0.83}
    contents = [position for position, chunk in enumerate(chunks) if chunk["choices"][0]["delta"].get("content")]
    assert min(contents) > chunks.index(ended)


def test_all_chunks_have_the_request_id_and_a_choice(client: httpx.Client) -> None:
    chunks = stream(client)
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert all(len(chunk["choices"]) == 1 and chunk["object"] == "chat.completion.chunk" for chunk in chunks)
    assert not any("usage" in chunk for chunk in chunks)


def test_usage_chunk_is_sent_if_requested(client: httpx.Client) -> None:
    *chunks, last = stream(client, stream_options={"include_usage": True})
    assert all(chunk["usage"] is None for chunk in chunks)
    assert (last["choices"], last["usage"]) == ([], ask(client)["usage"])


def test_hidden_reasoning_is_counted_at_most_ten_times_a_second() -> None:
    with running(ScriptedChatEngine(seconds_per_step=0.002)) as server, server.client() as client:
        chunks = stream(client, "think long", max_tokens=120, thinking_budget=400)
    counts = [chunk["tina"]["used"] for chunk in chunks if set(chunk.get("tina", {})) == {"used"}]
    seconds = chunks[-1]["tina"]["timing"]["seconds"]
    assert counts == sorted(counts)
    assert 1 <= len(counts) <= seconds / 0.1 + 1


def test_reasoning_is_hidden_if_the_server_does_not_allow_it(client: httpx.Client) -> None:
    for fields in ({}, {"include_reasoning": True}, {"reasoning": {"visible": True}}):
        assert SENTINEL not in json.dumps(ask(client, **fields))
        assert SENTINEL not in json.dumps(stream(client, **fields))


@pytest.mark.parametrize(
    "fields", [{}, {"reasoning": {"visible": False}}, {"include_reasoning": True, "reasoning": {"exclude": True}}]
)
def test_allowed_reasoning_is_hidden_unless_requested(open_client: httpx.Client, fields: dict[str, Any]) -> None:
    assert SENTINEL not in json.dumps(ask(open_client, **fields))
    assert SENTINEL not in json.dumps(stream(open_client, **fields))


@pytest.mark.parametrize("fields", [{"include_reasoning": True}, {"reasoning": {"visible": True}}])
def test_visible_reasoning_has_both_names_and_is_not_content(open_client: httpx.Client, fields: dict[str, Any]) -> None:
    message = ask(open_client, **fields)["choices"][0]["message"]
    chunks = stream(open_client, **fields)
    assert (
        message["reasoning"]
        == message["reasoning_content"]
        == said(chunks, field="reasoning")
        == said(chunks, field="reasoning_content")
    )
    assert message["reasoning"].startswith(SENTINEL)
    assert SENTINEL not in message["content"] + said(chunks)


def test_low_confidence_is_marked(open_client: httpx.Client) -> None:
    assert ask(open_client, "unsure")["tina"]["abstain"] is True
    assert stream(open_client, "unsure")[-1]["tina"]["abstain"] is True
    assert ask(open_client, "sure")["tina"]["abstain"] is False


def test_completions_of_one_prompt_have_their_own_tina_object(client: httpx.Client) -> None:
    body = ask(client, n=3)
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    assert all(f"choice {choice['index']}." in choice["message"]["content"] for choice in body["choices"])
    assert [choice["tina"]["used"] for choice in body["choices"]] == [25, 25, 25]
    assert (body["usage"]["prompt_tokens"], body["usage"]["completion_tokens_details"]["reasoning_tokens"]) == (5, 75)
    chunks = stream(client, n=3)
    assert [said(chunks, index) for index in range(3)] == [choice["message"]["content"] for choice in body["choices"]]
    assert sorted(chunk["choices"][0]["index"] for chunk in chunks if chunk["choices"][0]["finish_reason"]) == [0, 1, 2]
    assert [chunk["choices"][0]["index"] for chunk in chunks if chunk["choices"][0]["delta"].get("role")] == [0, 1, 2]


def test_same_seed_repeats_the_answer_and_no_seed_does_not(client: httpx.Client, plain: RunningServer) -> None:
    assert ask(client)["choices"] == ask(client)["choices"]
    answers = {ask(client, seed=None)["choices"][0]["message"]["content"] for _ in range(8)}
    assert len(answers) > 1


@pytest.mark.parametrize("stop", ["characters", ["never", "characters"]])
def test_an_answer_ends_before_a_stop_string_whole_or_streamed(client: httpx.Client, stop: object) -> None:
    body, chunks = ask(client, stop=stop), stream(client, stop=stop)
    assert body["choices"][0]["message"]["content"] == said(chunks) == "You said 5 "
    assert body["choices"][0]["finish_reason"] == "stop"


def test_logprobs_have_openais_format(client: httpx.Client) -> None:
    (choice,) = ask(client, logprobs=True)["choices"]
    tokens = choice["logprobs"]["content"]
    assert choice["logprobs"]["refusal"] is None
    assert "".join(token["token"] for token in tokens) == choice["message"]["content"]
    assert all(bytes(token["bytes"]).decode() == token["token"] and token["top_logprobs"] == [] for token in tokens)
    assert {token["logprob"] for token in tokens} == {-0.25}
    chunks = stream(client, logprobs=True)
    streamed = [token for chunk in chunks for token in (chunk["choices"][0]["logprobs"] or {"content": []})["content"]]
    assert streamed == tokens


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_token_limit_ends_with_length_and_no_reasoning_in_content(client: httpx.Client, name: str) -> None:
    body = ask(client, **{name: 10})
    (choice,) = body["choices"]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("length", "")
    assert (body["tina"]["think_stop"], body["tina"]["cE"], body["usage"]["completion_tokens"]) == ("unfinished", None, 10)


def test_newer_limit_field_wins_and_both_are_lowered_to_the_context() -> None:
    engine = ScriptedChatEngine()
    with running(engine) as server, server.client() as client:
        ask(client, max_tokens=500, max_completion_tokens=40)
        assert asked_of(engine).max_tokens == 40
        ask(client, max_tokens=1_000_000)
        assert asked_of(engine).max_tokens == 4_096


BUDGETS: list[tuple[dict[str, Any], int | None, float | None]] = [
    ({}, None, None),
    ({"thinking_token_budget": 9}, 9, None),
    ({"thinking_budget": 9}, 9, None),
    ({"thinking_budget_tokens": 9}, 9, None),
    ({"thinking": {"type": "enabled", "budget_tokens": 9}}, 9, None),
    ({"reasoning": {"max_tokens": 9}}, 9, None),
    ({"chat_template_kwargs": {"thinking_budget": 9}}, 9, None),
    ({"thinking_budget": 9, "thinking": {"budget_tokens": 9}}, 9, None),
    ({"thinking": {"type": "disabled"}}, 0, None),
    ({"reasoning": {"enabled": False}}, 0, None),
    ({"chat_template_kwargs": {"enable_thinking": False}}, 0, None),
    ({"reasoning_effort": "none"}, 0, None),
    ({"reasoning_effort": "minimal"}, 0, None),
    ({"reasoning_effort": "low"}, None, 0.5),
    ({"reasoning": {"effort": "medium"}}, None, 0.8),
    ({"reasoning_effort": "high"}, None, 0.95),
    ({"reasoning_effort": "xhigh"}, None, 0.95),
    ({"chat_template_kwargs": {"reasoning_effort": "low"}}, None, 0.5),
    ({"reasoning_effort": "low", "thinking_budget": 9}, 9, None),
]


@pytest.mark.parametrize(
    ("fields", "tokens", "quantile"), BUDGETS, ids=lambda value: json.dumps(value) if isinstance(value, dict) else ""
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
def test_budget_fields_of_other_servers_are_accepted(
    client: httpx.Client, plain: RunningServer, path: str, fields: dict[str, Any], tokens: int | None, quantile: float | None
) -> None:
    body = {**chat(), "input": "hello", **fields}
    budget = client.post(path, json=body).json()["tina"]["budget"]
    expected = tokens if tokens is not None else {0.5: 20, 0.8: 32, 0.95: 80}[quantile or 0.8]
    assert (budget["budget"], budget["source"]) == (expected, "predicted" if tokens is None else "requested")


def test_far_too_small_budget_gets_a_warning(client: httpx.Client) -> None:
    assert "far below" in ask(client, thinking_budget=3)["tina"]["budget"]["warning"]


def test_every_part_of_the_conversation_reaches_the_engine_as_text() -> None:
    engine = ScriptedChatEngine()
    messages = [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "one "}, {"type": "input_text", "text": "</think> two"}]},
        {"role": "assistant", "content": "<think>old</think>three", "reasoning_content": SENTINEL, "reasoning": SENTINEL},
        {"role": "assistant", "content": None},
        {"role": "user", "content": "four"},
    ]
    with running(engine) as server:
        server.chat({"messages": messages, "temperature": 0, "top_p": 0.5, "top_k": -1, "min_p": 0.1})
    request = asked_of(engine)
    assert [(message.role, message.content) for message in request.messages] == [
        ("system", "be brief"),
        ("user", "one </think> two"),
        ("assistant", "<think>old</think>three"),
        ("assistant", ""),
        ("user", "four"),
    ]
    assert (request.temperature, request.top_p, request.top_k, request.min_p) == (0, 0.5, 0, 0.1)


def test_engine_failure_is_a_server_error_also_in_a_stream(client: httpx.Client) -> None:
    response = client.post("/v1/chat/completions", json=chat("fail now"))
    assert (response.status_code, response.json()["error"]["type"]) == (500, "server_error")
    assert stream(client, "fail now")[-1]["error"]["type"] == "server_error"
