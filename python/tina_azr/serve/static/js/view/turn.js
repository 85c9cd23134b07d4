/** One turn: the user's message, or the model's answer with everything around it. */

import { claimOf, trialOf } from "../checks.js";
import { percent, plural, rate } from "../format.js";
import { children, turnsBefore } from "../tree.js";
import { ENDED_BY } from "../wording.js";
import { Answer } from "./answer.js";
import { copy, h, icon, iconButton, setText } from "./dom.js";
import { sandboxButton } from "./sandbox.js";
import { ThoughtCard } from "./thought.js";

const FENCED = /^```(\w*)[ \t]*\n([\s\S]*?)^```[ \t]*(?:\n|$)/gm;

/** ‹ 2 / 3 › between the siblings of a turn; empty where it has none. */
function branches(app, turn) {
  const options = children(app.current, turn.parent);
  const at = options.indexOf(turn);
  if (options.length < 2) return null;
  const step = (name, drawing, by) => {
    const button = iconButton(name, drawing, () => app.showSibling(turn, by));
    button.disabled = !options[at + by];
    return button;
  };
  const where = h("span.number", { "aria-label": `Version ${at + 1} of ${options.length}` }, `${at + 1} / ${options.length}`);
  const [back, on] = [step("Previous version", "left", -1), step("Next version", "right", 1)];
  return h("div.branches", { role: "group", "aria-label": "Versions" }, back, where, on);
}

export class UserTurn {
  /** @param {import("../app.js").App} app @param {import("../types.js").Turn} turn */
  constructor(app, turn) {
    this.app = app;
    this.turn = turn;
    this.body = h("div.bubble", {}, ...pieces(turn.content));
    this.actions = h("div.actions");
    this.element = h("li.turn.user", { "aria-label": "You" }, this.body, this.actions);
  }

  update() {
    const copyButton = iconButton("Copy message", "copy", () => copy(this.app, copyButton, this.turn.content));
    this.actions.replaceChildren(
      ...[branches(this.app, this.turn), copyButton, iconButton("Edit message", "edit", () => this.edit())].filter(Boolean),
    );
  }

  /** The message becomes a field; sending it makes a branch. */
  edit() {
    const field = h("textarea", { "aria-label": "Edit message", rows: Math.min(12, this.turn.content.split("\n").length) });
    field.value = this.turn.content;
    const close = () => (this.body.replaceChildren(...pieces(this.turn.content)), (this.actions.hidden = false));
    const cancel = h("button.small", { type: "button", on: { click: close } }, "Cancel");
    const form = h("form.edit", {}, field, h("div.row", {}, cancel, h("button.small.primary", { type: "submit" }, "Send as a new version")));
    const send = () => field.value.trim() && (close(), this.app.edit(this.turn, field.value));
    form.addEventListener("submit", (event) => (event.preventDefault(), send()));
    field.addEventListener("keydown", (event) => {
      if (event.key === "Escape") (event.stopPropagation(), close());
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) (event.preventDefault(), send());
    });
    this.body.replaceChildren(form);
    this.actions.hidden = true;
    field.focus();
  }
}

/** A message as it was written, its fenced blocks in frames. @param {string} text */
function pieces(text) {
  const found = [];
  let from = 0;
  const plain = (words) => words.trim() && found.push(h("p", {}, words.replace(/^\n+|\n+$/g, "")));
  for (const block of text.matchAll(FENCED)) {
    plain(text.slice(from, block.index));
    const [all, tag, body] = block;
    const name = tag || "text";
    const code = h("pre", { tabindex: 0, role: "region", "aria-label": `Code, ${name}` }, body.replace(/\n$/, ""));
    found.push(h("div.code", {}, h("div.code-bar", {}, h("span", {}, name)), code));
    from = block.index + all.length;
  }
  plain(text.slice(from));
  return found;
}

