/** Run a program in the server's sandbox, on a click, and show what came of it. What came of it before is there already. */

import { ApiError } from "../api.js";
import { whole } from "../format.js";
import { VERDICTS } from "../wording.js";
import { h, icon, setText } from "./dom.js";

/** @typedef {import("../types.js").Verdict} Verdict */

let panels = 0;

/**
 * A button, and the panel that it opens.
 * @param {import("../api.js").Api} api
 * @param {import("../checks.js").Check} check
 * @param {string} label
 * @param {Verdict[]} kept Of an earlier run.
 * @param {(verdicts: Verdict[]) => void} keep
 */
export function sandboxButton(api, check, label, kept, keep) {
  const id = `sandbox-${(panels += 1)}`;
  const given = { value: (kept[0] ?? check.cases[0]).call ?? "", placeholder: "f(3)", autocomplete: "off", spellcheck: "false" };
  const call = h("input", { id: `${id}-call`, type: "text", ...given });
  const results = h("div.runs", { role: "status" }, ...kept.map(row));
  const again = h("button.small", { type: "submit" }, "Run again");
  const form = h("form.call", {}, h("label", { for: call.id }, "Call"), call, again);
  const panel = h("div.sandbox", { id, hidden: !kept.length }, results, form);
  const button = h("button.small", { type: "button", "aria-expanded": String(!panel.hidden), "aria-controls": id }, icon("flask"), label);

  const run = async (cases) => {
    button.disabled = again.disabled = true;
    setText(results, "Running…");
    try {
      const verdicts = [];
      for (const each of cases) verdicts.push(await judge(api, check.program, each));
      results.replaceChildren(...verdicts.map(row));
      keep(verdicts);
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

/** @param {import("../api.js").Api} api @param {string} program @param {import("../checks.js").Case} wanted @returns {Promise<Verdict>} */
async function judge(api, program, wanted) {
  const outcome = await api.sandbox(program, wanted.call);
  const claimed = outcome.outcome === "ok" && wanted.expected !== null ? await canonical(api, wanted.expected) : null;
  return { ...outcome, ...wanted, program, right: claimed === null ? null : claimed === outcome.value };
}

/** @param {Verdict} verdict */
function row({ right, call, expected, said, ...outcome }) {
  const ok = outcome.outcome === "ok";
  const verdict = right === null ? (VERDICTS[outcome.outcome] ?? outcome.outcome) : right ? "Right" : "Wrong";
  const value = outcome.value !== null && call !== null ? `${call} → ${outcome.value}` : call;
  return h(
    "div.run",
    { "data-verdict": right === null ? (ok ? "ran" : "failed") : String(right) },
    h("p.verdict", {}, h("strong", {}, verdict), value === null ? null : h("code", {}, value)),
    right === false ? h("p", {}, `The ${said} says `, h("code", {}, expected)) : null,
    outcome.error ? h("pre", { tabindex: 0, role: "region", "aria-label": "Error" }, outcome.error) : null,
    outcome.stdout ? h("pre", { tabindex: 0, role: "region", "aria-label": "Printed output" }, outcome.stdout) : null,
    h("p.note", {}, `Fuel ${whole(outcome.fuel)}, ${outcome.wall_ms.toFixed(1)} ms, ${whole(outcome.memory_bytes / 2 ** 20)} MB`),
  );
}

/** The sandbox's own way of writing a literal, so that `[1,2]` and `[1, 2]` are one. Null if it is no literal. */
async function canonical(api, literal) {
  return (await api.sandbox("def f(value):\n    return value", `f(${literal})`)).value;
}
