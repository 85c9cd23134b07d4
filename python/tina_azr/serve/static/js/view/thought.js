/** Card above an answer: the folded reasoning, the budget bar, plan and confidence, and their details. */

import { percent, plural, seconds } from "../format.js";
import { PLANS, STOPS_SHORT, aboutCalibration, aboutConfidence } from "../wording.js";
import { BudgetBar } from "./budget_bar.js";
import { h, icon, setText } from "./dom.js";
import { signals } from "./signals.js";

export class ThoughtCard {
  /** @param {import("../app.js").App} app @param {import("../types.js").Turn} turn */
  constructor(app, turn) {
    this.app = app;
    this.turn = turn;
    this.label = h("span.thought-label");
    this.reason = h("span.thought-reason");
    this.text = h("div.thought-text", { id: `thought-${turn.id}`, role: "region", "aria-label": "Reasoning", tabindex: 0, hidden: true });
    this.toggle = h(
      "button.thought-toggle",
      { type: "button", "aria-expanded": "false", "aria-controls": this.text.id, on: { click: () => this.#userFolds() } },
      icon("chevron"),
      h("span", {}, this.label, " ", this.reason),
    );
    this.bar = new BudgetBar();
    this.plan = h("span.chip", { hidden: true });
    this.confidence = h("span.chip.confidence", { hidden: true });
    this.panel = h("div.signals", { id: `signals-${turn.id}`, hidden: true });
    this.details = h(
      "button.quiet.small",
      { type: "button", "aria-expanded": "false", "aria-controls": this.panel.id, on: { click: () => this.#showDetails() } },
      "Details",
    );
    this.chips = h("div.chips", {}, this.plan, this.confidence);
    this.element = h("div.card", {}, h("div.card-top", {}, this.toggle, this.details), this.text, this.bar.element, this.chips, this.panel);
    /** @type {boolean | null} What the user chose; null while the page decides. */
    this.chosen = null;
  }

  /** @param {import("../app.js").Run | undefined} run */
  update(run) {
    const { turn } = this;
    const tina = turn.tina ?? {};
    const thinking = turn.phase === "thinking" || turn.phase === "waiting";
    this.element.dataset.phase = turn.phase;
    this.element.hidden = !thinking && tina.budget === undefined;
    setText(this.label, this.#words(tina, run, thinking));
    setText(this.reason, tina.think_stop ? (STOPS_SHORT[tina.think_stop] ?? "") : "");
    this.bar.update(tina);
    this.#chips(tina);
    this.#thought(thinking);
    if (!this.panel.hidden) this.#drawDetails();
  }

  #words(tina, run, thinking) {
    const used = plural(tina.used ?? 0, "token");
    if (run?.retryAt) return `The server is full, trying again in ${Math.max(0, Math.ceil((run.retryAt - performance.now()) / 1000))} s`;
    if (turnWaits(this.turn)) return "Waiting for the model";
    if (thinking) return `Thinking for ${seconds(run?.progress.thinkSeconds() ?? 0)}, ${used}`;
    return `Thought for ${seconds(this.turn.thinkSeconds ?? run?.progress.thinkSeconds() ?? 0)}, ${used}`;
  }

  #chips(tina) {
    this.chips.hidden = !tina.plan && aboutConfidence(tina) === "";
    this.details.hidden = tina.budget === undefined;
    this.plan.hidden = !tina.plan;
    if (tina.plan) {
      setText(this.plan, `Plan: ${tina.plan.choice}, ${percent(tina.plan.probabilities[tina.plan.choice] ?? 0)}`);
      this.plan.title = `${PLANS[tina.plan.choice] ?? tina.plan.choice}: the model's plan before its reasoning`;
    }
    const words = aboutConfidence(tina);
    this.confidence.hidden = words === "";
    setText(this.confidence, words);
    this.confidence.dataset.low = String(tina.abstain ?? false);
    this.confidence.title = aboutCalibration(tina);
  }

  /** Open the reasoning while it is generated, if it is visible and the setting says so. Close it at the answer, unless the user opened it. */
  #thought(thinking) {
    const shown = Boolean(this.turn.thought);
    this.toggle.disabled = !shown;
    this.toggle.title = shown ? "" : "The reasoning is hidden";
    const open = shown && (this.chosen ?? (thinking && this.app.settings.unfold));
    this.toggle.setAttribute("aria-expanded", String(open));
    this.text.hidden = !open;
    if (!open) return;
    const atEnd = this.text.scrollHeight - this.text.scrollTop - this.text.clientHeight < 24;
    setText(this.text, this.turn.thought);
    if (atEnd && thinking) this.text.scrollTop = this.text.scrollHeight;
  }

  #userFolds() {
    this.chosen = this.toggle.getAttribute("aria-expanded") !== "true";
    this.update(this.app.runs.get(this.app.current.id));
  }

  #showDetails() {
    this.panel.hidden = !this.panel.hidden;
    this.details.setAttribute("aria-expanded", String(!this.panel.hidden));
    if (!this.panel.hidden) this.#drawDetails();
  }

  #drawDetails() {
    const state = JSON.stringify([this.turn.tina, this.app.info?.abstain_below]);
    if (state === this.drawn) return;
    this.drawn = state;
    this.panel.replaceChildren(...signals(this.turn, this.app.info));
  }
}

const turnWaits = (turn) => turn.phase === "waiting";
