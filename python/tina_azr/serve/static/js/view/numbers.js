/** Fields for numbers among the settings. An empty one is the server's default, which it shows. */

/** @param {import("../app.js").App} app @param {HTMLInputElement} field @param {string} name */
export function showNumber(app, field, name) {
  const { settings, info } = app;
  const fallback = name === "budget_tokens" ? info?.defaults.max_think_tokens : info?.defaults[name];
  if (field !== document.activeElement) field.value = settings[name] ?? "";
  field.placeholder = fallback ?? (name === "seed" ? "new each time" : "");
  if (name === "budget_tokens") field.max = fallback ?? "";
}

/** Report an invalid value next to its field, and ignore it. @param {import("../app.js").App} app @param {HTMLInputElement} field @param {string} name */
export function takeNumber(app, field, name) {
  if (!field.reportValidity()) return;
  app.set({ [name]: field.value === "" ? null : field.valueAsNumber });
}
