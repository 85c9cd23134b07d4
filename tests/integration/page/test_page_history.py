"""Tests of stored conversations: reload, list, search, rename, delete, export and import."""

import json
from pathlib import Path
from typing import Any

import pytest
from page_chat import Chat, PageEngine
from page_scripts import LAST_WORD
from playwright.sync_api import Browser, Error, Locator, expect


def rows(chat: Chat) -> Locator:
    """Buttons of the list, newest first."""
    return chat.page.locator(".conversation .open")


def export_all(chat: Chat, path: Path) -> dict[str, Any]:
    """Return the content of the file of `Export all`."""
    with chat.page.expect_download() as download:
        chat.page.get_by_role("button", name="Export all").click()
    download.value.save_as(path)
    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return value


def import_file(chat: Chat, path: Path) -> None:
    """Give a file to Import."""
    with chat.page.expect_file_chooser() as chooser:
        chat.page.get_by_role("button", name="Import", exact=True).click()
    chooser.value.set_files(path)


def test_reload_restores_the_conversation_and_its_branches(chat: Chat) -> None:
    answer = chat.send("[plain] remember this")
    answer.get_by_role("button", name="Regenerate").click()
    chat.done(chat.page.locator(".assistant").last)
    chat.reload()
    expect(chat.page.locator(".user .bubble")).to_have_text("[plain] remember this")
    expect(chat.page.locator(".prose strong")).to_have_text("17")
    expect(chat.page.get_by_label("Version 2 of 2")).to_be_visible()
    expect(chat.page.locator(".confidence")).to_have_text("62 % sure before reasoning, 83 % after")
    expect(rows(chat)).to_have_text(["[plain] remember this"])


def test_answer_cut_by_closing_the_page_is_kept_and_marked(chat: Chat) -> None:
    answer = chat.send("[slow]", wait=False)
    # Kept every two seconds, and once more when the page goes.
    expect(answer.locator(".prose")).to_contain_text("word-20 ")
    chat.reload()
    expect(chat.page.get_by_role("note")).to_have_text("The page was closed before this was complete.")
    expect(chat.page.locator(".prose")).to_contain_text("word-20 ")
    expect(chat.page.get_by_role("button", name="Regenerate")).to_be_visible()


def test_conversations_are_listed_newest_first_and_opened(chat: Chat) -> None:
    chat.send("[plain] first")
    chat.page.get_by_role("navigation").get_by_role("button", name="New chat").click()
    chat.send("[plain] second")
    expect(rows(chat)).to_have_text(["[plain] second", "[plain] first"])
    rows(chat).last.click()
    expect(chat.page.locator(".user .bubble")).to_have_text("[plain] first")
    chat.page.go_back()
    expect(chat.page.locator(".user .bubble")).to_have_text("[plain] second")


def test_search_includes_answers(chat: Chat) -> None:
    chat.send("[code] a")
    chat.page.get_by_role("navigation").get_by_role("button", name="New chat").click()
    chat.send("[plain] b")
    chat.page.get_by_label("Search conversations").fill("COMPREHENSION")
    expect(rows(chat)).to_have_text(["[code] a"])
    chat.page.get_by_label("Search conversations").fill("nowhere")
    expect(chat.page.locator("#conversations")).to_have_text("Nothing found.")


def test_renamed_conversation_keeps_its_name(chat: Chat) -> None:
    chat.send("[plain] a")
    chat.page.locator(".conversation").hover()
    chat.page.get_by_role("button", name="Rename").click()
    field = chat.page.get_by_label("Name of the conversation")
    field.fill("Seventeen")
    field.press("Enter")
    expect(rows(chat)).to_have_text("Seventeen")
    chat.reload()
    expect(chat.page.get_by_role("heading", level=1)).to_have_text("Seventeen")


def test_deleting_asks_first_and_is_final(chat: Chat) -> None:
    chat.send("[plain] a")
    dialog = chat.page.get_by_role("alertdialog")
    for act, left in (("Cancel", 1), ("Delete", 0)):
        chat.page.locator(".conversation").hover()
        chat.page.get_by_role("button", name="Delete [plain] a").click()
        expect(dialog).to_contain_text("Delete “[plain] a”?")
        dialog.get_by_role("button", name=act, exact=True).click()
        expect(rows(chat)).to_have_count(left)
    expect(chat.page.locator("#empty")).to_be_visible()
    chat.reload()
    expect(chat.page.locator("#conversations")).to_contain_text("kept in this browser")


def test_deletion_while_the_page_closes_is_kept(chat: Chat) -> None:
    chat.send("[plain] a")
    chat.page.evaluate(
        """async (url) => {
            const { Store } = await import(`${url}/static/js/store.js`);
            const store = await Store.open();
            const [{ id }] = await store.all();
            addEventListener("pagehide", () => store.remove(id));
        }""",
        chat.url,
    )
    chat.page.goto("about:blank")
    chat.open()
    expect(chat.page.locator("#conversations")).to_contain_text("kept in this browser")


def test_export_can_be_imported_in_another_browser(chat: Chat, browser: Browser, tmp_path: Path) -> None:
    chat.send("[plain] carried over")
    file = tmp_path / "chats.json"
    value = export_all(chat, file)
    assert [turn["role"] for turn in value["conversations"][0]["turns"]] == ["user", "assistant"]
    with browser.new_context() as context:
        other = Chat(context.new_page(), chat.url).open()
        expect(rows(other)).to_have_count(0)
        import_file(other, file)
        expect(rows(other)).to_have_text("[plain] carried over")
        rows(other).click()
        expect(other.page.locator(".prose strong")).to_have_text("17")
        import_file(other, file)
        expect(other.status()).to_have_text("Everything in that file is here already.")
        expect(rows(other)).to_have_count(1)
        other.check()


