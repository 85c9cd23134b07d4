/** Details of the model's signals, shown on request: budget, confidence, plan, why the reasoning ended, speed. */

import { percent, plural, rate, seconds, whole } from "../format.js";
import { PLANS, SOURCES, STOPS, aboutCalibration } from "../wording.js";
import { h, setVars } from "./dom.js";

/** @param {import("../types.js").Turn} turn @param {import("../types.js").Info | null} info */
export function signals(turn, info) {
  const tina = turn.tina ?? {};
  return [
    tina.budget && section("Budget", budgetRows(tina.budget, tina.used ?? 0), SOURCES[tina.budget.source] ?? ""),
    (tina.c0 ?? tina.cE) != null && section("Confidence", confidence(tina, info), aboutCalibration(tina)),
    tina.plan && section("Plan", plan(tina.plan), PLANS[tina.plan.choice] ?? ""),
    section("Why it stopped", null, tina.think_stop ? STOPS[tina.think_stop] : "It is still thinking."),
    tina.timing && section("Time", timing(tina.timing), turn.seed === undefined ? "" : `Seed ${turn.seed}: with it, the same answer comes again.`),
  ].filter(Boolean);
}

function section(title, body, note) {
  return h("section.signal", {}, h("h2", {}, title), body, note ? h("p.note", {}, note) : null);
}

function rows(entries) {
  return h("dl.figures", {}, ...entries.flatMap(([name, value, kind]) => [h("dt", { "data-kind": kind ?? null }, name), h("dd", {}, value)]));
}

function budgetRows({ predicted, budget, wall }, used) {
  const forecast = predicted
    ? [
        ["Half of right answers need at most", whole(predicted["0.5"]), "quantile"],
        ["80 % of them", whole(predicted["0.8"]), "quantile"],
        ["95 % of them", whole(predicted["0.95"]), "quantile"],
      ]
    : [];
  return rows([...forecast, ["Budget", whole(budget), "limit"], ["Think limit", whole(wall), "wall"], ["Used", whole(used), "used"]]);
}

/** Before and after on one scale, with the line under which the answer is only a guess. */
function confidence({ c0, cE }, info) {
  const scale = h("div.scale", { "aria-hidden": "true" }, h("div.scale-span"));
  const from = c0 ?? cE;
  const to = cE ?? c0;
  setVars(scale, { from: Math.min(from, to), to: Math.max(from, to) });
  const point = (kind, at) => {
    const element = h(`span.scale-point`, { "data-kind": kind });
    setVars(element, { at });
    scale.append(element);
  };
  const threshold = info?.abstain_below;
  if (threshold) point("threshold", threshold);
  if (c0 != null) point("before", c0);
  if (cE != null) point("after", cE);
  const entries = [
    c0 != null && ["Before reasoning", percent(c0), "before"],
    cE != null && ["After reasoning", percent(cE), "after"],
    threshold && ["Too unsure below", percent(threshold), "threshold"],
  ];
  return h("div", {}, scale, rows(entries.filter(Boolean)));
}

function plan({ choice, probabilities }) {
  const bars = Object.keys(PLANS).map((name) => {
    const share = probabilities[name] ?? 0;
    const bar = h("div.plan-bar", { "aria-hidden": "true" });
    setVars(bar, { share });
    return h("li", { "data-chosen": String(name === choice) }, h("span", {}, name), bar, h("span.number", {}, percent(share)));
  });
  return h("ul.plan", {}, ...bars);
}

function timing({ time_to_first_token: first, think_seconds: thinking, seconds: total, tokens_per_second: speed, ...tokens }) {
  return rows([
    ["First token after", seconds(first ?? 0)],
    ["Reasoning", `${seconds(thinking ?? 0)}, ${plural(tokens.think_tokens ?? 0, "token")}`],
    ["Whole answer", `${seconds(total ?? 0)}, ${plural((tokens.think_tokens ?? 0) + (tokens.answer_tokens ?? 0), "token")}`],
    ["Speed", rate(speed ?? 0)],
    ["Prompt", plural(tokens.prompt_tokens ?? 0, "token")],
  ]);
}
