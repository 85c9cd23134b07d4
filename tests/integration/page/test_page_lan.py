"""Tests of the page from another machine over plain HTTP: no Web Locks, no clipboard API, and a key."""

from collections.abc import Iterator

import pytest
from page_chat import LAN_NAME, Chat, page_engine
from playwright.sync_api import BrowserContext, Error, expect

from scripted_server import running
from tina_azr.sandbox import Sandbox


@pytest.fixture
def chat(context: BrowserContext, sandbox: Sandbox) -> Iterator[Chat]:
    with running(page_engine(), key="secret", checker=sandbox, host="0.0.0.0", hosts=[LAN_NAME]) as server:
        chat = Chat(context.new_page(), server.url.replace("127.0.0.1", LAN_NAME))
        # Chromium says of the header that it counts for HTTPS alone.
        chat.expected += ["status of 401", "Cross-Origin-Opener-Policy header has been ignored"]
        chat.page.goto(chat.url)
        assert chat.page.evaluate("[isSecureContext, typeof navigator.locks]") == [False, "undefined"]
        dialog = chat.page.get_by_role("dialog", name="This server asks for a key")
        expect(dialog).to_contain_text("plain HTTP")
        dialog.get_by_label("Key").fill("secret")
        dialog.get_by_role("button", name="Use it").click()
        expect(chat.page.locator("#model")).not_to_be_empty()
        yield chat
        chat.check()


def test_page_works_over_plain_http(chat: Chat) -> None:
    answer = chat.send("[code] squares")
    answer.get_by_role("button", name="Run in the sandbox").click()
    answer.get_by_label("Call").fill("f(3)")
    answer.get_by_role("button", name="Run again").click()
    expect(answer.locator(".run code")).to_have_text("f(3) → [0, 1, 4]")
    chat.reload()
    expect(answer.locator(".run code")).to_have_text("f(3) → [0, 1, 4]")
    button = answer.get_by_role("button", name="Copy code")
    chat.copy(button)
    expect(button).to_be_focused()
    field = chat.page.get_by_role("textbox", name="Message", exact=True)
    field.press("Control+v")
    expect(field).to_have_value("def f(n):\n    print('called with', n)\n    return [i * i for i in range(n)]")


def test_activity_and_crash_of_another_tab_are_noticed(chat: Chat) -> None:
    chat.fixed_budget(2_000)
    chat.send("[ponder]", wait=False)
    other = chat.page.context.new_page()
    other.goto(chat.page.url)
    expect(other.locator(".card")).to_have_attribute("data-phase", "thinking")
    other.wait_for_timeout(2_500)  # Longer than it waits for the word of a tab.
    expect(other.get_by_role("note")).to_have_count(0)
    with pytest.raises(Error, match="crash"):
        chat.page.goto("chrome://crash")
    expect(other.get_by_role("note")).to_have_text("The page was closed before this was complete.")
