/** Run a program in the server's sandbox, on a click, and show what came of it. */

import { ApiError } from "../api.js";
import { whole } from "../format.js";
import { VERDICTS } from "../wording.js";
import { h, icon, setText } from "./dom.js";

let panels = 0;

/**
 * A button, and the panel that it opens.
 * @param {import("../api.js").Api} api
 * @param {import("../checks.js").Check} check
 * @param {string} label
 */
export function sandboxButton(api, check, label) {
  const id = `sandbox-${(panels += 1)}`;
  const given = { value: check.cases[0].call ?? "", placeholder: "f(3)", autocomplete: "off", spellcheck: "false" };
  const call = h("input", { id: `${id}-call`, type: "text", ...given });
  const results = h("div.runs", { role: "status" });
  const again = h("button.small", { type: "submit" }, "Run again");
  const form = h("form.call", {}, h("label", { for: call.id }, "Call"), call, again);
  const panel = h("div.sandbox", { id, hidden: true }, results, form);
  const button = h("button.small", { type: "button", "aria-expanded": "false", "aria-controls": id }, icon("flask"), label);

  const run = async (cases) => {
    button.disabled = again.disabled = true;
    setText(results, "Running…");
    try {
      const rows = [];
      for (const each of cases) rows.push(await result(api, check.program, each));
      results.replaceChildren(...rows);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setText(results, error.message);
    } finally {
      button.disabled = again.disabled = false;
    }
  };
  button.addEventListener("click", () => {
    panel.hidden = !panel.hidden;
    button.setAttribute("aria-expanded", String(!panel.hidden));
    if (!panel.hidden && !results.hasChildNodes()) run(check.cases);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const wanted = call.value.trim();
    const known = check.cases.find((each) => each.call === wanted);
    run([known ?? { call: wanted || null, expected: null }]);
  });
  return h("div.sandbox-place", {}, button, panel);
}

/** @param {import("../api.js").Api} api @param {string} program @param {import("../checks.js").Case} wanted */
async function result(api, program, { call, expected }) {
  const outcome = await api.sandbox(program, call);
  const ok = outcome.outcome === "ok";
  const claimed = ok && expected !== null ? await canonical(api, expected) : null;
  const right = claimed === null ? null : claimed === outcome.value;
  const verdict = right === null ? (VERDICTS[outcome.outcome] ?? outcome.outcome) : right ? "Right" : "Wrong";
  const value = outcome.value !== null && call !== null ? `${call} → ${outcome.value}` : call;
  return h(
    "div.run",
    { "data-verdict": right === null ? (ok ? "ran" : "failed") : String(right) },
    h("p.verdict", {}, h("strong", {}, verdict), value === null ? null : h("code", {}, value)),
    right === false ? h("p", {}, "The answer says ", h("code", {}, expected)) : null,
    outcome.error ? h("pre", { tabindex: 0, role: "region", "aria-label": "Error" }, outcome.error) : null,
    outcome.stdout ? h("pre", { tabindex: 0, role: "region", "aria-label": "Printed output" }, outcome.stdout) : null,
    h("p.note", {}, `Fuel ${whole(outcome.fuel)}, ${outcome.wall_ms.toFixed(1)} ms, ${whole(outcome.memory_bytes / 2 ** 20)} MB`),
  );
}

/** The sandbox's own way of writing a literal, so that `[1,2]` and `[1, 2]` are one. Null if it is no literal. */
async function canonical(api, literal) {
  return (await api.sandbox("def f(value):\n    return value", `f(${literal})`)).value;
}
