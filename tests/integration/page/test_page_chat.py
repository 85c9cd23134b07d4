"""Tests of sending, streaming, stopping, answering now, regenerating and editing."""

import re
import time

from page_chat import PATIENCE_MS, Chat, PageEngine
from page_scripts import HELD_AT, LAST_STEP, LAST_WORD
from playwright.sync_api import Page, expect

from scripted_chat import SENTINEL


def test_a_message_is_answered(chat: Chat) -> None:
    answer = chat.send("[plain] What is 4 * 3 + 5?")
    expect(answer.locator(".prose strong")).to_have_text("17")
    expect(chat.page.locator(".user .bubble")).to_have_text("[plain] What is 4 * 3 + 5?")
    expect(chat.page.get_by_role("heading", level=1)).to_have_text("[plain] What is 4 * 3 + 5?")
    expect(answer.locator(".actions")).to_contain_text("tokens/s")
    expect(chat.page.locator("#context")).to_have_attribute("aria-valuetext", re.compile(r"^[1-9]\d* of 4,096 tokens$"))


def test_an_answer_streams_in(chat: Chat, engine: PageEngine) -> None:
    answer = chat.send("[slow]", wait=False)
    prose = answer.locator(".prose")
    expect(prose).to_contain_text("word-20 ")
    assert LAST_WORD not in prose.inner_text()
    expect(answer.locator(".speed")).to_contain_text("tokens/s")
    engine.go_on()
    chat.done(answer)
    expect(prose).to_contain_text(LAST_WORD)


def test_markdown_comes_as_elements_while_it_streams(chat: Chat) -> None:
    answer = chat.send("[code] squares, please")
    expect(answer.locator(".prose strong")).to_have_text("without")
    expect(answer.locator(".prose table td").first).to_have_text("3")
    expect(answer.locator(".prose ol li")).to_have_count(2)


def test_code_is_copied_unchanged(chat: Chat) -> None:
    answer = chat.send("[code] squares, please")
    # Only the whole answer's programs can be run; before that, this button may be one for half of the code.
    expect(answer.get_by_role("button", name="Run in the sandbox")).to_be_visible()
    chat.copy(answer.get_by_role("button", name="Copy code"))
    copied = chat.page.evaluate("navigator.clipboard.readText()")
    assert copied == "def f(n):\n    print('called with', n)\n    return [i * i for i in range(n)]"


def test_reasoning_is_open_while_generated_and_folds_at_the_answer(chat: Chat, engine: PageEngine) -> None:
    chat.fixed_budget(2_000)
    answer = chat.send("[ponder]", wait=False)
    reasoning = answer.get_by_role("region", name="Reasoning")
    expect(reasoning).to_contain_text("step-20 ")
    expect(answer.locator(".thought-label")).to_have_text(re.compile(r"^Thinking for [\d.]+ s, \d+ tokens$"))
    engine.go_on()
    chat.done(answer)
    expect(reasoning).to_be_hidden()
    toggle = answer.get_by_role("button", name="Thought for")
    expect(toggle).to_have_text(re.compile(r"Thought for [\d.]+ s, 1,001 tokens closed by itself"))
    toggle.click()
    expect(reasoning).to_contain_text(LAST_STEP)
    toggle.click()
    expect(reasoning).to_be_hidden()


def test_reasoning_opened_by_the_user_stays_open(chat: Chat, engine: PageEngine) -> None:
    chat.fixed_budget(600)
    answer = chat.send("[ponder]", wait=False)
    toggle = answer.locator(".thought-toggle")
    expect(answer.get_by_role("region", name="Reasoning")).to_be_visible()
    toggle.click()
    toggle.click()
    engine.go_on()
    chat.done(answer)
    expect(answer.get_by_role("region", name="Reasoning")).to_be_visible()


def test_reasoning_that_is_not_requested_is_not_shown(chat: Chat) -> None:
    chat.page.get_by_role("button", name="Reasoning", exact=True).click()
    answer = chat.send("[plain] hidden")
    expect(answer.locator(".thought-toggle")).to_be_disabled()
    assert SENTINEL not in chat.page.content()


