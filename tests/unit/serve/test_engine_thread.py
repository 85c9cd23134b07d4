"""Tests of the engine thread: capacity, disconnects and shutdown, measured at the engine."""

import json
import logging
import queue
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from scripted_chat import SENTINEL, ScriptedChatEngine, usual
from scripted_server import PATIENCE, RunningServer, running
from tina_azr.engine.types import EventListener, GenerationRequest, Ticket
from tina_azr.errors import ServeError

if TYPE_CHECKING:
    from tina_azr.model.loading import Policy

SLOW = 0.01
"""Seconds a step: a thought of 400 words then takes four. Asserted are steps, not seconds: a machine that stands still makes none."""
LONG: dict[str, Any] = {"messages": [{"role": "user", "content": "think long"}], "max_tokens": 400, "thinking_budget": 400}


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.002)


def server_log(caplog: pytest.LogCaptureFixture) -> str:
    """Return the server's log records, without those of the test clients."""
    records = [record for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    return "\n".join(logging.Formatter().format(record) for record in records)


class Client:
    """Client connection that a test can drop."""

    def __init__(self, server: RunningServer, **fields: Any) -> None:
        url = httpx.URL(server.url)
        body = json.dumps({**LONG, **fields}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {url.host}:{url.port}\r\nContent-Type: application/json\r\n"
        length = f"Content-Length: {len(body)}\r\n\r\n"
        self.connection = socket.create_connection((url.host, url.port or 80), timeout=PATIENCE)
        self.connection.sendall((head + length).encode() + body)

    def leave(self) -> None:
        self.connection.close()


@pytest.mark.parametrize(
    "fields", [{"stream": True}, {"stream": False}, {"stream": True, "n": 4}], ids=["stream", "whole", "several"]
)
def test_disconnected_client_frees_its_slots(fields: dict[str, Any]) -> None:
    engine = ScriptedChatEngine(seconds_per_step=SLOW)
    with running(engine) as server:
        client = Client(server, **fields)
        wait_until(lambda: engine.busy == fields.get("n", 1), "it runs")
        client.leave()
        wait_until(lambda: engine.busy == 0, "the slots are free")
        steps = engine.steps
        wait_until(lambda: server.engine_thread.completions_in_flight == 0, "the room has forgotten it")
        assert engine.steps - steps <= 2
        assert engine.steps < 400, "it ran on to its end"
        metrics = server.get("/metrics").text
    assert 'tina_ended_requests_total{by="client"} 1.0' in metrics
    assert f'tina_completions_total{{reason="cancelled"}} {fields.get("n", 1)}.0' in metrics


def test_client_that_disconnects_in_the_queue_is_removed() -> None:
    engine = ScriptedChatEngine(seconds_per_step=SLOW, slots=1)
    with running(engine) as server:
        first = Client(server, stream=True)
        wait_until(lambda: len(engine.log) == 1, "the engine has the first")
        second = Client(server, stream=True)
        wait_until(lambda: len(engine.log) == 2, "the engine has the second")
        second.leave()
        wait_until(lambda: ("cancel", 2) in engine.log, "the second is cancelled")
        wait_until(lambda: engine.steps > 10, "the first has said something")
        first.leave()
        wait_until(lambda: server.engine_thread.completions_in_flight == 0, "both are out")
        metrics = server.get("/metrics").text
    assert "tina_request_seconds_count 2.0" in metrics
    assert "tina_time_to_first_token_seconds_count 1.0" in metrics, "the second never had a token"


def test_full_queue_sends_retry_after() -> None:
    engine = ScriptedChatEngine(seconds_per_step=SLOW)
    with running(engine, queue=3, choices=3) as server:
        clients = [Client(server, stream=True), Client(server, stream=True, n=2)]
        wait_until(lambda: server.engine_thread.completions_in_flight == 3, "the queue is full")
        for stream in (True, False):
            response = server.chat({**LONG, "stream": stream})
            assert response.status_code == 429
            assert response.json()["error"]["type"] == "rate_limit_error"
            assert 1 <= int(response.headers["retry-after"]) <= 60
        clients[1].leave()
        wait_until(lambda: server.engine_thread.completions_in_flight == 1, "two places are free")
        assert server.chat({**LONG, "max_tokens": 3}).status_code == 200
        clients[0].leave()


def test_new_requests_join_running_ones() -> None:
    engine = ScriptedChatEngine(seconds_per_step=SLOW)
    with running(engine) as server:
        first = Client(server, stream=True)
        wait_until(lambda: engine.steps > 5, "the first runs")
        short = server.chat({**LONG, "max_tokens": 5}).json()
        assert short["usage"]["completion_tokens"] == 5
        assert engine.busy == 1, "the first is over before the second: they did not run together"
        first.leave()


class SlowReader(ScriptedChatEngine):
    """Engine that records its prompts and tokenizes one of them until it is released."""

    def __init__(self) -> None:
        super().__init__(seconds_per_step=SLOW)
        self.read: list[str] = []
        self.reading, self.may_go_on = threading.Event(), threading.Event()

    def prepare(self, request: GenerationRequest) -> GenerationRequest:
        self.read.append(request.messages[-1].content)
        if self.read[-1] == "read long":
            self.reading.set()
            assert self.may_go_on.wait(PATIENCE)
        return super().prepare(request)


def test_slow_tokenization_does_not_stall_running_requests() -> None:
    engine = SlowReader()
    with running(engine) as server, ThreadPoolExecutor(1) as pool:
        first = Client(server, stream=True)
        wait_until(lambda: engine.steps > 3, "the first runs")
        body = {**LONG, "messages": [{"role": "user", "content": "read long"}], "max_tokens": 5}
        second = pool.submit(server.chat, body)
        assert engine.reading.wait(PATIENCE)
        steps = engine.steps
        wait_until(lambda: engine.steps > steps + 5, "the first has gone on")
        assert server.get("/health").status_code == 200
        engine.may_go_on.set()
        assert second.result(PATIENCE).json()["usage"]["completion_tokens"] == 5
        first.leave()


def test_prompts_of_disconnected_clients_are_not_tokenized() -> None:
    engine = SlowReader()
    with running(engine) as server:
        first = Client(server, messages=[{"role": "user", "content": "read long"}])
        assert engine.reading.wait(PATIENCE)
        second = Client(server)
        wait_until(lambda: server.engine_thread.completions_in_flight == 2, "both are in")
        second.leave()
        wait_until(lambda: server.engine_thread.completions_in_flight == 1, "the second is forgotten")
        first.leave()
        wait_until(lambda: server.engine_thread.completions_in_flight == 0, "the first is forgotten")
        engine.may_go_on.set()
        answer = server.chat({**LONG, "max_tokens": 5})
        assert answer.status_code == 200
    assert engine.read == ["read long", "think long"]
    assert [event for event, _ in engine.log].count("submit") == 1


READING = 0.3


class SteadyReader(ScriptedChatEngine):
    """Engine that tokenizes each prompt for `READING` seconds."""

    def prepare(self, request: GenerationRequest) -> GenerationRequest:
        time.sleep(READING)
        return super().prepare(request)


def test_tokenization_counts_towards_the_time_limit() -> None:
    with running(SteadyReader()) as server:
        timing = server.chat({**LONG, "max_tokens": 5}).json()["tina"]["timing"]
        metrics = server.get("/metrics").text
    assert READING <= timing["time_to_first_token"] <= timing["seconds"]
    assert 'tina_time_to_first_token_seconds_bucket{le="0.25"} 0.0' in metrics


def test_request_in_tokenization_survives_the_start_of_a_shutdown() -> None:
    engine = SlowReader()
    body = {**LONG, "messages": [{"role": "user", "content": "read long"}], "max_tokens": 5}
    with ThreadPoolExecutor(1) as pool, running(engine, queue=1, choices=1, grace_seconds=PATIENCE) as server:
        first = pool.submit(server.chat, body)
        assert engine.reading.wait(PATIENCE)
        second = server.chat(LONG)
        assert (second.status_code, second.json()["error"]["code"]) == (429, "queue_full")
        assert server.engine_thread.completions_in_flight == 1
        server.server.stop()
        wait_until(lambda: server.engine_thread.closing, "the server takes no more")
        engine.may_go_on.set()
        assert first.result(PATIENCE).json()["usage"]["completion_tokens"] == 5


class Hesitant(queue.SimpleQueue[Any]):
    """Queue whose `put` waits briefly, so that the other thread uses the item first."""

    def put(self, item: Any, *_: Any) -> None:
        super().put(item)
        time.sleep(0.05)


def test_request_that_ends_during_tokenization_has_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "SimpleQueue", Hesitant)
    with running(SteadyReader(), request_seconds=READING / 3) as server:
        response = server.chat(LONG)
        assert server.engine_thread.completions_in_flight == 0
    assert response.json()["tina"]["ended_by"] == "time_limit"
    assert response.json()["usage"]["completion_tokens"] == 0


class ParticularReader(ScriptedChatEngine):
    """Engine that refuses every conversation at tokenization."""

    def prepare(self, request: GenerationRequest) -> GenerationRequest:
        raise ServeError("the chat template refuses this conversation")


def test_conversation_that_the_template_refuses_is_a_bad_request() -> None:
    with running(ParticularReader()) as server:
        response = server.chat(LONG)
        assert server.engine_thread.completions_in_flight == 0
    assert (response.status_code, response.json()["error"]["param"]) == (400, "messages")


def test_answer_now_closes_the_reasoning_of_a_running_request() -> None:
    engine = ScriptedChatEngine(seconds_per_step=SLOW)
    with running(engine) as server, server.client() as http:
        with http.stream("POST", "/v1/chat/completions", json={**LONG, "stream": True}) as response:
            lines = (line.removeprefix("data: ") for line in response.iter_lines() if line)
            run_id = json.loads(next(lines))["id"]
            wait_until(lambda: engine.steps > 3, "it thinks")
            control = {"id": run_id, "action": "reasoning_end"}
            assert server.post("/v1/chat/completions/control", control).json() == {"ok": True}
            steps = engine.steps
            *_, last, done = lines
        assert done == "[DONE]"
        tina = json.loads(last)["tina"]
        assert (tina["think_stop"], tina["forced_close"]) == ("answer_now", True)
        assert tina["used"] <= steps
        assert http.post("/v1/chat/completions/control", json=control).json() == {"ok": False}
        assert http.post("/v1/chat/completions/control", json={**control, "id": "chatcmpl-0"}).json() == {"ok": False}
        assert http.post("/v1/chat/completions/control", json={**control, "action": "stop"}).status_code == 400


def test_time_limit_ends_a_request_with_its_text_so_far() -> None:
    engine = ScriptedChatEngine(seconds_per_step=SLOW)
    with running(engine, request_seconds=0.3) as server:
        body = server.chat(LONG).json()
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["tina"]["ended_by"] == "time_limit"
    assert body["tina"]["timing"]["seconds"] >= 0.3
    # A token a step, and none at the step that ended it.
    assert body["usage"]["completion_tokens"] == engine.steps - 1 < 400


def test_silent_stream_gets_ping_comments() -> None:
    engine = ScriptedChatEngine(seconds_per_step=SLOW, slots=1)
    with running(engine, ping_seconds=0.05) as server:
        first = Client(server, stream=True)
        wait_until(lambda: engine.busy == 1, "the first runs")
        with server.client() as http, http.stream("POST", "/v1/chat/completions", json={**LONG, "stream": True}) as response:
            assert next(response.iter_lines()) == ": ping"
        first.leave()


def test_shutdown_lets_running_requests_finish() -> None:
    engine = ScriptedChatEngine(seconds_per_step=SLOW)
    with running(engine, grace_seconds=PATIENCE) as server:
        answers: list[dict[str, Any]] = []
        asking = threading.Thread(target=lambda: answers.append(server.chat({**LONG, "max_tokens": 60}).json()))
        asking.start()
        wait_until(lambda: engine.steps > 3, "it runs")
        server.server.stop()
        wait_until(lambda: server.engine_thread.closing, "it shuts down")
        asking.join(PATIENCE)
        server.thread.join(PATIENCE)
    assert (answers[0]["usage"]["completion_tokens"], answers[0]["tina"]["ended_by"]) == (60, None)
    with pytest.raises(httpx.ConnectError):
        server.get("/health")


def test_shutdown_ends_slow_requests_and_reports_it() -> None:
    engine = ScriptedChatEngine(seconds_per_step=SLOW)
    with running(engine, grace_seconds=0.2) as server:
        with server.client() as http, http.stream("POST", "/v1/chat/completions", json={**LONG, "stream": True}) as response:
            lines = (line.removeprefix("data: ") for line in response.iter_lines() if line)
            next(lines)
            server.server.stop()
            *_, last, done = lines
        server.thread.join(PATIENCE)
    assert done == "[DONE]"
    assert json.loads(last)["tina"]["ended_by"] == "shutdown"
    assert json.loads(last)["choices"][0]["finish_reason"] == "length"
    assert engine.steps < 400


class BreakingEngine(ScriptedChatEngine):
    """Engine that fails after three steps and three requests, with a secret message."""

    def step(self) -> bool:
        if self.steps < 3:
            return super().step()
        if len(self.log) < 3:
            time.sleep(SLOW)
            return True
        raise ValueError(f"cannot go on after {SENTINEL}")


def test_broken_engine_fails_all_requests_and_stops_the_server(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), running(BreakingEngine(slots=1)) as server:
        statuses: list[tuple[int, str]] = []
        metrics = server.engine_thread.observe.__self__  # type: ignore[attr-defined]

        def ask() -> None:
            response = server.chat(LONG)
            statuses.append((response.status_code, response.text))

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        server.thread.join(PATIENCE)
        assert not server.thread.is_alive()
    assert [status for status, _ in statuses] == [500] * 3
    assert "tina_failures_total 3.0" in metrics.text().decode()
    assert "tina_request_seconds_count 3.0" in metrics.text().decode()
    assert "ValueError" in server_log(caplog)
    assert SENTINEL not in server_log(caplog) + "".join(text for _, text in statuses)


class RefusingEngine(ScriptedChatEngine):
    """Engine whose `submit` raises an undeclared exception."""

    def submit(self, request: GenerationRequest, listener: EventListener) -> Ticket:
        raise KeyError(f"{SENTINEL} {request.messages[-1].content}")


def test_internal_error_quotes_no_conversation(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), running(RefusingEngine()) as server:
        response = server.chat({"messages": [{"role": "user", "content": "my secret"}]})
    assert (response.status_code, response.json()["error"]["type"]) == (500, "server_error")
    assert "KeyError" in server_log(caplog)
    for text in (server_log(caplog), response.text):
        assert SENTINEL not in text
        assert "my secret" not in text


def test_logs_and_metrics_hold_no_text_of_a_conversation(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), running(ScriptedChatEngine(allow_visible=True)) as server:
        body = {"messages": [{"role": "user", "content": "my secret"}], "include_reasoning": True}
        answer = server.chat(body).json()
        server.get("/my-secret-path")
        metrics = server.get("/metrics").text
    assert SENTINEL in json.dumps(answer)
    for text in (server_log(caplog), metrics):
        assert SENTINEL not in text
        assert "secret" not in text
        assert answer["choices"][0]["message"]["content"] not in text
    assert 'tina_tokens_total{kind="think"} 25.0' in metrics
    assert 'tina_think_stops_total{cause="closed"} 1.0' in metrics
    assert 'tina_http_requests_total{path="other",status="404"} 1.0' in metrics
    assert "tina_completions_in_flight 0.0" in metrics
    assert answer["id"] in server_log(caplog)


def test_kv_cache_is_freed_when_idle(byte_policy: "Policy") -> None:
    from tina_azr.engine.engine import IntrospectiveEngine

    engine = IntrospectiveEngine(byte_policy)
    body = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 60, "thinking_budget": 20, "seed": 1}
    with running(engine) as server:
        answers = []
        for _ in range(2):
            answers.append(server.chat(body).json())
            wait_until(lambda: engine.held_bytes == 0, "its memory is given back")
    assert answers[0]["choices"] == answers[1]["choices"]


def test_ready_fails_before_health_at_shutdown() -> None:
    engine = ScriptedChatEngine(usual, seconds_per_step=SLOW)
    with running(engine, grace_seconds=5) as server, server.client() as http:
        assert (http.get("/ready").status_code, http.get("/health").status_code) == (200, 200)
        server.engine_thread.closing = True
        assert (http.get("/ready").status_code, http.get("/health").status_code) == (503, 200)
        assert http.post("/v1/chat/completions", json=LONG).status_code == 503
