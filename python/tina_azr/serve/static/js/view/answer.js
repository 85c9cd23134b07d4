/** An answer's text: first as text, then as the HTML that the server has rendered and sanitised, seldom enough to keep up. */

import { copy, h, icon } from "./dom.js";

const RENDER_EVERY_MS = 300;

/** Elements and attributes of rendered Markdown, for browsers that can sanitise once more by themselves. */
const KEEP = {
  elements: [
    ..."a blockquote br code del em h1 h2 h3 h4 h5 h6 hr li ol p pre s strong table tbody td th thead tr ul span div sup sub".split(" "),
  ],
  attributes: ["href", "class", "start", "title"],
};

export class Answer {
  /** @param {import("../app.js").App} app @param {(pre: HTMLElement, language: string, code: string) => Node | null} extra Put under a code block. */
  constructor(app, extra) {
    this.app = app;
    this.extra = extra;
    this.element = h("div.prose");
    this.source = "";
    /** How much of the source is on the page as HTML. */
    this.rendered = "";
    this.busy = false;
    this.complete = false;
    this.tail = document.createTextNode("");
  }

  /** @param {string} source @param {boolean} complete */
  update(source, complete) {
    if (source === this.source && complete === this.complete) return;
    this.source = source;
    this.complete = complete;
    this.#showTail();
    this.#render();
  }

  /** Text that is not rendered yet stands where it will be: at the end of the last block. */
  #showTail() {
    if (!this.source.startsWith(this.rendered)) this.element.replaceChildren();
    const done = this.element.childElementCount ? this.rendered.length : 0;
    this.tail.data = this.source.slice(done);
    if (this.tail.isConnected) return;
    let place = this.element;
    while (place.lastElementChild && !place.lastElementChild.matches("a, strong, em, .code-bar, hr, br")) place = place.lastElementChild;
    place.append(this.tail);
  }

  async #render() {
    if (this.busy || this.source === "") return;
    this.busy = true;
    const source = this.source;
    const complete = this.complete;
    try {
      const html = await this.app.api.render(source);
      this.rendered = source;
      setSanitised(this.element, html);
      this.#decorate(complete);
      this.#showTail();
    } catch {
      // The text is there already; the next piece, or the next visit, tries again.
      return;
    } finally {
      if (!complete) await new Promise((resolve) => setTimeout(resolve, RENDER_EVERY_MS));
      this.busy = false;
    }
    if (this.source !== source || this.complete !== complete) this.#render();
  }

  #decorate(complete) {
    for (const link of this.element.querySelectorAll("a[href]")) {
      link.target = "_blank";
      link.rel = "noopener noreferrer";
    }
    for (const table of this.element.querySelectorAll("table")) {
      const frame = h("div.table", { tabindex: 0, role: "region", "aria-label": "Table" });
      table.replaceWith(frame);
      frame.append(table);
    }
    for (const pre of this.element.querySelectorAll("pre")) this.#frameCode(pre, complete);
  }

  #frameCode(pre, complete) {
    const language = /language-([\w+-]+)/.exec(pre.querySelector("code")?.className ?? "")?.[1] ?? "";
    const code = pre.textContent.replace(/\n$/, "");
    const act = { click: () => copy(this.app, button, code) };
    const button = h("button.quiet.small", { type: "button", "aria-label": "Copy code", on: act }, icon("copy"), "Copy");
    const bar = h("div.code-bar", {}, h("span", {}, language || "text"), button);
    const frame = h("div.code", {}, bar);
    pre.replaceWith(frame);
    pre.tabIndex = 0;
    pre.setAttribute("aria-label", `Code, ${language || "text"}`);
    pre.setAttribute("role", "region");
    const extra = complete && this.extra(frame, language, code);
    frame.append(pre, ...(extra ? [extra] : []));
  }
}

/** The server has sanitised it; a browser that can do so does it again. @param {HTMLElement} element @param {string} html */
function setSanitised(element, html) {
  if ("setHTML" in element) element.setHTML(html, { sanitizer: KEEP });
  else element.innerHTML = html;
}
