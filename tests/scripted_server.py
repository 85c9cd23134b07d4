"""A real server around a `ScriptedChatEngine`: in a thread for tests, in the foreground for the page's developer."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from scripted_chat import CONTEXT, MAX_TOKENS, ScriptedChatEngine
from tina_azr.config import ServeConfig
from tina_azr.sandbox import Sandbox
from tina_azr.serve.app import build_app
from tina_azr.serve.listening import check_exposure, listen, port_of, serve, url_of
from tina_azr.serve.service import Checker
from tina_azr.serve.types import CalibrationCard, Defaults, ServedModel

CALIBRATION = CalibrationCard(digest="c" * 64, n=576, ece=0.041, date="2026-11-20")


def scripted_model(engine: ScriptedChatEngine) -> ServedModel:
    """What is said of the script."""
    return ServedModel(
        name="scripted",
        embedded=True,
        note="A script: it says what it was written to say.",
        context_limit=CONTEXT,
        defaults=Defaults(max_tokens=MAX_TOKENS, temperature=0.6, top_p=0.95, top_k=20),
        heads=engine.heads,
        calibration=CALIBRATION if engine.heads else CalibrationCard(),
    )


def scripted_settings(engine: ScriptedChatEngine, **changes: object) -> ServeConfig:
    """Settings that fit the engine, on a free port."""
    fitting = {"allow_visible_thoughts": engine.allow_visible, "abstain_below": engine.abstain_below, "port": 0}
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
    try:
        serve(app, listener, settings, lambda: on_url(url_of(settings, port_of(listener))))
    except KeyboardInterrupt:
        print("stopped")


@contextmanager
def running(
    engine: ScriptedChatEngine, *, key: str | None = None, checker: Checker | None = None, **changes: object
) -> Iterator[str]:
    """A server in a thread, as its URL."""
    import uvicorn

    settings = scripted_settings(engine, **changes)
    listener = listen(settings)
    app = build_app(engine, model=scripted_model(engine), settings=settings, key=key, checker=checker, port=port_of(listener))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, ws="none", timeout_graceful_shutdown=5))
    started = threading.Event()
    startup = server.startup

    async def announce(sockets: list[socket.socket] | None = None) -> None:
        await startup(sockets)
        started.set()

    server.startup = announce  # type: ignore[method-assign]
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        assert started.wait(20), "the server did not start"
        yield url_of(settings, port_of(listener))
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()
