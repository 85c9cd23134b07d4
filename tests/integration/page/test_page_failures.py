"""Tests of the page with a server that is away, full, locked or failing."""

import re
import socket
from collections.abc import Iterator

import pytest
from page_chat import PATIENCE_MS, Chat, page_engine
from playwright.sync_api import Browser, BrowserContext, Route, expect

from scripted_server import running

LOST = [r"Failed to load resource: net::ERR_"]


@pytest.fixture
def port() -> Iterator[int]:
    # Held for as long as the test: nobody else gets it while the server is away, not even as the near end of a connection.
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])


def test_lost_server_is_reported_and_reconnected(context: BrowserContext, port: int) -> None:
    with running(page_engine(), port=port) as server:
        chat = Chat(context.new_page(), server.url).open()
        chat.send("[plain] one")
    chat.expected += LOST
    answer = chat.send("[plain] two", wait=False)
    expect(answer.get_by_role("alert")).to_have_text("The server cannot be reached.")
    drawn = "drawings => drawings.map((drawing) => drawing.getBBox().width)"
    widths = answer.locator("svg.icon:visible").evaluate_all(drawn)
    assert widths
    assert all(widths), "its icons are drawn without a server"
    banner = chat.page.locator("#banner")
    expect(banner).to_have_text("The server cannot be reached. Trying again…")
    with running(page_engine(), port=port):
        expect(banner).to_be_hidden()
        answer.get_by_role("button", name="Regenerate").click()
        again = chat.page.locator(".assistant").last
        chat.done(again)
        expect(again.locator(".prose")).to_have_text("The answer to that is 17.")
        chat.check()


def test_message_sent_before_the_server_is_up_is_sent_later(context: BrowserContext, url: str) -> None:
    chat = Chat(context.new_page(), url)
    held: list[Route] = []
    chat.page.route("**/v1/tina/info", lambda route: held.append(route))
    with chat.page.expect_request("**/v1/tina/info"):
        chat.page.goto(url)
    answer = chat.send("[plain] hello", wait=False)
    expect(chat.status()).to_have_text("It is sent as soon as the server answers.")
    expect(answer).to_be_hidden()
    for route in held:
        route.continue_()
    expect(answer.locator(".prose")).to_have_text("The answer to that is 17.")
    expect(chat.page.get_by_role("textbox", name="Message", exact=True)).to_have_value("")
    chat.check()


def test_waiting_message_does_not_send_another_draft(chat: Chat) -> None:
    rows = chat.page.locator(".conversation .open")
    chat.send("[plain] first")
    chat.page.get_by_role("navigation").get_by_role("button", name="New chat").click()
    chat.send("[plain] second")
    held: list[Route] = []
    chat.page.route("**/v1/tina/info", lambda route: held.append(route))
    with chat.page.expect_request("**/v1/tina/info"):
        chat.page.reload()
    field = chat.page.get_by_role("textbox", name="Message", exact=True)
    rows.last.click()
    field.fill("not yet")
    rows.first.click()
    field.fill("[plain] third")
    chat.page.keyboard.press("Enter")
    expect(chat.status()).to_have_text("It is sent as soon as the server answers.")
    rows.last.click()
    expect(field).to_have_value("not yet")
    for route in held:
        route.continue_()
    expect(chat.page.locator("#model")).not_to_be_empty()
    expect(chat.page.locator(".user")).to_have_count(1)
    expect(field).to_have_value("not yet")
    rows.first.click()
    expect(field).to_have_value("[plain] third")


def test_full_server_is_retried_after_retry_after(context: BrowserContext) -> None:
    engine = page_engine()
    with running(engine, queue=1, choices=1) as server:
        chat = Chat(context.new_page(), server.url).open()
        chat.expected.append("status of 429")
        first = chat.send("[slow]", wait=False)
        expect(first.locator(".prose")).to_contain_text("word-3 ")
        chat.page.get_by_role("navigation").get_by_role("button", name="New chat").click()
        second = chat.send("[plain] me too", wait=False)
        expect(second.locator(".thought-label")).to_have_text(re.compile(r"The server is full, trying again in \d+ s"))
        engine.go_on()
        chat.done(second)
        expect(second.locator(".prose")).to_have_text("The answer to that is 17.")
        chat.check()