export class AssistantTurn {
  /** @param {import("../app.js").App} app @param {import("../types.js").Turn} turn */
  constructor(app, turn) {
    this.app = app;
    this.turn = turn;
    this.card = new ThoughtCard(app, turn);
    this.answer = new Answer(app, (frame, language, code) => this.#trial(language, code));
    this.notices = h("div.notices");
    this.check = h("div.check");
    this.actions = h("div.actions");
    this.element = h("li.turn.assistant", { "aria-label": "Answer" }, this.card.element, this.notices, this.answer.element, this.check, this.actions);
    this.state = "";
  }

  /** Called for every frame while it streams. */
  update() {
    const { turn, app } = this;
    const run = [...app.runs.values()].find((each) => each.turn === turn);
    const live = run !== undefined;
    this.element.setAttribute("aria-busy", String(live));
    this.card.update(run);
    // Before the server has said what it is, nobody knows whether it has a sandbox for the programs in it.
    this.answer.update(turn.content, !live && app.info !== null);
    const siblings = children(app.current, turn.parent).length;
    const state = JSON.stringify([live, siblings, app.info !== null, turn.phase, turn.tina?.budget?.warning]);
    if (state !== this.state) {
      this.state = state;
      this.notices.replaceChildren(...notices(turn, app.info));
      this.check.replaceChildren(...(live ? [] : this.#claim()));
      this.actions.replaceChildren(...(live ? [] : this.#actions()));
    }
    if (!live) return;
    // While it runs the only figure is its speed.
    const speed = run.progress.tokensPerSecond(turn);
    this.speed ??= h("span.number.speed");
    if (!this.speed.isConnected) this.actions.append(this.speed);
    setText(this.speed, speed === null ? "" : `about ${rate(speed)}`);
  }

  get prompt() {
    return turnsBefore(this.app.current, this.turn).at(-1)?.content ?? "";
  }

  #trial(language, code) {
    const runs = this.app.info?.sandbox && (language === "python" || language === "py");
    return runs ? this.#sandbox(trialOf(this.prompt, code), "Run in the sandbox") : null;
  }

  #claim() {
    const claim = this.app.info?.sandbox ? claimOf(this.prompt, this.turn.content) : null;
    return claim ? [this.#sandbox(claim, "Check in the sandbox")] : [];
  }

  /** @param {import("../checks.js").Check} check @param {string} label */
  #sandbox(check, label) {
    const { app, turn } = this;
    const kept = (turn.verdicts ?? []).filter(({ program }) => program === check.program);
    return sandboxButton(app.api, check, label, kept, (verdicts) => app.keep(turn, check.program, verdicts));
  }

  #actions() {
    const { turn, app } = this;
    const copyButton = iconButton("Copy answer", "copy", () => copy(app, copyButton, turn.content));
    const again = iconButton("Regenerate answer", "again", () => app.regenerate(turn));
    const timing = turn.tina?.timing;
    const tokens = timing ? (timing.think_tokens ?? 0) + (timing.answer_tokens ?? 0) : 0;
    const figures = timing && h("span.number", {}, `${rate(timing.tokens_per_second ?? 0)}, ${plural(tokens, "token")}`);
    return [branches(app, turn), turn.content && copyButton, again, figures].filter(Boolean);
  }
}

/** @param {import("../types.js").Tina} tina @param {import("../types.js").Info | null} info */
function unsure({ cE, c0 }, info) {
  const rated = cE ?? c0;
  const least = info?.abstain_below;
  return rated == null || !least ? "below the confidence that was set" : `at ${percent(rated)}, below the ${percent(least)} that were set`;
}

/** Return the notices that a reader needs before trusting the answer. @param {import("../types.js").Turn} turn */
function notices(turn, info) {
  const { budget, abstain, leak, think_stop: stop } = turn.tina ?? {};
  const note = (kind, ...words) => {
    const drawing = kind !== "info" && icon(kind === "error" ? "error" : "warning");
    return h("p.notice", { "data-kind": kind, role: kind === "error" ? "alert" : "note" }, drawing, h("span", {}, ...words));
  };
  const ended = turn.phase === "done";
  const cut = ended && turn.finish === "length" && stop !== "unfinished";
  return [
    budget?.warning && note("warning", budget.warning),
    abstain && note("abstain", h("strong", {}, "Too unsure to rely on. "), `The model rates this answer ${unsure(turn.tina, info)}. Check it, or ask again.`),
    leak && note("warning", "The answer contains a think tag: parts of it may be reasoning."),
    ended && stop === "unfinished" && note("warning", "The reasoning never ended, so there is no answer. Allow more tokens, or set a budget."),
    cut && note("warning", "The answer was cut off at the token limit. Allow more in the settings."),
    ENDED_BY[turn.tina?.ended_by] && note("warning", ENDED_BY[turn.tina.ended_by]),
    turn.phase === "stopped" && note("info", turn.error ?? "Stopped by you."),
    turn.phase === "failed" && note("error", turn.error ?? "It failed."),
  ].filter(Boolean);
}
