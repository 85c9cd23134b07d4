"""Tests of the model's signals (bar, chips, details, banners) and of sandbox verdicts."""

import re
from itertools import pairwise

import pytest
from page_chat import ABSTAIN_BELOW, Chat, PageEngine, page_engine
from playwright.sync_api import Browser, expect

from scripted_server import running


def test_bar_shows_forecast_budget_and_think_limit(chat: Chat) -> None:
    answer = chat.send("think long", wait=False)
    bar = answer.get_by_role("meter", name="Think tokens")
    expect(bar).to_have_attribute("aria-valuetext", re.compile(r"think tokens? of a budget of 32, think limit 48"))
    expect(bar.locator("[data-kind=quantile]")).to_have_count(3)
    expect(bar).to_contain_text("budget 32")
    chat.done(answer)
    expect(bar).to_have_attribute("aria-valuenow", "48")
    used, over = (bar.locator(f".budget-{part}").bounding_box() for part in ("used", "over"))
    assert used is not None and over is not None
    assert over["width"] / used["width"] == pytest.approx(0.5, abs=0.05), "half the budget again, up to the think limit"
    expect(answer.locator(".thought-reason")).to_have_text("closed at the think limit")


def test_confidence_before_and_after_with_its_calibration(chat: Chat, engine: PageEngine) -> None:
    chat.fixed_budget(2_000)
    answer = chat.send("[ponder]", wait=False)
    chip = answer.locator(".confidence")
    expect(chip).to_have_text("62 % sure before reasoning")
    engine.go_on()
    chat.done(answer)
    expect(chip).to_have_text("62 % sure before reasoning, 83 % after")
    expect(chip).to_have_attribute("title", re.compile("Calibrated on 576 answers that it was not trained on, 2026-11-20"))
    expect(answer.locator(".chip").first).to_have_text("Plan: outline, 50 %")


def test_details_show_all_signals(chat: Chat) -> None:
    answer = chat.send("[plain] hello")
    details = answer.get_by_role("button", name="Details")
    details.click()
    panel = answer.locator(".signals")
    for words in (
        "Half of right answers need at most20",
        "95 % of them80",
        "The budget is the model's own forecast for this prompt.",
        "about 83 in 100 are right",
        "4.1 points (ECE)",
        "decompose15 %",
        "The model ended its reasoning by itself, within the budget.",
        "First token after",
        "Seed ",
    ):
        expect(panel).to_contain_text(words)
    details.click()
    expect(panel).to_be_hidden()


def test_an_answer_below_the_set_confidence_has_a_banner(chat: Chat) -> None:
    answer = chat.send("[unsure] really?")
    expect(answer.get_by_role("note")).to_contain_text("Too unsure to rely on. The model rates this answer at 31 %, below the 40 %")
    assert pytest.approx(0.4) == ABSTAIN_BELOW
    chat.send("[plain] sure")
    expect(chat.page.locator("[data-kind=abstain]")).to_have_count(1)


def test_too_small_budget_shows_a_warning(chat: Chat) -> None:
    chat.fixed_budget(3)
    answer = chat.send("hello")
    expect(answer.get_by_role("note")).to_have_text("3 think tokens are far below what this prompt needs")
    answer.get_by_role("button", name="Details").click()
    expect(answer.locator(".signals")).to_contain_text("The budget is the one you set.")


def test_labels_of_the_bar_never_overlap(chat: Chat) -> None:
    for width in (390, 1280):
        chat.page.set_viewport_size({"width": width, "height": 800})
        chat.send("[plain] hello")
        for budget in (20, 79):
            chat.fixed_budget(budget)
            chat.send("[plain] hello")
    bars = chat.page.locator(".budget-marks").all()
    assert len(bars) == 6
    for bar in bars:
        boxes = [label.bounding_box() for label in bar.locator("span > span:visible").all()]
        spans = sorted((box["x"], box["x"] + box["width"]) for box in boxes if box is not None)
        assert len(spans) >= 3
        assert all(end <= start for (_, end), (start, _) in pairwise(spans))


