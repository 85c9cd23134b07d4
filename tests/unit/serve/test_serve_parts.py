"""Tests of small parts: addresses, Markdown, keys, exposure, the sandbox endpoint, the page's files."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import datetime
from itertools import islice
from pathlib import Path

import httpx
import pytest

from scripted_chat import MAX_TOKENS, ScriptedChatEngine
from scripted_server import PATIENCE, running
from tina_azr.config import ServeConfig, load_config
from tina_azr.errors import ConfigError, SandboxError, ServeError
from tina_azr.sandbox.types import Outcome, OutcomeKind
from tina_azr.serve.access.api_key import VARIABLE, find_key
from tina_azr.serve.access.hosts import OwnAddress, is_loopback, same_origin
from tina_azr.serve.loading import describe, open_for_serving
from tina_azr.serve.markdown import render
from tina_azr.serve.server import check_exposure, hint_of, listen, port_of, url_of
from tina_azr.text.style import PromptStyle


@pytest.mark.parametrize(("prompts", "style"), [("auto", PromptStyle.COMPACT), ("full", PromptStyle.FULL)])
def test_server_uses_the_configured_prompt_set(byte_model: Path, prompts: str, style: PromptStyle) -> None:
    config = load_config(overrides=[f"model.name={byte_model}", f"model.prompts={prompts}", "model.device=cpu", "run.threads=1"])
    engine = open_for_serving(config)
    assert describe(engine, config.model.name, datetime.now()).prompts is style


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("localhost", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.0.7", False),
        ("box.example", False),
    ],
)
def test_loopback_addresses(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_server_on_all_addresses_accepts_any_ip_but_no_foreign_name() -> None:
    address = OwnAddress("0.0.0.0", 8000)
    assert address.accepts("192.168.0.7:8000")
    assert address.accepts("[fe80::1]:8000")
    assert address.accepts("localhost:8000")
    assert not address.accepts("rebound.example:8000")


@pytest.mark.parametrize("host", ["", "http://box.example", "box example", "box:port", "[::1"])
def test_malformed_allowed_host_is_refused(host: str) -> None:
    with pytest.raises(ConfigError, match=r"serve\.hosts"):
        OwnAddress("127.0.0.1", 8000, [host])


def test_default_port_may_be_omitted() -> None:
    assert OwnAddress("127.0.0.1", 80).accepts("localhost")
    assert not OwnAddress("127.0.0.1", 8000).accepts("localhost")


@pytest.mark.parametrize(
    ("origin", "host", "expected"),
    [
        ("http://localhost:8000", "localhost:8000", True),
        ("http://[::1]:8000", "[0:0:0:0:0:0:0:1]:8000", True),
        ("http://localhost", "localhost:80", True),
        ("https://box.example", "box.example:443", True),
        ("http://localhost:8000", "127.0.0.1:8000", False),
        ("http://localhost:8001", "localhost:8000", False),
        ("ftp://localhost:8000", "localhost:8000", False),
        ("http://localhost:8000/path", "localhost:8000", False),
        ("null", "localhost:8000", False),
        ("", "localhost:8000", False),
    ],
)
def test_origins_are_equal_if_name_and_port_are(origin: str, host: str, expected: bool) -> None:
    assert same_origin(origin, host) is expected


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[a](javascript:alert(1))",
        "[a](data:text/html,x)",
        "![a](http://evil.example/x.png)",
        "`<b onclick=x>`",
        "<svg/onload=alert(1)>",
        "[a](http://x 'onmouseover=alert(1)')",
        "<a href='javascript:x'>a</a>",
        "<style>*{}</style>",
        "<iframe src=//evil.example>",
    ],
)
def test_rendered_html_runs_and_loads_nothing(text: str) -> None:
    html = render(text)
    for live in (
        "<script",
        "<img",
        "<svg",
        "<style",
        "<iframe",
        "<b ",
        'javascript:alert(1)"',
        'href="javascript',
        'href="data',
        "style=",
    ):
        assert live not in html


def test_harmless_markdown_is_rendered() -> None:
    html = render("# Title\n\n**bold** ~~gone~~ [link](https://example.org)\n\n| a |\n|---|\n| 1 |\n\n```python\nx < 1\n```\n")
    assert '<a href="https://example.org" target="_blank" rel="noopener noreferrer nofollow">link</a>' in html
    assert '<pre><code class="language-python">x &lt; 1\n</code></pre>' in html
    for shown in ("<h1>Title</h1>", "<strong>bold</strong>", "<s>gone</s>", "<td>1</td>"):
        assert shown in html


@pytest.mark.parametrize(
    "text",
    ["[" * 50_000, "*a" * 30_000, "> " * 30_000, "|a" * 30_000, "`" * 50_000 + "a", "![" * 30_000, "<a" * 30_000, "&" * 60_000],
)
@pytest.mark.timeout(60)
def test_markdown_rendering_is_fast_for_hostile_input(text: str) -> None:
    assert isinstance(render(text), str)


def test_a_key_comes_from_the_environment_or_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert find_key(None) is None
    monkeypatch.setenv(VARIABLE, "from-environment")
    assert find_key(None) == "from-environment"
    (tmp_path / "key").write_text("from-file\n")
    assert find_key(tmp_path / "key") == "from-file"


@pytest.mark.parametrize("text", ["", " ", "two words", "žluť", "a\tb"])
def test_key_that_no_client_can_send_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(ConfigError, match=VARIABLE):
        find_key(None)
    (tmp_path / "key").write_text(text)
    with pytest.raises(ConfigError, match="key"):
        find_key(tmp_path / "key")
    with pytest.raises(ConfigError, match=r"missing: the key cannot be read: No such file or directory$"):
        find_key(tmp_path / "missing")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7"])
def test_address_reachable_by_others_needs_a_key(host: str) -> None:
    settings = ServeConfig(host=host)
    with pytest.raises(ConfigError, match=VARIABLE):
        check_exposure(settings, None)
    check_exposure(settings, "a-key")


def test_occupied_port_is_reported() -> None:
    with listen(ServeConfig(port=0)) as taken, pytest.raises(ServeError, match=f"port {port_of(taken)}.*--port"):
        listen(ServeConfig(port=port_of(taken)))


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:5"),
        ("localhost", "http://localhost:5"),
        ("::1", "http://[::1]:5"),
        ("0.0.0.0", "http://127.0.0.1:5"),
        ("::", "http://127.0.0.1:5"),
    ],
)
def test_url_works_in_a_browser(host: str, url: str) -> None:
    assert url_of(ServeConfig(host=host), 5) == url


@pytest.mark.parametrize(("host", "said"), [("0.0.0.0", True), ("::", True), ("192.168.0.7", False), ("box.example", False)])
def test_server_on_all_addresses_prints_a_url_for_other_machines(host: str, said: bool) -> None:
    hint = hint_of(ServeConfig(host=host), 5)
    assert (hint is not None and ":5, " in hint and "--allow-host" in hint) is said


@pytest.mark.parametrize(("outward", "said"), [("10.0.0.7", "http://10.0.0.7:5,"), (None, "http://ADDRESS:5,")])
def test_hint_has_the_outward_address_if_there_is_one(outward: str | None, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tina_azr.serve.server._outward_address", lambda: outward)
    assert said in (hint_of(ServeConfig(host="0.0.0.0"), 5) or "")


class RecordingChecker:
    """Sandbox double that returns `ok` or fails."""

    def __init__(self, *, broken: bool = False) -> None:
        self.jobs: list[tuple[str, Sequence[str]]] = []
        self.broken = broken

    def check_many(self, jobs: Sequence[tuple[str, Sequence[str]]]) -> list[list[Outcome]]:
        self.jobs += jobs
        if self.broken:
            raise SandboxError("no image")
        return [[Outcome(kind=OutcomeKind.OK, value="4", stdout="said", fuel=5, wall_ms=1.23456, memory_bytes=7)]]


class SlowChecker(RecordingChecker):
    """Sandbox double that blocks until it is released and counts concurrent calls."""

    def __init__(self) -> None:
        super().__init__()
        self.may_end = threading.Event()
        self.at_once = self.most_at_once = 0

    def check_many(self, jobs: Sequence[tuple[str, Sequence[str]]]) -> list[list[Outcome]]:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        assert self.may_end.wait(PATIENCE)
        self.at_once -= 1
        return super().check_many(jobs)


def test_sandbox_endpoint_returns_the_outcome() -> None:
    checker = RecordingChecker()
    with running(ScriptedChatEngine(), checker=checker) as server, server.client() as client:
        assert client.get("/v1/tina/info").json()["sandbox"] is True
        outcome = client.post("/v1/tina/sandbox", json={"program": "x = 1", "call": "f(3)"}).json()
        client.post("/v1/tina/sandbox", json={"program": "x = 1", "call": None})
        too_long = client.post("/v1/tina/sandbox", json={"program": "x" * 20_001})
    assert outcome == {
        "outcome": "ok",
        "value": "4",
        "error": None,
        "stdout": "said",
        "fuel": 5,
        "wall_ms": 1.235,
        "memory_bytes": 7,
    }
    assert checker.jobs == [("x = 1", ["f(3)"]), ("x = 1", ["None"])]
    assert too_long.status_code == 400


def test_sandbox_queue_is_bounded() -> None:
    checker = SlowChecker()
    with running(ScriptedChatEngine(), checker=checker) as server, ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(server.post, "/v1/tina/sandbox", {"program": "x"}) for _ in range(8)]
        try:
            refused = list(islice(as_completed(asked, PATIENCE / 2), 4))
        finally:
            checker.may_end.set()
        statuses = sorted(answer.result().status_code for answer in asked)
    assert statuses == [200] * 4 + [429] * 4
    assert all(answer.result().headers.get("retry-after") == "1" for answer in refused)
    assert checker.most_at_once == 1


def test_failed_or_absent_sandbox_is_an_error() -> None:
    with running(ScriptedChatEngine(), checker=RecordingChecker(broken=True)) as server:
        assert server.post("/v1/tina/sandbox", {"program": "1"}).status_code == 503
    with running(ScriptedChatEngine()) as server:
        assert server.post("/v1/tina/sandbox", {"program": "1"}).json()["error"]["code"] == "no_sandbox"


def test_info_has_everything_that_the_page_needs(client: httpx.Client) -> None:
    info = client.get("/v1/tina/info").json()
    assert (info["model"], info["embedded"], info["context_limit"], info["heads"]) == ("scripted", True, 4096, True)
    assert (info["thoughts_allowed"], info["key_required"], info["sandbox"], info["abstain_below"]) == (False, False, False, None)
    assert info["defaults"] == {
        "max_tokens": MAX_TOKENS,
        "max_think_tokens": MAX_TOKENS,
        "temperature": 0.6,
        "top_p": 0.95,
        "top_k": 20,
    }


def test_markdown_is_rendered_by_the_server(client: httpx.Client) -> None:
    assert client.post("/v1/tina/render", json={"markdown": "*a*"}).json() == {"html": "<p><em>a</em></p>\n"}


def test_only_files_of_the_page_are_served(client: httpx.Client) -> None:
    page = client.get("/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert client.get("/static/index.html").text == page.text
    for path in ("/static/", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static//etc/passwd", "/static/nothing.js"):
        assert client.get(path).status_code == 404


def test_openapi_has_no_422_and_lists_the_error_responses(client: httpx.Client) -> None:
    description = client.get("/openapi.json").json()
    operation = description["paths"]["/v1/chat/completions"]["post"]
    assert "422" not in operation["responses"]
    assert {"200", "400", "401", "403", "404", "413", "415", "429", "500", "503"} <= set(operation["responses"])
    assert "thinking_token_budget" in description["components"]["schemas"]["ChatRequest"]["properties"]
