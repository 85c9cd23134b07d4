"""Tests of accessibility: names, keyboard, contrast, themes, widths, motion."""

import re
from pathlib import Path
from typing import Any

import pytest
from page_chat import Chat
from playwright.sync_api import expect

STATIC = Path(__file__).parents[3] / "python" / "tina_azr" / "serve" / "static"
CONTROLS = {
    "button",
    "textbox",
    "searchbox",
    "combobox",
    "spinbutton",
    "checkbox",
    "link",
    "meter",
    "region",
    "dialog",
    "alertdialog",
}


def nameless(chat: Chat) -> list[str]:
    """Controls without a name, by the browser's own accessibility tree."""
    session = chat.page.context.new_cdp_session(chat.page)
    nodes: list[dict[str, Any]] = session.send("Accessibility.getFullAXTree")["nodes"]
    controls = [node for node in nodes if not node["ignored"] and node["role"]["value"] in CONTROLS]
    assert controls != []
    return [node["role"]["value"] for node in controls if not node.get("name", {}).get("value", "").strip()]


def test_every_control_has_a_name(chat: Chat) -> None:
    assert nameless(chat) == []
    answer = chat.send("[code] squares")
    answer.get_by_role("button", name="Run in the sandbox").click()
    answer.get_by_role("button", name="Details").click()
    expect(answer.locator(".run")).to_be_visible()
    answer.get_by_role("button", name="Regenerate").click()
    chat.done(chat.page.locator(".assistant").last)
    chat.page.locator(".user").get_by_role("button", name="Edit message").click()
    assert nameless(chat) == []
    for opener in ("Settings", "Help and keyboard"):
        chat.page.get_by_role("button", name=opener).click()
        assert nameless(chat) == []
        chat.page.keyboard.press("Escape")


def test_live_regions_announce_phases_and_the_answer_but_not_tokens(chat: Chat) -> None:
    chat.page.evaluate(
        """() => {
            window.heard = [];
            new MutationObserver(() => heard.push(document.querySelector("#status").textContent))
                .observe(document.querySelector("#status"), {childList: true});
        }"""
    )
    chat.send("answer long")
    heard: list[str] = chat.page.evaluate("heard")
    assert heard[:2] == ["thinking…", "answering…"]
    assert heard[-1].startswith("Answer complete: word-0 word-1")
    assert len(heard) == 3


def test_everything_works_by_keyboard(chat: Chat) -> None:
    page = chat.page
    prompt = page.get_by_role("textbox", name="Message", exact=True)
    expect(prompt).to_be_focused()
    page.keyboard.type("one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    expect(prompt).to_have_value("one\ntwo")
    page.keyboard.press("Enter")
    answer = page.locator(".assistant")
    chat.done(answer)
    page.keyboard.press("ArrowUp")
    expect(page.get_by_role("textbox", name="Edit message")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("textbox", name="Edit message")).to_have_count(0)
    page.keyboard.press("Control+k")
    expect(page.get_by_label("Search conversations")).to_be_focused()
    page.keyboard.press("Control+Shift+o")
    expect(page.locator("#empty")).to_be_visible()
    expect(prompt).to_be_focused()
    page.locator("#transcript").focus()
    page.keyboard.press("/")
    expect(prompt).to_be_focused()
    expect(prompt).to_have_value("")
    page.locator("#transcript").focus()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Help and keyboard")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Help and keyboard")).to_be_hidden()


def test_escape_stops_and_control_dot_asks_for_the_answer(chat: Chat) -> None:
    chat.fixed_budget(2_000)
    answer = chat.send("[ponder]", wait=False)
    expect(answer.get_by_role("region", name="Reasoning")).to_contain_text("step-3 ")
    chat.page.keyboard.press("Control+.")
    chat.done(answer)
    expect(answer.locator(".thought-reason")).to_have_text("cut short by you")
    answer = chat.send("[slow]", wait=False)
    expect(answer.locator(".prose")).to_contain_text("word-3 ")
    chat.page.keyboard.press("Escape")
    expect(answer.get_by_role("note")).to_have_text("Stopped by you.")


def test_the_first_tab_stop_skips_to_the_prompt(chat: Chat) -> None:
    chat.send("[plain] a")
    chat.page.get_by_role("navigation").get_by_role("button", name="New chat").focus()
    chat.page.keyboard.press("Shift+Tab")
    expect(chat.page.get_by_role("link", name="Skip to the prompt")).to_be_focused()
    chat.page.keyboard.press("Enter")
    chat.page.keyboard.type("x")
    expect(chat.page.get_by_role("textbox", name="Message", exact=True)).to_have_value("x")
    expect(chat.page.locator(".bubble")).to_have_text("[plain] a")


