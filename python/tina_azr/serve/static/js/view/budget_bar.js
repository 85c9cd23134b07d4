/** Budget bar: forecast quantiles, budget and think limit as marks, the reasoning tokens as a growing bar. */

import { whole } from "../format.js";
import { aboutBudget } from "../wording.js";
import { h, setVars } from "./dom.js";

const QUANTILES = { "0.5": "50 %", "0.95": "95 %", "0.8": "80 %" };
const GAP_PX = 8;

/** Possible positions of a label, best first: its middle, its end or its start at the mark. */
const ANCHORS = [0.5, 1, 0];

export class BudgetBar {
  constructor() {
    this.marks = h("div.budget-marks", { "aria-hidden": "true" });
    const track = h("div.budget-track", {}, h("div.budget-slack"), h("div.budget-used"), h("div.budget-over"));
    this.element = h("div.budget", { role: "meter", "aria-label": "Think tokens", "aria-valuemin": 0, hidden: true }, track, this.marks);
    this.drawn = "";
    new ResizeObserver(() => this.#placeLabels()).observe(this.element);
  }

  /** @param {import("../types.js").Tina} tina */
  update({ budget, used = 0 }) {
    this.element.hidden = !budget;
    if (!budget) return;
    const end = Math.max(budget.wall, used, budget.predicted?.["0.95"] ?? 0, 1);
    const at = (tokens) => Math.min(1, tokens / end);
    setVars(this.element, { used: at(used), budget: at(budget.budget), wall: at(budget.wall) });
    this.element.setAttribute("aria-valuemax", String(end));
    this.element.setAttribute("aria-valuenow", String(used));
    this.element.setAttribute("aria-valuetext", aboutBudget(budget, used));
    // Marks change with the forecast, not with every token.
    const state = JSON.stringify([budget, end]);
    if (state === this.drawn) return;
    this.drawn = state;
    const forecast = budget.predicted
      ? Object.entries(QUANTILES).map(([quantile, name]) => mark("quantile", at(budget.predicted[quantile] ?? 0), name))
      : [];
    const limit = mark("limit", at(budget.budget), `budget ${whole(budget.budget)}`);
    this.marks.replaceChildren(limit, mark("wall", at(budget.wall), `limit ${whole(budget.wall)}`), ...forecast);
    this.#placeLabels();
  }

  /** The important ones first; one that would touch another is left out (the details have all of them). */
  #placeLabels() {
    const length = this.marks.clientWidth;
    if (!length) return;
    const marks = [...this.marks.children].map((element) => ({ label: element.firstElementChild, at: element.position * length }));
    for (const { label } of marks) label.hidden = false;
    for (const mark of marks) mark.spans = spansOf(mark, length);
    const taken = [];
    for (const { label, at, spans } of marks) {
      const free = spans.filter((span) => taken.every((other) => apart(span, other)));
      // Budget and think limit are often close. The budget's label then moves aside for the limit's.
      const considerate = free.find((span) => taken.length || marks[1].spans.some((wall) => apart(span, wall)));
      const chosen = considerate ?? free[0];
      label.hidden = chosen === undefined;
      if (chosen === undefined) continue;
      taken.push(chosen);
      setVars(label, { shift: `${chosen[0] - at}px` });
    }
  }
}

/** Places for a label, from and to, that lie on the bar; best first. */
function spansOf({ label, at }, length) {
  const width = label.offsetWidth;
  const lefts = ANCHORS.map((anchor) => at - anchor * width).filter((left) => left >= -1 && left + width <= length + 1);
  return lefts.map((left) => [left, left + width]);
}

const apart = ([from, to], [start, end]) => to + GAP_PX <= start || from >= end + GAP_PX;

function mark(kind, position, label) {
  const element = h("span.budget-mark", { "data-kind": kind }, h("span", {}, label));
  setVars(element, { at: position });
  element.position = position;
  return element;
}
