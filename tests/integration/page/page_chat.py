"""Page object of the chat page, and its scripted engine."""

import re
from urllib.parse import urlsplit

from page_scripts import HELD, HELD_AT, page_scripts
from playwright.sync_api import ConsoleMessage, Locator, Page, expect

from scripted_chat import Job, Running, ScriptedChatEngine

SECONDS_PER_STEP = 0.004
ABSTAIN_BELOW = 0.4
LAN_NAME = "box.example"
"""The browser takes it for this machine, as another machine would: over plain HTTP it makes no secure context."""
PATIENCE_MS = 60_000.0
"""How long anything may take that comes in the end: on a machine with other work a second says nothing."""

expect.set_options(timeout=PATIENCE_MS)


class PageEngine(ScriptedChatEngine):
    """Scripted engine that is slow enough for a test to see streaming.

    A prompt of `HELD` waits in the middle of its answer until the test calls `go_on`.
    """

    _gone_on = 0

    def go_on(self) -> None:
        """Let all submitted requests run to their end."""
        self._gone_on = self._tickets

    def _advance(self, job: Job, one: Running) -> None:
        if not self._waits(job, one):
            super()._advance(job, one)

    def _waits(self, job: Job, one: Running) -> bool:
        tokens = one.think_tokens if one.think_stop is None else one.answer_tokens
        held = tokens == HELD_AT and job.request.messages[-1].content.startswith(HELD)
        return held and job.ticket > self._gone_on and not job.answer_now and not job.cancelled


def page_engine(**changes: object) -> PageEngine:
    """Create the engine of the page tests."""
    given = {"seconds_per_step": SECONDS_PER_STEP, "allow_visible": True, "abstain_below": ABSTAIN_BELOW, **changes}
    return PageEngine(page_scripts, **given)  # type: ignore[arg-type]


class Chat:
    """Page object of the chat page."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.trouble: list[str] = []
        self.expected: list[str] = []
        """Patterns of trouble that the test is about."""
        self.foreign: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.trouble.append(f"uncaught: {error}"))
        page.on("request", lambda request: self._request(request.url))
        page.add_init_script("addEventListener('securitypolicyviolation', (e) => console.error('CSP: ' + e.violatedDirective))")

    def open(self) -> "Chat":
        """Load the page and wait until it knows its server."""
        self.page.goto(self.url)
        expect(self.page.locator("#model")).not_to_be_empty()
        return self

    def reload(self) -> "Chat":
        """Reload the page and wait as in `open`, because its buttons do not work before."""
        self.page.reload()
        expect(self.page.locator("#model")).not_to_be_empty()
        return self

    def send(self, text: str, *, wait: bool = True) -> Locator:
        """Send a message and return its answer, complete if `wait` is true."""
        before = self.page.locator(".assistant").count()
        self.page.get_by_role("textbox", name="Message", exact=True).fill(text)
        self.page.keyboard.press("Enter")
        answer = self.page.locator(".assistant").nth(before)
        if wait:
            self.done(answer)
        return answer

    def done(self, answer: Locator) -> None:
        """Wait until the answer is complete. It is rendered a little later."""
        expect(answer).to_have_attribute("aria-busy", "false")
        expect(self.page.get_by_role("button", name="Send", exact=True)).to_be_visible()

    def fixed_budget(self, tokens: int) -> None:
        """Set a fixed budget of think tokens."""
        page = self.page
        page.get_by_role("button", name="Settings").click()
        page.get_by_label("Budget", exact=True).select_option("fixed")
        page.get_by_role("spinbutton", name="Think tokens").fill(str(tokens))
        page.keyboard.press("Tab")
        page.get_by_role("button", name="Close settings").click()

    def set_temperature(self, temperature: str) -> None:
        """Set the sampling temperature."""
        self.page.get_by_role("button", name="Settings").click()
        self.page.get_by_label("Temperature").fill(temperature)
        self.page.keyboard.press("Tab")
        self.page.get_by_role("button", name="Close settings").click()

    def copy(self, button: Locator) -> None:
        """Click a copy button and wait for its confirmation. The page itself watches for it, because it is short."""
        button.evaluate(
            """(button) => {
                window.copied = new Promise((done) => {
                    new MutationObserver(() => "done" in button.dataset && done()).observe(button, {attributes: true});
                });
            }"""
        )
        button.click()
        self.page.evaluate("copied")

    def status(self) -> Locator:
        """Return the live region for screen readers."""
        return self.page.locator("#status")

    def check(self) -> None:
        """Check that nothing unexpected happened."""
        unexpected = [words for words in self.trouble if not any(re.search(pattern, words) for pattern in self.expected)]
        assert unexpected == []
        assert self.foreign == []

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.trouble.append(f"{message.type}: {message.text}")

    def _request(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("blob", "data") and f"{parts.scheme}://{parts.netloc}" != self.url.rstrip("/"):
            self.foreign.append(url)
