/** The keyboard. The help dialog lists what is here. */

/**
 * @param {Record<"startNew" | "focusPrompt" | "focusSearch" | "answerNow" | "help", () => void>
 *   & Record<"stop" | "closeSidebar", () => boolean>} act Those of the second kind say whether there was anything to do.
 */
export function setUpKeys(act) {
  document.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    const command = event.ctrlKey || event.metaKey;
    const writing = event.target.closest?.("input, textarea, select") != null;
    const modal = document.querySelector("dialog[open]") !== null;
    const key = event.key.toLowerCase();
    const does = (action) => (event.preventDefault(), action());
    if (modal) return;
    if (key === "escape") {
      if (act.closeSidebar() || act.stop()) event.preventDefault();
    } else if (command && event.shiftKey && key === "o") does(act.startNew);
    else if (command && !event.shiftKey && key === "k") does(act.focusSearch);
    else if (command && key === ".") does(act.answerNow);
    else if (!writing && !command && key === "/") does(act.focusPrompt);
    else if (!writing && !command && key === "?") does(act.help);
  });
}