def test_stop_keeps_the_text_and_frees_the_slot(chat: Chat, engine: PageEngine) -> None:
    answer = chat.send("[slow]", wait=False)
    expect(answer.locator(".prose")).to_contain_text("word-5 ")
    chat.page.get_by_role("button", name="Stop").click()
    chat.done(answer)
    expect(answer.get_by_role("note")).to_have_text("Stopped by you.")
    kept = answer.locator(".prose").inner_text()
    assert "word-5" in kept and LAST_WORD not in kept
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while engine.busy and time.monotonic() < deadline:
        time.sleep(0.02)
    assert engine.busy == 0


def test_answer_now_closes_the_reasoning(chat: Chat) -> None:
    chat.fixed_budget(2_000)
    answer = chat.send("[ponder]", wait=False)
    expect(answer.get_by_role("region", name="Reasoning")).to_contain_text("step-5 ")
    chat.page.get_by_role("button", name="Answer now").click()
    chat.done(answer)
    expect(answer.locator(".thought-reason")).to_have_text("cut short by you")
    expect(answer.locator(".prose")).to_contain_text("It took a while.")
    tokens = re.search(r"(\d+) tokens", answer.locator(".thought-label").inner_text())
    assert tokens is not None and int(tokens[1]) <= HELD_AT


def test_regenerating_adds_a_version(chat: Chat) -> None:
    answer = chat.send("[seed] hello")
    first = answer.locator(".prose").inner_text()
    answer.get_by_role("button", name="Regenerate").click()
    again = chat.page.locator(".assistant").last
    expect(again.get_by_label("Version 2 of 2")).to_be_visible()
    chat.done(again)
    second = again.locator(".prose").inner_text()
    assert first != second, "each request has its own seed"
    again.get_by_role("button", name="Previous version").click()
    expect(chat.page.locator(".assistant .prose")).to_have_text(first)
    chat.page.get_by_role("button", name="Next version").click()
    expect(chat.page.locator(".assistant .prose")).to_have_text(second)


def test_editing_makes_a_branch_and_keeps_the_old_one(chat: Chat) -> None:
    chat.send("the first question")
    chat.send("a second one")
    chat.page.get_by_role("button", name="Edit message").first.click()
    chat.page.get_by_role("textbox", name="Edit message").fill("[plain] asked otherwise")
    chat.page.get_by_role("button", name="Send as a new version").click()
    expect(chat.page.locator(".turn")).to_have_count(2)
    expect(chat.page.locator(".assistant .prose")).to_have_text("The answer to that is 17.")
    chat.page.locator(".user").get_by_role("button", name="Previous version").click()
    expect(chat.page.locator(".user .bubble")).to_have_text(["the first question", "a second one"])


def test_only_the_shown_branch_is_sent_without_reasoning(chat: Chat, engine: PageEngine) -> None:
    chat.send("[plain] one")
    chat.page.get_by_role("button", name="Regenerate").click()
    chat.done(chat.page.locator(".assistant").last)
    chat.send("two")
    request = [detail for kind, detail in engine.log if kind == "submit"][-1]
    said = [(message.role, message.content) for message in request.messages]  # type: ignore[attr-defined]
    assert said == [("user", "[plain] one"), ("assistant", "The answer to that is **17**."), ("user", "two")]


def test_settings_reach_the_request(chat: Chat, engine: PageEngine) -> None:
    page = chat.page
    page.get_by_role("button", name="Settings").click()
    for label, value in (("Temperature", "0.25"), ("Top-p", "0.5"), ("Top-k", "7"), ("Max tokens", "99"), ("Seed", "1234")):
        page.get_by_label(label, exact=True).fill(value)
    page.get_by_label("System prompt").fill("Be brief.")
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Close settings").click()
    page.get_by_label("Think budget").select_option("high")
    chat.send("hello")
    request = [detail for kind, detail in engine.log if kind == "submit"][-1]
    got = tuple(getattr(request, name) for name in ("temperature", "top_p", "top_k", "max_tokens", "seed", "budget_quantile"))
    assert got == (0.25, 0.5, 7, 99, 1234, 0.95)
    assert request.messages[0].content == "Be brief."  # type: ignore[attr-defined]