def test_invalid_import_is_refused_with_its_reason(chat: Chat, tmp_path: Path) -> None:
    turn = {"id": "a", "parent": "b", "role": "user", "content": "x", "created": 1}
    one = {"id": "c", "title": "t", "created": 1, "updated": 1, "turns": [turn], "chosen": {}}
    good = {"format": "tina-azr conversations", "version": 1, "conversations": [one]}
    file = tmp_path / "some.json"
    for text, reason in (
        ("{", "some.json is not JSON."),
        ("[]", "some.json was not exported by this page."),
        (json.dumps({**good, "version": 2}), "some.json has version 2; this page reads version 1."),
        (json.dumps(good), "some.json, conversation 1, turn 1: its parent is not before it."),
        (json.dumps({**good, "conversations": [{**one, "title": 3}]}), "some.json, conversation 1: no id or no title."),
    ):
        file.write_text(text, encoding="utf-8")
        import_file(chat, file)
        expect(chat.status()).to_have_text(f"Not imported. {reason}")
    expect(rows(chat)).to_have_count(0)


def test_markup_in_an_imported_file_stays_text(chat: Chat, tmp_path: Path) -> None:
    bad = "<img src=x onerror='window.pwned = 1'>"
    user = {"id": "u", "parent": None, "role": "user", "content": bad, "created": 1}
    tina = {
        "plan": {"choice": bad, "probabilities": {bad: 1}},
        "think_stop": bad,
        "budget": {"budget": 3, "wall": 4, "warning": bad},
    }
    answer = {
        "id": "a",
        "parent": "u",
        "role": "assistant",
        "content": bad,
        "created": 2,
        "phase": "done",
        "thought": bad,
        "tina": tina,
    }
    one = {"id": "c", "title": bad, "created": 1, "updated": 1, "turns": [user, answer], "chosen": {"__proto__": "u"}}
    file = tmp_path / "bad.json"
    file.write_text(json.dumps({"format": "tina-azr conversations", "version": 1, "conversations": [one]}), encoding="utf-8")
    import_file(chat, file)
    rows(chat).click()
    expect(chat.page.locator(".bubble")).to_have_text(bad)
    expect(chat.page.locator(".prose")).to_have_text(bad)
    expect(chat.page.locator(".notice")).to_have_text(bad)
    assert chat.page.evaluate("[window.pwned, document.querySelectorAll('main img').length]") == [None, 0]


def test_two_tabs_show_the_same_history(chat: Chat) -> None:
    other = Chat(chat.page.context.new_page(), chat.url).open()
    chat.send("[plain] said in the first tab")
    expect(rows(other)).to_have_text("[plain] said in the first tab")
    other.check()


def test_answer_in_another_tab_is_shown_as_in_progress(chat: Chat, engine: PageEngine) -> None:
    other = Chat(chat.page.context.new_page(), chat.url).open()
    answer = chat.send("[slow]", wait=False)
    rows(other).click()
    shown = other.page.locator(".assistant")
    # What it shows is what the first tab has kept: every two seconds, and at the end.
    expect(shown.locator(".prose")).to_contain_text("word-1 ")
    expect(other.page.get_by_role("note")).to_have_count(0)
    engine.go_on()
    chat.done(answer)
    expect(shown.locator(".prose")).to_contain_text(LAST_WORD)
    chat.send("[slow]", wait=False)
    expect(shown).to_have_count(2)
    chat.page.goto("about:blank")
    expect(other.page.get_by_role("note")).to_have_text("The page was closed before this was complete.")
    other.check()


def test_list_row_is_stable_while_another_tab_writes(chat: Chat, engine: PageEngine) -> None:
    other = Chat(chat.page.context.new_page(), chat.url).open()
    chat.send("[slow]", wait=False)
    rows(other).click()
    expect(other.page.locator(".assistant")).to_be_visible()
    rows(other).evaluate("(row) => (row.marked = true)")
    engine.go_on()
    expect(other.page.locator(".prose")).to_contain_text(LAST_WORD)
    assert rows(other).evaluate("(row) => row.marked === true")
    other.check()


def test_answer_of_a_crashed_tab_is_marked_in_another_tab(chat: Chat) -> None:
    other = Chat(chat.page.context.new_page(), chat.url).open()
    chat.send("[slow]", wait=False)
    rows(other).click()
    shown = other.page.locator(".assistant")
    expect(shown.locator(".prose")).to_contain_text("word-1 ")
    expect(other.page.get_by_role("note")).to_have_count(0)
    with pytest.raises(Error, match="crash"):
        chat.page.goto("chrome://crash")
    expect(other.page.get_by_role("note")).to_have_text("The page was closed before this was complete.")
    expect(shown.locator(".prose")).to_contain_text("word-1 ")
    other.reload()
    expect(other.page.get_by_role("note")).to_have_text("The page was closed before this was complete.")
    other.check()


def test_cut_answer_is_reported_once_without_storage(chat: Chat) -> None:
    chat.send("[slow]", wait=False)
    expect(chat.page.locator(".assistant .prose")).to_contain_text("word-1 ")
    with pytest.raises(Error, match="crash"):
        chat.page.goto("chrome://crash")
    other = Chat(chat.page.context.new_page(), chat.url)
    other.page.add_init_script("window.tries = 0; IDBObjectStore.prototype.put = () => { tries += 1; throw new Error('full'); }")
    other.open()
    rows(other).click()
    expect(other.page.get_by_role("note")).to_have_text("The page was closed before this was complete.")
    expect(other.page.locator("#toast")).to_have_text("This conversation could not be kept: full")
    other.page.wait_for_timeout(200)
    assert other.page.evaluate("tries") == 1
    other.check()