def test_without_heads_there_is_a_bar_without_forecast(browser: Browser) -> None:
    with running(page_engine(heads=False)) as server, browser.new_context() as context:
        chat = Chat(context.new_page(), server.url).open()
        expect(chat.page.locator("#lead")).to_contain_text("no heads for introspection")
        answer = chat.send("[plain] hello")
        expect(answer.get_by_role("meter")).to_be_visible()
        expect(answer.locator(".budget-mark")).to_have_count(2)
        expect(answer.locator(".chip:visible")).to_have_count(0)
        answer.get_by_role("button", name="Details").click()
        expect(answer.locator(".signals h2")).to_have_text(["Budget", "Why it stopped", "Time"])
        assert answer.get_by_role("button", name="sandbox").count() == 0
        chat.check()


def test_a_program_runs_in_the_sandbox(chat: Chat) -> None:
    answer = chat.send("[code] squares")
    answer.get_by_role("button", name="Run in the sandbox").click()
    run = answer.locator(".run")
    expect(run).to_contain_text("Ran to its end")
    answer.get_by_label("Call", exact=True).fill("f(4)")
    answer.get_by_role("button", name="Run again").click()
    expect(run).to_contain_text("f(4) → [0, 1, 4, 9]")
    expect(run.get_by_role("region", name="Printed output")).to_have_text("called with 4\n")
    expect(run.locator(".note")).to_have_text(re.compile(r"Fuel [\d,]{6,}, [\d.]+ ms, \d+ MB"))
    answer.get_by_label("Call", exact=True).fill("f('x')")
    answer.get_by_label("Call", exact=True).press("Enter")
    expect(run).to_contain_text("Raised an exception")
    expect(run.get_by_role("region", name="Error")).to_contain_text("TypeError")


def test_sandbox_verdict_is_stored_with_the_answer(chat: Chat) -> None:
    chat.page.get_by_role("button", name="Find an input").click()
    chat.done(chat.page.locator(".assistant"))
    chat.page.get_by_role("button", name="Check in the sandbox").click()
    expect(chat.page.locator(".run .verdict")).to_have_text("Wrongf(9) → 3")
    answer = chat.send("[code] squares")
    answer.get_by_role("button", name="Run in the sandbox").click()
    answer.get_by_label("Call", exact=True).fill("f(4)")
    answer.get_by_role("button", name="Run again").click()
    expect(answer.locator(".run")).to_contain_text("f(4) → [0, 1, 4, 9]")
    chat.reload()
    expect(chat.page.locator(".run .verdict")).to_have_text(["Wrongf(9) → 3", "Ran to its endf(4) → [0, 1, 4, 9]"])
    expect(chat.page.locator(".run").first).to_contain_text("The prompt says 14")
    expect(answer.get_by_label("Call", exact=True)).to_have_value("f(4)")
    answer.get_by_role("button", name="Run in the sandbox").click()
    expect(answer.locator(".run")).to_be_hidden()


def test_the_examples_are_answered_and_checked(chat: Chat) -> None:
    for name, button, verdicts in (
        ("Predict the output", "Check in the sandbox", ["Rightf(4) → 17"]),
        ("Find an input", "Check in the sandbox", ["Wrongf(9) → 3"]),
        ("Write the function", "Run in the sandbox", ["Rightf(4, 2) → 14", "Rightf(13, 6) → 45", "Rightf(2, 11) → 17"]),
    ):
        chat.page.get_by_role("button", name=name).click()
        answer = chat.page.locator(".assistant")
        chat.done(answer)
        answer.get_by_role("button", name=button).click()
        expect(answer.locator(".run .verdict")).to_have_text(verdicts)
        chat.page.get_by_role("navigation").get_by_role("button", name="New chat").click()
