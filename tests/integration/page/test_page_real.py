"""Tests of the page with the embedded model and the real engine."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from page_chat import Chat
from playwright.sync_api import BrowserContext, expect

from scripted_server import running
from tina_azr.config import load_config
from tina_azr.sandbox import Sandbox
from tina_azr.serve.loading import describe, open_for_serving


@pytest.fixture(scope="module")
def real_url(sandbox: Sandbox) -> Iterator[str]:
    config = load_config(None, ["serve.allow_visible_reasoning=true"])
    engine = open_for_serving(config)
    model = describe(engine, config.model.name, datetime.now(UTC))
    with running(engine, model=model, checker=sandbox, allow_visible_reasoning=True) as server:
        yield server.url


@pytest.mark.parametrize(
    ("example", "button"),
    [
        ("Predict the output", "Check in the sandbox"),
        ("Find an input", "Check in the sandbox"),
        ("Write the function", "Run in the sandbox"),
    ],
)
def test_an_example_is_answered_in_its_form_and_judged(context: BrowserContext, real_url: str, example: str, button: str) -> None:
    chat = Chat(context.new_page(), real_url).open()
    chat.set_temperature("0")
    expect(chat.page.locator("#note")).to_contain_text("cannot hold a conversation")
    chat.page.get_by_role("button", name=example).click()
    answer = chat.page.locator(".assistant")
    chat.done(answer)
    expect(answer.locator(".thought-label")).to_have_text(re.compile(r"^Thought for [\d.]+ m?s, \d+ tokens?$"))
    answer.locator(".thought-toggle").click()
    expect(answer.get_by_role("region", name="Reasoning")).not_to_be_empty()
    answer.get_by_role("button", name=button).click()
    expect(answer.locator(".run .verdict").first).to_have_text(re.compile(r"^(Right|Wrong)f\(.+\) → .+$"))
    expect(chat.page.locator("#context")).to_have_attribute("aria-valuetext", re.compile(r"^\d+ of 1,024 tokens$"))
    chat.check()


def test_fixed_budget_is_limited_by_the_model(context: BrowserContext, real_url: str) -> None:
    chat = Chat(context.new_page(), real_url).open()
    chat.set_temperature("0")
    chat.page.get_by_label("Think budget").select_option("fixed")
    chat.page.get_by_role("button", name="Predict the output").click()
    answer = chat.page.locator(".assistant")
    chat.done(answer)
    expect(answer.locator(".notice")).to_have_count(0)
    expect(answer.get_by_role("meter")).to_have_attribute("aria-valuetext", re.compile("of a budget of 204,"))
    chat.page.get_by_role("button", name="Settings").click()
    field = chat.page.get_by_role("spinbutton", name="Think tokens")
    expect(field).to_have_attribute("placeholder", "204")
    field.fill("205")
    chat.page.keyboard.press("Tab")
    assert field.evaluate("(field) => field.validity.rangeOverflow")
    chat.check()
