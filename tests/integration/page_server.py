"""A stand-in for `tina-azr serve`: its wire format over scripts, so that the page's tests need neither a model nor its server."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import nh3
from markdown_it import MarkdownIt
from page_scripts import Script, script_of

STATIC = Path(__file__).parents[2] / "python" / "tina_azr" / "serve" / "static"
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
CALIBRATION = {"digest": "5f2c9e1ab07d", "n": 1728, "ece": 0.029, "date": "2026-11-20"}
NOTE = (
    "The embedded model, 3 M parameters: it knows small programs over integers, short lists and short strings, in the few fixed words "
    "of its prompts. It is no assistant. For one, name a model: tina-azr serve --model Qwen/Qwen3-4B-Thinking-2507."
)
CONTEXT = 1024


class ScriptedServer(ThreadingHTTPServer):
    """Serves the page and the scripts on a free port of 127.0.0.1."""

    daemon_threads = True

    def __init__(self, *, key: str | None = None, port: int = 0, thoughts_allowed: bool = True) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.key = key
        self.thoughts_allowed = thoughts_allowed
        self.answer_now: set[str] = set()
        self.requests: list[dict[str, Any]] = []
        """Bodies of the chat requests, in their order."""
        self.running = 0
        self.busy_for = 0
        """How many of the next chat requests are told to come again."""
        self.down = False
        """Connections are closed without an answer."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"

    def start(self) -> "ScriptedServer":
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that hangs up is what several tests are about."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: ScriptedServer

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        if self.server.down:
            self.close_connection = True
            return
        if self.path == "/v1/tina/info":
            if self._refuses_key():
                return
            self._json(200, self._info())
        elif self.path == "/health":
            self._json(200, {"status": "ok"})
        else:
            name = "index.html" if self.path == "/" else self.path.removeprefix("/static/")
            file = (STATIC / name).resolve()
            if not file.is_relative_to(STATIC) or not file.is_file():
                self._error(404, f"nothing at {self.path}")
                return
            self._send(200, TYPES[file.suffix], file.read_bytes())

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.down:
            self.close_connection = True
            return
        if self._refuses_key():
            return
        if self.path == "/v1/tina/render":
            html = MarkdownIt("commonmark", {"html": False}).enable("table").render(body["markdown"])
            allowed = {"a", "blockquote", "code", "em", "h1", "h2", "h3", "hr", "li", "ol", "p", "pre", "strong", "ul", "br"}
            allowed |= {"table", "thead", "tbody", "tr", "th", "td"}
            attributes = {"a": {"href"}, "code": {"class"}, "ol": {"start"}}
            self._json(200, {"html": nh3.clean(html, tags=allowed, attributes=attributes, link_rel="noopener")})
        elif self.path == "/v1/tina/sandbox":
            self._json(200, outcome_of(body["program"], body.get("call")))
        elif self.path == "/v1/chat/completions/control":
            self.server.answer_now.add(body["id"])
            self._json(200, {"ok": True})
        elif self.path == "/v1/chat/completions":
            self._chat(body)
        else:
            self._error(404, f"nothing at {self.path}")

    def _chat(self, body: dict[str, Any]) -> None:
        self.server.requests.append(body)
        if self.server.busy_for:
            self.server.busy_for -= 1
            self._error(429, "the queue is full", {"Retry-After": "1"})
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.close_connection = True
        self.server.running += 1
        try:
            for line in self._lines(body):
                self.wfile.write(f"data: {line}\n\n".encode())
                self.wfile.flush()
        except (BrokenPipeError, ConnectionResetError):
            pass
        finally:
            self.server.running -= 1

    def _lines(self, body: dict[str, Any]) -> Iterator[str]:
        prompt = body["messages"][-1]["content"]
        script = script_of(prompt)
        visible = self.server.thoughts_allowed and body.get("reasoning", {}).get("visible", False)
        name = f"chatcmpl-{time.time_ns()}"
        limit = script.wall if "thinking_token_budget" not in body else body["thinking_token_budget"] * 5 // 4
        tina = forecast(script, body)

        def chunk(delta: dict[str, Any], finish: str | None = None, **extra: Any) -> str:
            choice = {"index": 0, "delta": delta, "finish_reason": finish}
            return json.dumps({"id": name, "object": "chat.completion.chunk", "model": "tiny", "choices": [choice], **extra})

        started = time.monotonic()
        yield chunk({"role": "assistant", "content": ""}, tina=tina)
        used, stop = 0, script.think_stop
        for text in script.thought:
            time.sleep(script.token_seconds)
            used += 1
            delta = {"reasoning_content": text, "reasoning": text} if visible else {}
            yield chunk(delta, tina={"used": used})
            if name in self.server.answer_now:
                stop = "answer_now"
                break
            if used >= limit:
                stop = "wall"
                break
        ended = time.monotonic()
        tina |= {"used": used, "think_stop": stop, "forced_close": stop in ("wall", "answer_now"), "cE": script.cE}
        yield chunk({}, tina={name: tina[name] for name in ("used", "think_stop", "forced_close", "cE")})
        for index, text in enumerate(script.answer):
            if index == script.drop_after:
                return
            time.sleep(script.token_seconds)
            yield chunk({"content": text})
        seconds = time.monotonic() - started
        answered = 2 * len(script.answer)
        timing = {
            "prompt_tokens": 42,
            "think_tokens": used,
            "answer_tokens": answered,
            "seconds": seconds,
            "think_seconds": ended - started,
            "tokens_per_second": (used + answered) / seconds,
            "time_to_first_token": script.token_seconds,
        }
        history = sum(len(message["content"]) for message in body["messages"]) // 3
        tina |= {"abstain": script.abstain, "timing": timing, "context": {"used": min(CONTEXT, history + answered), "limit": CONTEXT}}
        yield chunk({}, "stop", tina=tina)
        usage = {"prompt_tokens": 42, "completion_tokens": used + answered, "total_tokens": 42 + used + answered}
        yield json.dumps({"id": name, "object": "chat.completion.chunk", "model": "tiny", "choices": [], "usage": usage})
        yield "[DONE]"

    def _info(self) -> dict[str, Any]:
        return {
            "model": "tiny",
            "embedded": True,
            "note": NOTE,
            "thoughts_allowed": self.server.thoughts_allowed,
            "context_limit": CONTEXT,
            "defaults": {"max_tokens": 512, "temperature": 0.6, "top_p": 0.95, "top_k": 20},
            "heads": True,
            "abstain_below": 0.4,
            "calibration": CALIBRATION,
            "sandbox": True,
            "version": "0.1.0",
            "key_required": self.server.key is not None,
        }

    def _refuses_key(self) -> bool:
        if self.server.key is None or self.headers.get("Authorization") == f"Bearer {self.server.key}":
            return False
        self._error(401, "a key is needed")
        return True

    def _error(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
        self._json(status, {"error": error}, headers)

    def _json(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        self._send(status, "application/json", json.dumps(value).encode(), headers)

    def _send(self, status: int, content_type: str, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{content_type}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", CSP)
        self.send_header("X-Content-Type-Options", "nosniff")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def forecast(script: Script, body: dict[str, Any]) -> dict[str, Any]:
    """The `tina` object as it is known before the first token of thought."""
    asked = body.get("thinking_token_budget")
    effort = {"low": "0.5", "medium": "0.8", "high": "0.95"}.get(body.get("reasoning_effort", ""))
    source, limit, wall = "predicted" if script.predicted else "default", script.budget, script.wall
    if asked is not None:
        source, limit, wall = "requested", asked, asked * 5 // 4
    elif effort is not None and script.predicted is not None:
        limit, wall = script.predicted[effort], script.predicted[effort] * 5 // 4
    return {
        "plan": script.plan,
        "budget": {"predicted": script.predicted, "budget": limit, "wall": wall, "source": source, "warning": script.warning},
        "used": 0,
        "think_stop": None,
        "forced_close": False,
        "leak": False,
        "c0": script.c0,
        "cE": None,
        "abstain": False,
        "calibration": CALIBRATION if script.c0 is not None else dict.fromkeys(CALIBRATION),
    }


def outcome_of(program: str, call: str | None) -> dict[str, Any]:
    """What the sandbox would say of the few programs in the scripts."""
    known = {
        ("i * i", "f(4)"): "[0, 1, 4, 9]",
        ("x * 3", "f(4)"): "17",
        ("x * 3", "f(10)"): "24",
        ("x * 2", "f(17)"): "36",
        ("x * 2", "f(3)"): "8",
        ("x * 2", "f(1)"): "4",
    }
    value = next((result for (part, asked), result in known.items() if part in program and call == asked), "None")
    if program == "def f(value):\n    return value" and call is not None:
        value = call.removeprefix("f(").removesuffix(")")
    kind, error = ("exception", "ZeroDivisionError: division by zero") if call == "f(0)" else ("ok", None)
    return {
        "outcome": kind,
        "value": value if kind == "ok" else None,
        "error": error,
        "stdout": "one line\n" if "i * i" in program else "",
        "fuel": 512_345,
        "wall_ms": 0.412,
        "memory_bytes": 37_000_000,
    }


if __name__ == "__main__":
    ScriptedServer(port=8765).serve_forever()
