"""Tests that text of models and users stays text, and that nothing is requested elsewhere."""

import re

import httpx
from page_chat import Chat, PageEngine
from playwright.sync_api import expect


def test_markup_in_an_answer_stays_text(chat: Chat) -> None:
    answer = chat.send("[hostile] try")
    prose = answer.locator(".prose")
    expect(prose).to_contain_text("Before <script>window.pwned = 1</script> after.")
    expect(prose).to_contain_text("A quoted tag: </think> stays text, </think> too.")
    expect(prose.locator("pre")).to_have_text("<script>window.pwned = 4</script>")
    assert chat.page.evaluate("window.pwned === undefined")
    assert prose.locator("script, img, iframe, style, [onerror]").count() == 0


def test_links_open_a_new_tab_without_referrer(chat: Chat) -> None:
    answer = chat.send("[hostile] try")
    link = answer.get_by_role("link", name="a link")
    expect(link).to_have_attribute("target", "_blank")
    expect(link).to_have_attribute("rel", re.compile("noopener"))
    assert answer.locator("a[href^='javascript']").count() == 0


def test_markup_while_it_streams_stays_text(chat: Chat, engine: PageEngine) -> None:
    # The page itself looks, at every change of it.
    chat.page.evaluate(
        """() => {
            window.seen = [];
            new MutationObserver(() => seen.push(turns.querySelectorAll("script, .prose img, [onerror]").length))
                .observe(turns, {childList: true, characterData: true, subtree: true});
        }"""
    )
    answer = chat.send("[hostile, long] try", wait=False)
    expect(answer.locator("pre").first).to_have_text("<script>window.pwned = 4</script>")
    expect(answer).to_have_attribute("aria-busy", "true")
    engine.go_on()
    chat.done(answer)
    assert set(chat.page.evaluate("seen")) == {0}
    assert chat.page.evaluate("window.pwned === undefined")


def test_markup_in_a_message_and_in_reasoning_stays_text(chat: Chat) -> None:
    answer = chat.send("[plain] <script>window.pwned = 5</script> and </think>\n```html\n<b>bold</b>\n```\n")
    bubble = chat.page.locator(".bubble")
    expect(bubble).to_contain_text("<script>window.pwned = 5</script> and </think>")
    expect(bubble.locator("pre")).to_have_text("<b>bold</b>")
    answer.locator(".thought-toggle").click()
    expect(answer.get_by_role("region", name="Reasoning")).to_contain_text("<b>not bold</b>")
    assert chat.page.evaluate("window.pwned === undefined")
    chat.reload()
    expect(bubble).to_contain_text("<script>window.pwned = 5</script> and </think>")
    assert chat.page.evaluate("window.pwned === undefined")


def test_the_page_runs_under_a_strict_policy(chat: Chat, url: str) -> None:
    policy = httpx.get(url, trust_env=False, timeout=60).headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    blocked = chat.page.evaluate(
        """() => new Promise((resolve) => {
            addEventListener("securitypolicyviolation", ({effectiveDirective}) => resolve(effectiveDirective));
            const script = document.createElement("script");
            script.textContent = "window.pwned = 6";
            document.body.append(script);
        })"""
    )
    assert blocked == "script-src-elem"
    assert chat.page.evaluate("window.pwned === undefined")
    chat.expected += ["CSP", "Content Security Policy"]


def test_the_key_is_kept_only_for_the_tab(chat: Chat) -> None:
    assert chat.page.evaluate("Object.keys(localStorage).some((name) => name.includes('key'))") is False
