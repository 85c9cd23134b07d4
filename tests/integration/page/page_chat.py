"""The page as a user has it, and the engine behind it."""

import re
from urllib.parse import urlsplit

from page_scripts import page_scripts
from playwright.sync_api import ConsoleMessage, Locator, Page, expect

from scripted_chat import ScriptedChatEngine

SECONDS_PER_STEP = 0.004
ABSTAIN_BELOW = 0.4
LAN_NAME = "box.example"
"""The browser takes it for this machine, as another machine would: over plain HTTP it makes no secure context."""


def page_engine(**changes: object) -> ScriptedChatEngine:
    """The script, at a pace that a test can watch."""
    given = {"seconds_per_step": SECONDS_PER_STEP, "allow_visible": True, "abstain_below": ABSTAIN_BELOW, **changes}
    return ScriptedChatEngine(page_scripts, **given)  # type: ignore[arg-type]


class Chat:
    """The page as a user has it."""

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
        """Load it and wait until it knows its server."""
        self.page.goto(self.url)
        expect(self.page.locator("#model")).not_to_be_empty()
        return self

    def send(self, text: str, *, wait: bool = True) -> Locator:
        """Send a message; its answer, complete unless not waited for."""
        before = self.page.locator(".assistant").count()
        self.page.get_by_role("textbox", name="Message", exact=True).fill(text)
        self.page.keyboard.press("Enter")
        answer = self.page.locator(".assistant").nth(before)
        if wait:
            self.done(answer)
        return answer

    def done(self, answer: Locator) -> None:
        """Wait until it is complete and rendered."""
        expect(answer).to_have_attribute("aria-busy", "false", timeout=15_000)
        expect(self.page.get_by_role("button", name="Send", exact=True)).to_be_visible()

    def fixed_budget(self, tokens: int) -> None:
        """Ask for so many think tokens from now on."""
        page = self.page
        page.get_by_role("button", name="Settings").click()
        page.get_by_label("Budget", exact=True).select_option("fixed")
        page.get_by_role("spinbutton", name="Think tokens").fill(str(tokens))
        page.keyboard.press("Tab")
        page.get_by_role("button", name="Close settings").click()

    def set_temperature(self, temperature: str) -> None:
        """Another sampling temperature from now on."""
        self.page.get_by_role("button", name="Settings").click()
        self.page.get_by_label("Temperature").fill(temperature)
        self.page.keyboard.press("Tab")
        self.page.get_by_role("button", name="Close settings").click()

    def status(self) -> Locator:
        """What screen readers are told."""
        return self.page.locator("#status")

    def check(self) -> None:
        """Nothing happened that the test did not expect."""
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
