/** Elements in one expression. Text is always set as text. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * @param {string} tag `name.class.class`
 * @param {Record<string, any>} [attributes] `on` holds listeners; false and null leave an attribute out.
 * @param {...(Node | string | null | false)} children
 * @returns {HTMLElement}
 */
export function h(tag, attributes = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  element.classList.add(...classes);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "on") for (const [type, listener] of Object.entries(value)) element.addEventListener(type, listener);
    else if (value !== false && value != null) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== false));
  return element;
}

/** A drawing from the sprite in index.html. @param {string} name */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

/**
 * A button that is only a drawing; its name is for screen readers and the tooltip.
 * @param {string} name @param {string} drawing @param {() => void} act
 */
export function iconButton(name, drawing, act) {
  return h("button.quiet.icon-button", { type: "button", "aria-label": name, title: name, on: { click: act } }, icon(drawing));
}

/** Set text only where it differs: selections and screen readers stay undisturbed. @param {Node} node @param {string} text */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * Numbers for the style sheet; inline style attributes are forbidden here.
 * @param {HTMLElement} element @param {Record<string, number | string>} values
 */
export function setVars(element, values) {
  for (const [name, value] of Object.entries(values)) element.style.setProperty(`--${name}`, String(value));
}

/** @param {string} id @returns {any} */
export const byId = (id) => document.getElementById(id);

/** Copy, and say on the button that it happened. @param {import("../app.js").App} app @param {HTMLElement} button @param {string} text */
export async function copy(app, button, text) {
  try {
    // Over plain HTTP there is no clipboard of this kind.
    if (navigator.clipboard) await navigator.clipboard.writeText(text);
    else copySelected(text);
  } catch {
    return app.say("The browser did not let the page copy it. Select the text, and copy it yourself.");
  }
  button.dataset.done = "";
  setTimeout(() => delete button.dataset.done, 1500);
}

/** The old way, which browsers allow on a click wherever a page comes from. Throws if it was not. @param {string} text */
function copySelected(text) {
  const focused = document.activeElement;
  // What is selected only makes it a copy; what is copied is the text as it is.
  const write = (event) => (event.preventDefault(), event.clipboardData.setData("text/plain", text));
  const field = h("textarea.visually-hidden", { readonly: true, on: { copy: write } }, text);
  document.body.append(field);
  field.focus({ preventScroll: true });
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  focused?.focus({ preventScroll: true });
  if (!done) throw new Error("refused");
}
