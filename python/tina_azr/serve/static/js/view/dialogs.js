/** Questions and help, in the browser's own modal dialogs: focus and Esc are theirs. */

import { byId } from "./dom.js";

/** Open a dialog and wait for what its closing button says. @param {HTMLDialogElement} dialog @returns {Promise<string>} */
function answerOf(dialog) {
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true }));
}

/** @param {string} question @param {string} consequence @param {string} act */
export async function confirmed(question, consequence, act) {
  byId("confirm-question").textContent = question;
  byId("confirm-consequence").textContent = consequence;
  byId("confirm-act").textContent = act;
  return (await answerOf(byId("confirm"))) === "yes";
}

/** @param {boolean} refused Whether one was given that is not the server's. @returns {Promise<string | null>} */
export async function askForKey(refused) {
  const field = byId("key-field");
  byId("key-refused").hidden = !refused;
  byId("key-plain").hidden = isSecureContext;
  field.value = "";
  const given = (await answerOf(byId("key"))) === "yes" ? field.value.trim() : "";
  field.value = "";
  return given || null;
}

/** @param {HTMLDialogElement} dialog */
export function toggleDialog(dialog) {
  if (dialog.open) dialog.close();
  else dialog.showModal();
}

/** Buttons that close, a click beside the dialog, and forms whose method is the dialog itself. */
export function setUpDialogs() {
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    for (const button of dialog.querySelectorAll("[data-close]")) {
      button.addEventListener("click", () => dialog.close(button.dataset.close));
    }
    dialog.querySelector("form")?.addEventListener("submit", (event) => (event.preventDefault(), dialog.close("yes")));
  }
}