def test_fixed_budget_is_sent(chat: Chat, engine: PageEngine) -> None:
    page = chat.page
    tokens = page.get_by_label("Budget in tokens")
    expect(tokens).to_be_hidden()
    page.get_by_label("Think budget").select_option("fixed")
    tokens.fill("123")
    page.keyboard.press("Tab")
    tokens.fill("0")  # is none, and is not taken
    page.keyboard.press("Tab")
    chat.send("hello")
    request = [detail for kind, detail in engine.log if kind == "submit"][-1]
    assert request.budget_tokens == 123  # type: ignore[attr-defined]


def test_setting_of_another_model_does_not_block_sending(chat: Chat) -> None:
    chat.page.evaluate("localStorage['tina-azr.settings'] = JSON.stringify({budget_tokens: 1e9})")
    chat.reload()
    chat.page.get_by_role("textbox", name="Message", exact=True).fill("[plain] hello")
    chat.page.get_by_role("button", name="Send", exact=True).click()
    chat.done(chat.page.locator(".assistant"))


def test_answer_continues_while_another_conversation_is_shown(chat: Chat, engine: PageEngine) -> None:
    answer = chat.send("[slow]", wait=False)
    expect(answer.locator(".prose")).to_contain_text("word-3 ")
    chat.page.get_by_role("navigation").get_by_role("button", name="New chat").click()
    expect(chat.page.get_by_role("img", name="Running")).to_be_visible()
    chat.send("[plain] meanwhile")
    chat.page.get_by_role("navigation").get_by_role("button", name="[slow]", exact=True).click()
    expect(answer).to_have_attribute("aria-busy", "true")
    engine.go_on()
    chat.done(answer)
    expect(answer.locator(".prose")).to_contain_text(LAST_WORD)


def scroll(page: Page) -> tuple[int, int]:
    """Return the scroll position of the transcript, and its end."""
    top, end = page.evaluate("(({scrollTop, scrollHeight, clientHeight}) => [scrollTop, scrollHeight - clientHeight])(transcript)")
    return int(top), int(end)


def test_view_follows_new_text_until_the_user_scrolls_up(chat: Chat, engine: PageEngine) -> None:
    chat.page.set_viewport_size({"width": 500, "height": 500})
    answer = chat.send("[slow]", wait=False)
    expect(answer.locator(".prose")).to_contain_text(f"word-{HELD_AT - 1}")
    top, end = scroll(chat.page)
    assert end - top < 100
    chat.page.locator("#transcript").hover()
    chat.page.mouse.wheel(0, -300)
    expect(chat.page.get_by_role("button", name="Latest")).to_be_visible()
    engine.go_on()
    chat.done(answer)
    top, end = scroll(chat.page)
    assert end - top > 100
    chat.page.get_by_role("button", name="Latest").click()
    expect(chat.page.get_by_role("button", name="Latest")).to_be_hidden()


def test_view_follows_a_large_chunk(chat: Chat) -> None:
    chat.page.set_viewport_size({"width": 500, "height": 500})
    chat.send("[code] squares")
    # As a rendered table does, it comes after the view has moved, and before the page hears of that.
    chat.page.evaluate(
        """async () => {
            const frame = () => new Promise(requestAnimationFrame);
            transcript.scrollTop -= 20;
            await frame();
            await frame();
            transcript.scrollTop += 20;
            turns.append(Object.assign(document.createElement("li"), {id: "tall"}));
            tall.style.height = "400px";
            await frame();
            await frame();
        }"""
    )
    top, end = scroll(chat.page)
    assert end - top < 100


def test_view_follows_a_chunk_during_jump_to_latest(chat: Chat) -> None:
    page = chat.page
    page.set_viewport_size({"width": 500, "height": 300})
    chat.send("[hostile] squares")
    page.locator("#transcript").hover()
    page.mouse.wheel(0, -300)
    latest = page.get_by_role("button", name="Latest")
    expect(latest).to_be_visible()
    latest.evaluate(
        """async (button) => {
            const frame = () => new Promise(requestAnimationFrame);
            button.click();
            turns.append(Object.assign(document.createElement("li"), {id: "tall"}));
            tall.style.height = "400px";
            await frame();
            await frame();
        }"""
    )
    top, end = scroll(page)
    assert end - top < 100