def test_waiting_for_a_full_server_can_be_stopped(context: BrowserContext) -> None:
    engine = page_engine()
    with running(engine, queue=1, choices=1) as server:
        chat = Chat(context.new_page(), server.url).open()
        chat.expected.append("status of 429")
        chat.send("[slow]", wait=False)
        chat.page.get_by_role("navigation").get_by_role("button", name="New chat").click()
        second = chat.send("[plain] me too", wait=False)
        expect(second.locator(".thought-label")).to_contain_text("The server is full")
        chat.page.get_by_role("button", name="Stop").click()
        expect(second.get_by_role("note")).to_have_text("Stopped by you.")
        chat.check()
        engine.go_on()


@pytest.mark.parametrize("missing", ["scripts", "data"])
def test_a_page_that_cannot_start_says_so(browser: Browser, url: str, missing: str) -> None:
    context = browser.new_context(java_script_enabled=missing != "scripts")
    context.set_default_timeout(PATIENCE_MS)
    context.add_init_script("Object.defineProperty(window, 'indexedDB', { value: undefined })")
    page = context.new_page()
    page.goto(url)
    banner = page.locator("#banner")
    # From the beginning again, however long the page took to come.
    banner.evaluate(
        "(it) => (delete it.dataset.unstarted, it.getAnimations(), it.dataset.unstarted = '', it.getAnimations()[0].pause())"
    )
    expect(banner).to_be_hidden()
    banner.evaluate("(it) => it.getAnimations()[0].finish()")
    expect(banner).to_be_visible()
    expect(banner).to_contain_text("The page has not started.")
    context.close()


def test_key_dialog_appears_once_per_tab(context: BrowserContext) -> None:
    with running(page_engine(), key="secret") as server:
        chat = Chat(context.new_page(), server.url)
        chat.expected.append("status of 401")
        chat.page.goto(server.url)
        dialog = chat.page.get_by_role("dialog", name="This server asks for a key")
        dialog.get_by_label("Key").fill("wrong")
        dialog.get_by_role("button", name="Use it").click()
        expect(dialog.get_by_role("alert")).to_have_text("That one is not its key.")
        dialog.get_by_label("Key").fill("secret")
        dialog.get_by_role("button", name="Use it").click()
        answer = chat.send("[plain] hello")
        expect(answer.locator(".prose")).to_have_text("The answer to that is 17.")
        chat.reload()
        expect(chat.page.locator(".prose strong")).to_have_text("17")
        expect(dialog).to_be_hidden()
        assert chat.page.evaluate("JSON.stringify(localStorage)").find("secret") < 0
        chat.check()
        other = Chat(context.new_page(), server.url)
        other.page.goto(server.url)
        asked = other.page.get_by_role("dialog", name="This server asks for a key")
        expect(asked.get_by_role("alert")).to_be_hidden()
        asked.get_by_role("button", name="Cancel").click()
        expect(other.page.locator("#banner")).to_have_text("This server asks for a key. Reload the page to give it.")
        expect(asked).to_be_hidden()


def test_failed_model_is_reported(chat: Chat) -> None:
    answer = chat.send("fail now")
    expect(answer.get_by_role("alert")).to_have_text("the script says so")
    expect(answer.get_by_role("button", name="Regenerate")).to_be_visible()
    chat.send("[plain] and on")
    expect(chat.page.locator(".prose strong")).to_have_text("17")


def test_a_refused_request_shows_the_reason(chat: Chat) -> None:
    chat.expected.append("status of 400")
    answer = chat.send("word " * 5_000)
    expect(answer.get_by_role("alert")).to_contain_text("the context holds 4096")
    expect(chat.status()).to_contain_text("Failed: ")
    expect(chat.page.locator("#toast")).to_be_hidden()  # to be read once is enough


def test_failure_in_a_background_conversation_is_reported(chat: Chat) -> None:
    chat.expected.append("status of 400")
    held: list[Route] = []
    chat.page.route("**/v1/chat/completions", lambda route: held.append(route))
    chat.send("the first", wait=False)
    expect(chat.page.get_by_role("button", name="Stop")).to_be_visible()
    chat.page.get_by_role("navigation").get_by_role("button", name="New chat").click()
    while not held:
        chat.page.wait_for_timeout(20)
    held[0].fulfill(status=400, json={"error": {"message": "no, and this is why", "type": "invalid_request_error"}})
    expect(chat.page.locator("#toast")).to_have_text("the first: no, and this is why")
