/** The turns of the conversation that is shown, and where the reader stands in them. */

import { shownTurns } from "../tree.js";
import { byId } from "./dom.js";
import { AssistantTurn, UserTurn } from "./turn.js";

const NEAR_PX = 80;

export class Transcript {
  /** @param {import("../app.js").App} app */
  constructor(app) {
    this.app = app;
    this.scroller = byId("transcript");
    this.list = byId("turns");
    this.latest = byId("latest");
    /** @type {Map<string, UserTurn | AssistantTurn>} Views live as long as their conversation is shown: folds stay as they are. */
    this.views = new Map();
    this.shown = null;
    /** Whether new text is followed. */
    this.following = true;
    this.top = 0;
    this.scheduled = false;
    app.addEventListener("conversation", () => this.show());
    app.addEventListener("connection", () => this.update());
    app.addEventListener("settings", () => this.update());
    app.addEventListener("turn", () => this.#schedule());
    this.scroller.addEventListener("scroll", () => this.#look(), { passive: true });
    this.latest.addEventListener("click", () => ((this.following = true), this.#toEnd()));
    new ResizeObserver(() => this.following && this.#toEnd()).observe(this.list);
    // Clocks go on while no token comes.
    setInterval(() => app.run && this.#schedule(), 200);
  }

  show() {
    const { current } = this.app;
    const turns = shownTurns(current);
    if (current.id !== this.shown) {
      this.views.clear();
      this.following = true;
    }
    this.shown = current.id;
    document.body.dataset.empty = String(turns.length === 0);
    const views = turns.map((turn) => {
      const known = this.views.get(turn.id);
      if (known?.turn === turn) return known;
      const view = turn.role === "user" ? new UserTurn(this.app, turn) : new AssistantTurn(this.app, turn);
      this.views.set(turn.id, view);
      return view;
    });
    this.list.replaceChildren(...views.map(({ element }) => element));
    this.update();
    if (this.app.run) this.following = true;
    if (this.following) this.#toEnd();
  }

  update() {
    for (const { id } of shownTurns(this.app.current)) this.views.get(id)?.update();
  }

  editLast() {
    const last = shownTurns(this.app.current).findLast(({ role }) => role === "user");
    const view = last && this.views.get(last.id);
    if (view instanceof UserTurn) view.edit();
  }

  #schedule() {
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame(() => {
      this.scheduled = false;
      const last = shownTurns(this.app.current).at(-1);
      if (last) this.views.get(last.id)?.update();
    });
  }

  #look() {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    // Text that has come below since the view moved is no sign of the reader: who goes up does not follow, who comes near the end does.
    if (scrollHeight - scrollTop - clientHeight < NEAR_PX) this.following = true;
    else if (scrollTop < this.top) this.following = false;
    this.top = scrollTop;
    this.latest.hidden = this.following;
  }

  #toEnd() {
    this.scroller.scrollTop = this.scroller.scrollHeight;
  }
}
