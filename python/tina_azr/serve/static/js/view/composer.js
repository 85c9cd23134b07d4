/** Prompt editor: send, stop, answer now, and the two settings that often change between prompts. */

import { byId } from "./dom.js";
import { showNumber, takeNumber } from "./numbers.js";

export class Composer {
  /** @param {import("../app.js").App} app @param {() => void} editLast */
  constructor(app, editLast) {
    this.app = app;
    this.form = byId("composer");
    this.field = byId("prompt");
    this.send = byId("send");
    this.stop = byId("stop");
    this.now = byId("answer-now");
    this.budget = byId("quick-budget");
    this.tokens = byId("quick-tokens");
    this.visible = byId("quick-thoughts");
    this.form.addEventListener("submit", (event) => (event.preventDefault(), this.#submit()));
    /** Sent before the server has said what it is: it goes as soon as it does, unless one writes on or turns to another conversation. */
    this.waiting = false;
    this.field.addEventListener("input", () => ((this.waiting = false), this.update()));
    this.field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) (event.preventDefault(), this.#submit());
      if (event.key === "ArrowUp" && this.field.value === "") (event.preventDefault(), editLast());
    });
    this.stop.addEventListener("click", () => (app.stop(), this.field.focus()));
    this.now.addEventListener("click", () => (app.answerNow(), this.field.focus()));
    this.budget.addEventListener("change", () => app.set({ budget: this.budget.value }));
    this.tokens.addEventListener("change", () => takeNumber(app, this.tokens, "budget_tokens"));
    this.visible.addEventListener("click", () => app.set({ thoughts: !app.settings.thoughts }));
    for (const type of ["conversation", "connection", "settings", "turn", "list"]) app.addEventListener(type, () => this.update());
    app.addEventListener("conversation", () => this.#restore());
    /** @type {Map<string, string>} What was written and not sent, by conversation. */
    this.drafts = new Map();
    this.writingIn = app.current.id;
    this.update();
  }

  focus() {
    this.field.focus();
  }

  update() {
    const { run, info, settings } = this.app;
    const phase = run?.turn.phase;
    // What would only count for the next prompt makes room for what counts now.
    this.form.dataset.running = String(run !== undefined);
    this.send.hidden = run !== undefined;
    this.stop.hidden = run === undefined;
    this.now.hidden = phase !== "thinking";
    this.send.disabled = this.field.value.trim() === "" || info === null;
    this.budget.value = settings.budget;
    this.tokens.hidden = settings.budget !== "fixed";
    showNumber(this.app, this.tokens, "budget_tokens");
    this.visible.hidden = !info?.thoughts_allowed;
    this.visible.setAttribute("aria-pressed", String(settings.thoughts));
    if (!CSS.supports("field-sizing", "content")) {
      this.field.style.height = "auto";
      this.field.style.height = `${this.field.scrollHeight}px`;
    }
    if (this.waiting && info) this.#submit();
  }

  /** The text goes as it is: a model may need its last newline. */
  #submit() {
    const text = this.field.value;
    if (text.trim() === "" || this.app.run) return;
    this.waiting = this.app.info === null;
    if (this.waiting) return this.app.say("It is sent as soon as the server answers.");
    this.field.value = "";
    this.drafts.delete(this.app.current.id);
    this.app.send(text);
  }

  #restore() {
    if (this.app.current.id === this.writingIn) return;
    this.drafts.set(this.writingIn, this.field.value);
    this.writingIn = this.app.current.id;
    this.waiting = false;
    this.field.value = this.drafts.get(this.writingIn) ?? "";
    this.update();
  }
}
