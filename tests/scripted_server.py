"""Real server with a `ScriptedChatEngine`: in a thread for tests, in the foreground for work on the page."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import httpx

from scripted_chat import CONTEXT, MAX_TOKENS, ScriptedChatEngine
from tina_azr.config import ServeConfig
from tina_azr.engine.types import ChatEngine
from tina_azr.errors import ServeError
from tina_azr.sandbox import Sandbox
from tina_azr.serve.app import build_app
from tina_azr.serve.engine_thread import EngineThread
from tina_azr.serve.server import Server, check_exposure, listen, port_of, url_of
from tina_azr.serve.service import Checker
from tina_azr.serve.types import CalibrationCard, Defaults, ServedModel, ServerLimits
from tina_azr.text.style import PromptStyle

CALIBRATION = CalibrationCard(digest="c" * 64, n=576, ece=0.041, date="2026-11-20")
PATIENCE = 60.0
"""Seconds that tests wait for what comes at once: a machine that stands still for a while is no fault of the server."""


def scripted_model(engine: ChatEngine) -> ServedModel:
    """Describe the script as a served model."""
    heads = getattr(engine, "heads", False)
    return ServedModel(
        name="scripted",
        embedded=True,
        prompts=PromptStyle.COMPACT,
        note="A script: it says what it was written to say.",
        context_limit=CONTEXT,
        defaults=Defaults(max_tokens=MAX_TOKENS, max_think_tokens=MAX_TOKENS, temperature=0.6, top_p=0.95, top_k=20),
        heads=heads,
        calibration=CALIBRATION if heads else CalibrationCard(),
    )


def scripted_settings(engine: ChatEngine, **changes: object) -> ServeConfig:
    """Return settings that fit the engine, on a free port."""
    fitting = {
        "allow_visible_reasoning": getattr(engine, "allow_visible", False),
        "abstain_below": getattr(engine, "abstain_below", None),
        "port": 0,
    }
    return ServeConfig.model_validate({**fitting, **changes})


def serve_scripted(
    engine: ScriptedChatEngine,
    *,
    port: int = 0,
    key: str | None = None,
    checker: Checker | None = None,
    on_url: Callable[[str], None] = lambda url: print(f"serving the script at {url}", flush=True),
    **changes: object,
) -> None:
    """Serve until Ctrl-C."""
    settings = scripted_settings(engine, port=port, **changes)
    check_exposure(settings, key)
    listener = listen(settings)
    app = build_app(
        engine,
        model=scripted_model(engine),
        settings=settings,
        key=key,
        checker=Sandbox(workers=1) if checker is None else checker,
        port=port_of(listener),
    )
    with contextlib.suppress(KeyboardInterrupt):
        Server(app, listener, settings, lambda: on_url(url_of(settings, port_of(listener)))).run_until_stopped()
    print("stopped")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningServer:
    """Server that runs in a thread."""

    url: str
    server: Server
    engine_thread: EngineThread
    thread: threading.Thread

    def get(self, path: str, **options: Any) -> httpx.Response:
        """Send a GET request on a new connection; options are httpx's."""
        return httpx.get(f"{self.url}{path}", timeout=PATIENCE, **options)

    def post(self, path: str, body: object, **options: Any) -> httpx.Response:
        """Send a POST request with a JSON body."""
        return httpx.post(f"{self.url}{path}", json=body, timeout=PATIENCE, **options)

    def chat(self, body: object) -> httpx.Response:
        """Send a body to `/v1/chat/completions`."""
        return self.post("/v1/chat/completions", body)

    def client(self) -> httpx.Client:
        """Return a client for several requests on one connection."""
        return httpx.Client(base_url=self.url, timeout=PATIENCE)


@contextmanager
def running(
    engine: ChatEngine,
    *,
    key: str | None = None,
    checker: Checker | None = None,
    model: ServedModel | None = None,
    **changes: object,
) -> Iterator[RunningServer]:
    """Run a server in a thread and stop it at the end. `changes` are settings of `serve`, or server limits."""
    given = {each.name for each in fields(ServerLimits)}
    limits = ServerLimits(**{name: value for name, value in changes.items() if name in given})  # type: ignore[arg-type]
    settings = scripted_settings(engine, **{name: value for name, value in changes.items() if name not in given})
    listener = listen(settings)
    port = port_of(listener)
    app = build_app(
        engine, model=model or scripted_model(engine), settings=settings, key=key, checker=checker, port=port, limits=limits
    )
    started = threading.Event()
    server = Server(app, listener, settings, started.set)
    thread = threading.Thread(target=_work, args=(server,))
    thread.start()
    try:
        assert started.wait(PATIENCE), "the server did not start"
        yield RunningServer(url=url_of(settings, port), server=server, engine_thread=app.state.engine_thread, thread=thread)
    finally:
        server.stop()
        thread.join(PATIENCE)
        listener.close()
    assert not thread.is_alive(), "the server did not stop"


def _work(server: Server) -> None:
    # A broken engine is what some tests are about.
    with contextlib.suppress(ServeError):
        server.run_until_stopped()
