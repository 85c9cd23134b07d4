/** The first thing anybody sees: what this model can do, and three prompts that show it. */

import { EXAMPLES } from "../examples.js";
import { byId, h, setText } from "./dom.js";

const WITH_HEADS =
  "Before the first word it forecasts how long it has to think and how likely it is to be right. You see both, and whether it kept to them.";
const WITHOUT = "This model has no heads for introspection: it thinks within a fixed budget, and makes no forecast of itself.";

export class Empty {
  /** @param {import("../app.js").App} app */
  constructor(app) {
    this.app = app;
    app.addEventListener("connection", () => this.update());
    this.update();
  }

  update() {
    const { info } = this.app;
    setText(byId("lead"), info === null ? "" : info.heads ? WITH_HEADS : WITHOUT);
    setText(byId("note"), info?.note ?? "");
    const examples = info ? EXAMPLES[info.embedded ? "embedded" : "general"] : [];
    byId("examples").replaceChildren(
      ...examples.map(({ title, about, show, prompt }) =>
        h(
          "li",
          {},
          h(
            "button.example",
            { type: "button", on: { click: () => this.app.send(prompt) } },
            h("strong", {}, title),
            h("span", {}, about),
            h("code", {}, show),
          ),
        ),
      ),
    );
  }
}
