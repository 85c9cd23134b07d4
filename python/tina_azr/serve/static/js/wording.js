/** Texts that explain the model's signals. */

import { percent, plural, whole } from "./format.js";

export const PLANS = {
  outline: "Outline the steps first",
  verify: "Work it out, then check it",
  decompose: "Split it into parts",
  stop: "Answer without reasoning",
};

export const STOPS = {
  closed: "The model ended its reasoning by itself, within the budget.",
  slack: "The model ended its reasoning by itself, between the budget and the think limit.",
  wall: "The reasoning reached the think limit and was closed by force.",
  answer_now: "You asked for the answer, so the reasoning was closed.",
  unfinished: "The reasoning never ended, so there is no answer.",
};

export const STOPS_SHORT = {
  closed: "closed by itself",
  slack: "closed by itself, over budget",
  wall: "closed at the think limit",
  answer_now: "cut short by you",
  unfinished: "not finished",
};

export const ENDED_BY = {
  time_limit: "The server's time limit ended it.",
  shutdown: "The server was stopped before this was complete.",
};

export const SOURCES = {
  predicted: "The budget is the model's own forecast for this prompt.",
  requested: "The budget is the one you set.",
  default: "The budget is the server's default; there is no forecast for this prompt.",
};

export const VERDICTS = {
  ok: "Ran to its end",
  rejected: "Refused by the policy before it ran",
  exception: "Raised an exception",
  not_literal: "Returned something that is not a literal value",
  nondeterministic: "Its result depends on hash seeds or addresses",
  fuel: "Out of fuel",
  timeout: "Out of time",
  memory: "Out of memory",
  output: "Printed or returned too much",
  crash: "Crashed the interpreter, and only that",
};

/** Explain a confidence by its calibration. @param {import("./types.js").Tina} tina */
export function aboutCalibration({ calibration, c0, cE }) {
  if (!calibration?.digest) return "Not calibrated: a raw score that only says which answers are more likely right than others.";
  const confidence = cE ?? c0;
  const of = confidence == null ? "" : ` Of answers that it rates like this one, about ${Math.round(100 * confidence)} in 100 are right.`;
  const n = calibration.n == null ? "" : ` on ${plural(calibration.n, "answer")} that it was not trained on`;
  const date = calibration.date == null ? "" : `, ${calibration.date}`;
  const ece = calibration.ece == null ? "" : ` Mean error of such a rating: ${(100 * calibration.ece).toFixed(1)} points (ECE).`;
  return `Calibrated${n}${date}.${of}${ece}`;
}

/** Describe the budget bar. @param {import("./types.js").Budget} budget @param {number} used */
export function aboutBudget(budget, used) {
  return `${plural(used, "think token")} of a budget of ${whole(budget.budget)}, think limit ${whole(budget.wall)}`;
}

/** @param {import("./types.js").Tina} tina */
export function aboutConfidence({ c0, cE }) {
  if (c0 == null && cE == null) return "";
  if (cE == null) return `${percent(c0)} sure before reasoning`;
  return c0 == null ? `${percent(cE)} sure` : `${percent(c0)} sure before reasoning, ${percent(cE)} after`;
}
