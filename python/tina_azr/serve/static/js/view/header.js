/** The line at the top: title, model, context, connection. */

import { percent, whole } from "../format.js";
import { shownTurns } from "../tree.js";
import { byId, setText, setVars } from "./dom.js";

const DOWN = "The server cannot be reached. Trying again…";

export class Header {
  /** @param {import("../app.js").App} app */
  constructor(app) {
    this.app = app;
    this.meter = byId("context");
    this.banner = byId("banner");
    delete this.banner.dataset.unstarted;
    this.status = byId("status");
    this.toast = byId("toast");
    for (const type of ["conversation", "connection", "list", "turn"]) app.addEventListener(type, () => this.update());
    app.addEventListener("said", ({ detail }) => this.#say(detail));
    this.update();
  }

  update() {
    const { app } = this;
    const { current, info } = app;
    setText(byId("title"), current.title);
    document.title = `${current.title} · tina-azr`;
    setText(byId("model"), info?.model ?? "");
    this.banner.hidden = app.connection !== "down";
    setText(this.banner, this.banner.hidden ? "" : (app.why ?? DOWN));
    this.#context(shownTurns(current).findLast(({ tina }) => tina?.context)?.tina.context ?? { used: 0, limit: info?.context_limit ?? 0 });
  }

  #context({ used, limit }) {
    this.meter.hidden = !limit;
    if (!limit) return;
    const share = Math.min(1, used / limit);
    setVars(this.meter, { share });
    this.meter.dataset.full = String(share > 0.85);
    this.meter.setAttribute("aria-valuenow", String(used));
    this.meter.setAttribute("aria-valuemax", String(limit));
    this.meter.setAttribute("aria-valuetext", `${whole(used)} of ${whole(limit)} tokens`);
    this.meter.title = `Context: ${whole(used)} of ${whole(limit)} tokens (${percent(share)})`;
    setText(byId("context-figure"), `${whole(used)} / ${whole(limit)}`);
  }

  /** Screen readers hear everything; the eye gets what it cannot see elsewhere. */
  #say(words) {
    this.status.textContent = words;
    if (/^(Answer complete|thinking|answering|Stopped|Failed)/.test(words)) return;
    this.toast.textContent = words;
    this.toast.hidden = false;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => (this.toast.hidden = true), 5000);
  }
}
