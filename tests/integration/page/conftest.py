"""A browser, a server with a script for a model, and a page that is watched: no error, no foreign request, no violation of the CSP."""

from collections.abc import Iterator

import pytest
from page_chat import LAN_NAME, Chat, page_engine
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from scripted_chat import ScriptedChatEngine
from scripted_server import running
from tina_azr.sandbox import Sandbox

CHROMIUM = "/usr/bin/chromium"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # Not for the session: Playwright keeps an event loop in this thread, and other tests run their own.
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", f"--host-resolver-rules=MAP {LAN_NAME} 127.0.0.1"]
        )
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="light")
    context.set_default_timeout(10_000)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    yield context
    context.close()


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(workers=1) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def engine() -> ScriptedChatEngine:
    return page_engine()


@pytest.fixture(scope="session")
def url(engine: ScriptedChatEngine, sandbox: Sandbox) -> Iterator[str]:
    with running(engine, checker=sandbox) as server:
        yield server.url


@pytest.fixture
def chat(context: BrowserContext, url: str) -> Iterator[Chat]:
    chat = Chat(context.new_page(), url).open()
    yield chat
    chat.check()
