/** Conversations: list, search, rename, delete, export, import. */

import { fromFile, toJson } from "../transfer.js";
import { matches } from "../tree.js";
import { confirmed } from "./dialogs.js";
import { byId, h, iconButton } from "./dom.js";

const DAY_MS = 86_400_000;
const NARROW = matchMedia("(max-width: 899px)");

export class Sidebar {
  /** @param {import("../app.js").App} app */
  constructor(app) {
    this.app = app;
    this.element = byId("sidebar");
    this.list = byId("conversations");
    this.search = byId("search");
    this.toggle = byId("toggle-sidebar");
    this.drawn = "";
    this.search.addEventListener("input", () => this.draw());
    this.toggle.addEventListener("click", () => this.show(!this.open));
    byId("close-sidebar").addEventListener("click", () => (this.show(false), this.toggle.focus()));
    byId("scrim").addEventListener("click", () => this.show(false));
    byId("new-chat").addEventListener("click", () => app.startNew());
    byId("export-all").addEventListener("click", () => download([...app.conversations.values()], "tina-azr-chats"));
    byId("import").addEventListener("click", () => byId("import-file").click());
    byId("import-file").addEventListener("change", ({ target }) => this.#import(target));
    app.addEventListener("list", () => this.draw());
    app.addEventListener("conversation", () => (this.draw(), NARROW.matches && this.show(false)));
    NARROW.addEventListener("change", () => this.show(!NARROW.matches));
    this.show(!NARROW.matches);
  }

  /** @param {boolean} open */
  show(open) {
    this.open = open;
    document.body.dataset.sidebar = open ? "open" : "closed";
    this.element.inert = !open;
    byId("stage").inert = open && NARROW.matches;
    this.toggle.setAttribute("aria-expanded", String(open));
    if (open && NARROW.matches) this.search.focus();
  }

  focusSearch() {
    this.show(true);
    this.search.focus();
    this.search.select();
  }

  draw() {
    const words = this.search.value;
    const all = [...this.app.conversations.values()].sort((one, other) => other.updated - one.updated);
    const found = words.trim() ? all.filter((each) => matches(each, words)) : all;
    // Rows that would be the same stay what they are: one that is being clicked or renamed, or has the focus, is not taken away.
    const { current, runs } = this.app;
    const states = found.map(({ id, title, updated }) => [id, title, ageOf(updated), id === current.id, runs.has(id)]);
    const drawn = JSON.stringify([all.length > 0, states]);
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    const ages = [...new Set(found.map(({ updated }) => ageOf(updated)))];
    const rows = (age) => found.filter(({ updated }) => ageOf(updated) === age).map((each) => this.#row(each));
    byId("export-all").disabled = all.length === 0;
    this.list.replaceChildren(
      ...ages.map((age) => h("section", {}, h("h2", {}, age), h("ul", {}, ...rows(age)))),
      ...(found.length ? [] : [h("p.note", {}, all.length ? "Nothing found." : "Conversations are kept in this browser, and nowhere else.")]),
    );
  }

  #row(conversation) {
    const { id, title } = conversation;
    const open = h("button.open", { type: "button", "aria-current": id === this.app.current.id && "true", title }, title);
    open.addEventListener("click", () => (this.app.open(id), NARROW.matches && this.show(false)));
    const running = this.app.runs.has(id) && h("span.running", { role: "img", "aria-label": "Running" });
    const row = h(
      "li.conversation",
      {},
      open,
      running,
      h(
        "div.row-actions",
        {},
        iconButton(`Rename ${title}`, "edit", () => this.#rename(row, conversation)),
        iconButton(`Export ${title}`, "export", () => download([this.app.conversations.get(id)], fileName(title))),
        iconButton(`Delete ${title}`, "trash", () => this.#remove(conversation)),
      ),
    );
    return row;
  }

  #rename(row, { id, title }) {
    const field = h("input", { type: "text", "aria-label": "Name of the conversation", value: title, maxlength: 200 });
    let ended = false;
    const end = (keep) => {
      if (ended) return;
      ended = true;
      this.drawn = "";
      if (keep) this.app.rename(id, field.value);
      else this.draw();
    };
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.isComposing) end(true);
      if (event.key === "Escape") (event.stopPropagation(), end(false));
    });
    field.addEventListener("blur", () => end(true));
    row.replaceChildren(field);
    field.select();
  }

  async #remove({ id, title }) {
    if (await confirmed(`Delete “${title}”?`, "It is kept nowhere else.", "Delete")) await this.app.remove(id);
  }

  async #import(input) {
    const [file] = input.files;
    input.value = "";
    if (!file) return;
    try {
      const added = await this.app.add(await fromFile(file));
      this.app.say(added ? `${added} imported.` : "Everything in that file is here already.");
    } catch (error) {
      this.app.say(`Not imported. ${error.message}`);
    }
  }
}

function ageOf(time) {
  const midnight = new Date().setHours(0, 0, 0, 0);
  if (time >= midnight) return "Today";
  if (time >= midnight - DAY_MS) return "Yesterday";
  return time >= midnight - 7 * DAY_MS ? "Last seven days" : "Earlier";
}

const fileName = (title) => title.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 40) || "chat";

function download(conversations, name) {
  const url = URL.createObjectURL(new Blob([toJson(conversations)], { type: "application/json" }));
  h("a", { href: url, download: `${name}.json` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
