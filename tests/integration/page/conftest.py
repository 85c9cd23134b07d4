"""Fixtures of the page tests: a browser, a scripted server, and checks for errors, foreign requests and CSP violations."""

from collections.abc import Iterator

import pytest
from page_chat import LAN_NAME, PATIENCE_MS, Chat, PageEngine, page_engine
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from scripted_server import running
from tina_azr.sandbox import Limits, Sandbox

CHROMIUM = "/usr/bin/chromium"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # Not for the session: Playwright keeps an event loop in this thread, and other tests run their own.
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--no-proxy-server", f"--host-resolver-rules=MAP {LAN_NAME} 127.0.0.1"],
            timeout=PATIENCE_MS,
        )
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="light")
    context.set_default_timeout(PATIENCE_MS)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    yield context
    context.close()


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    # Time is not what the page's programs run out of, on any machine.
    with Sandbox(limits=Limits(wall_ms=60_000), workers=1) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def engine() -> PageEngine:
    return page_engine()


@pytest.fixture(scope="session")
def url(engine: PageEngine, sandbox: Sandbox) -> Iterator[str]:
    with running(engine, checker=sandbox) as server:
        yield server.url


@pytest.fixture
def chat(context: BrowserContext, url: str) -> Iterator[Chat]:
    chat = Chat(context.new_page(), url).open()
    yield chat
    chat.check()