def test_the_theme_follows_the_system_until_one_is_chosen(chat: Chat) -> None:
    light, dark = "rgb(251, 250, 247)", "rgb(21, 24, 26)"
    body = chat.page.locator("body")
    switch = chat.page.get_by_role("button", name="Switch light and dark")
    expect(body).to_have_css("background-color", light)
    chat.page.emulate_media(color_scheme="dark")
    expect(body).to_have_css("background-color", dark)
    switch.click()
    expect(body).to_have_css("background-color", light)
    chat.reload()
    expect(body).to_have_css("background-color", light)
    switch.click()
    expect(body).to_have_css("background-color", dark)
    chat.page.emulate_media(color_scheme="light")
    expect(body).to_have_css("background-color", light)


@pytest.mark.parametrize("width", [320, 390, 820, 1280])
def test_nothing_scrolls_sideways(chat: Chat, width: int) -> None:
    chat.page.set_viewport_size({"width": width, "height": 800})
    wide = "[document.documentElement, transcript, document.querySelector('.dock')].some((e) => e.scrollWidth > e.clientWidth)"
    assert chat.page.evaluate(wide) is False
    answer = chat.send("[code] " + "averylongword" * 20 + "\n```python\n" + "x" * 300 + "\n```\n")
    answer.get_by_role("button", name="Details").click()
    answer.get_by_role("button", name="Run in the sandbox").click()
    expect(answer.locator(".run")).to_be_visible()
    assert chat.page.evaluate(wide) is False
    chat.fixed_budget(2_000)
    chat.send("[ponder]", wait=False)
    expect(chat.page.get_by_role("button", name="Answer now")).to_be_in_viewport(ratio=1)
    expect(chat.page.get_by_role("button", name="Stop")).to_be_in_viewport(ratio=1)
    chat.page.keyboard.press("Escape")
    expect(chat.page.get_by_label("Budget in tokens")).to_be_in_viewport(ratio=1)
    expect(chat.page.get_by_role("button", name="Send", exact=True)).to_be_in_viewport(ratio=1)
    assert chat.page.evaluate(wide) is False


def test_on_a_phone_the_list_is_a_drawer(chat: Chat) -> None:
    page = chat.page
    page.set_viewport_size({"width": 390, "height": 800})
    drawer = page.get_by_role("navigation", name="Conversations")
    expect(drawer).to_be_hidden()
    chat.send("[plain] a")
    page.get_by_role("button", name="Conversations", exact=True).click()
    expect(drawer).to_be_visible()
    expect(page.get_by_label("Search conversations")).to_be_focused()
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    page.get_by_role("button", name="New chat").click()
    expect(page.locator("#empty")).to_be_visible()
    page.get_by_role("button", name="Conversations", exact=True).click()
    page.locator(".conversation .open").click()
    expect(page.locator(".bubble")).to_have_text("[plain] a")
    expect(drawer).to_be_hidden()


def test_reduced_motion_is_respected(chat: Chat) -> None:
    chat.page.emulate_media(reduced_motion="reduce")
    chat.fixed_budget(2_000)
    answer = chat.send("[ponder]", wait=False)
    expect(answer.locator(".card")).to_have_attribute("data-phase", "thinking")
    label = answer.locator(".thought-label")
    expect(label).to_have_css("animation-name", "none")
    assert chat.page.evaluate("document.getAnimations().length") == 0
    chat.page.emulate_media(reduced_motion="no-preference")
    expect(label).to_have_css("animation-name", "breathe")
    assert chat.page.evaluate("document.getAnimations().length") > 0
    chat.page.keyboard.press("Escape")


def themes() -> dict[str, dict[str, str]]:
    """Colours of both themes, as the style sheet has them."""
    text = (STATIC / "css" / "tokens.css").read_text(encoding="utf-8")
    light, dark = text.split('[data-theme="dark"]')
    colours = [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", part)) for part in (light, dark)]
    return {"light": colours[0], "dark": colours[1]}


def luminance(colour: str) -> float:
    """WCAG's relative luminance."""
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_has_enough_contrast(theme: str) -> None:
    colours = themes()[theme]
    pairs = [(ink, paper) for ink in ("ink", "ink-soft", "ink-faint") for paper in ("paper", "raised", "sunken")]
    pairs += [(ink, paper) for ink in ("accent", "red", "amber") for paper in ("paper", "raised")]
    pairs += [("accent-ink", "accent"), ("ink", "accent-wash"), ("ink", "amber-wash"), ("ink", "red-wash"), ("red", "red-wash")]
    poor = {}
    for ink, paper in pairs:
        high, low = sorted((luminance(colours[ink]), luminance(colours[paper])), reverse=True)
        if (high + 0.05) / (low + 0.05) < 4.5:
            poor[ink, paper] = (high + 0.05) / (low + 0.05)
    assert poor == {}
