"""Tests of `/v1/responses`: objects and events of OpenAI's Responses API that hold text."""

import json
from typing import Any

import httpx
import pytest

from scripted_chat import SENTINEL, ScriptedChatEngine
from scripted_server import running

ANSWER = "You said 5 characters; seed 7, choice 0. Žluťoučký 🐎."


def events(client: httpx.Client, text: str = "hello", **fields: Any) -> list[dict[str, Any]]:
    response = client.post("/v1/responses", json={"input": text, "seed": 7, "stream": True, **fields})
    assert response.headers["content-type"].startswith("text/event-stream")
    found = []
    for block in response.text.removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert found[-1]["type"] == name.removeprefix("event: ")
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    return found


@pytest.fixture
def open_client() -> Any:
    with running(ScriptedChatEngine(allow_visible=True)) as server, server.client() as http:
        yield http


def test_response_has_one_message_and_usage(client: httpx.Client) -> None:
    body = client.post("/v1/responses", json={"input": "hello", "seed": 7, "temperature": 0.5}).json()
    (message,) = body["output"]
    assert (body["object"], body["status"], body["error"], body["store"]) == ("response", "completed", None, False)
    assert body["id"].startswith("resp_")
    assert message["content"] == [{"type": "output_text", "text": ANSWER, "annotations": [], "logprobs": []}]
    assert body["usage"]["output_tokens_details"] == {"reasoning_tokens": 25}
    assert body["usage"]["total_tokens"] == body["usage"]["input_tokens"] + body["usage"]["output_tokens"] == 43
    assert (body["temperature"], body["top_p"]) == (0.5, 0.95)
    assert body["tina"]["cE"] == 0.83


def test_instructions_become_a_system_message(client: httpx.Client) -> None:
    turns = [
        {"role": "user", "content": "one"},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "two", "annotations": []}],
        },
        {"role": "user", "content": [{"type": "input_text", "text": "three"}]},
    ]
    body = client.post("/v1/responses", json={"input": turns, "instructions": "be brief"}).json()
    assert body["usage"]["input_tokens"] == 6 + 5 + 5 + 5


def test_stream_items_open_and_close_in_order(client: httpx.Client) -> None:
    names = [event["type"].removeprefix("response.") for event in events(client)]
    assert names[:3] == ["created", "in_progress", "in_progress"]
    assert names[3:5] == ["output_item.added", "content_part.added"]
    assert set(names[5:-4]) == {"output_text.delta"}
    assert names[-4:] == ["output_text.done", "content_part.done", "output_item.done", "completed"]


def test_deltas_done_and_completed_events_agree(client: httpx.Client) -> None:
    found = events(client)
    deltas = "".join(event["delta"] for event in found if event["type"] == "response.output_text.delta")
    done = next(event["text"] for event in found if event["type"] == "response.output_text.done")
    assert deltas == done == found[-1]["response"]["output"][0]["content"][0]["text"] == ANSWER
    assert found[1]["response"]["tina"]["c0"] == 0.62
    assert found[2]["response"]["tina"]["think_stop"] == "closed"
    assert found[-1]["response"]["tina"]["cE"] == 0.83


def test_hidden_reasoning_is_in_no_event(client: httpx.Client, open_client: httpx.Client) -> None:
    asked = {"include_reasoning": True}
    for text in (
        client.post("/v1/responses", json={"input": "x", **asked}).text,
        json.dumps(events(client, **asked)),
        json.dumps(events(open_client)),
    ):
        assert SENTINEL not in text


def test_visible_reasoning_is_a_separate_item(open_client: httpx.Client) -> None:
    found = events(open_client, include_reasoning=True)
    deltas = "".join(event["delta"] for event in found if event["type"] == "response.reasoning_text.delta")
    reasoning, answer = found[-1]["response"]["output"]
    assert (reasoning["type"], answer["type"]) == ("reasoning", "message")
    assert reasoning["content"][0]["text"] == deltas
    assert deltas.startswith(SENTINEL)
    positions = {event["item"]["type"]: event["output_index"] for event in found if event["type"] == "response.output_item.added"}
    assert positions == {"reasoning": 0, "message": 1}


def test_cut_reasoning_is_an_incomplete_response(open_client: httpx.Client) -> None:
    found = events(open_client, include_reasoning=True, max_output_tokens=10)
    response = found[-1]["response"]
    assert (found[-1]["type"], response["status"]) == ("response.incomplete", "incomplete")
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert response["output"][-1]["content"][0]["text"] == ""
    opened = [event["output_index"] for event in found if event["type"] == "response.output_item.added"]
    closed = [event["output_index"] for event in found if event["type"] == "response.output_item.done"]
    assert sorted(opened) == sorted(closed) == [0, 1]


def test_failure_is_the_last_event(client: httpx.Client) -> None:
    last = events(client, "fail now")[-1]
    assert (last["type"], last["response"]["status"], last["response"]["error"]["code"]) == (
        "response.failed",
        "failed",
        "server_error",
    )
    assert client.post("/v1/responses", json={"input": "fail now"}).status_code == 500
