/** Settings sheet: system prompt, sampling, budget, reasoning. An empty field is the server's default. */

import { DEFAULTS } from "../settings.js";
import { byId } from "./dom.js";
import { showNumber, takeNumber } from "./numbers.js";

const NUMBERS = ["temperature", "top_p", "top_k", "max_tokens", "seed", "budget_tokens"];

export class Sheet {
  /** @param {import("../app.js").App} app */
  constructor(app) {
    this.app = app;
    this.system = byId("system");
    this.budget = byId("budget");
    this.system.addEventListener("change", () => app.setSystem(this.system.value));
    for (const name of NUMBERS) byId(name).addEventListener("change", ({ target }) => takeNumber(app, target, name));
    this.budget.addEventListener("change", () => app.set({ budget: this.budget.value }));
    for (const name of ["thoughts", "unfold"]) byId(name).addEventListener("change", ({ target }) => app.set({ [name]: target.checked }));
    byId("reset").addEventListener("click", () => app.set({ ...DEFAULTS }));
    for (const type of ["conversation", "connection", "settings"]) app.addEventListener(type, () => this.update());
    this.update();
  }

  update() {
    const { settings, info, current } = this.app;
    this.system.value = current.system;
    for (const name of NUMBERS) showNumber(this.app, byId(name), name);
    this.budget.value = settings.budget;
    byId("budget_tokens_row").hidden = settings.budget !== "fixed";
    byId("thoughts").checked = settings.thoughts;
    byId("unfold").checked = settings.unfold;
    byId("thoughts").disabled = byId("unfold").disabled = !info?.thoughts_allowed;
    byId("thoughts-note").hidden = info?.thoughts_allowed ?? true;
  }
}
