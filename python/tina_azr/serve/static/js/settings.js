/** Settings of the user, for all conversations. Null means the server's default. */

const KEY = "tina-azr.settings";

/**
 * @typedef {object} Settings
 * @property {number | null} temperature
 * @property {number | null} top_p
 * @property {number | null} top_k
 * @property {number | null} max_tokens
 * @property {number | null} seed Null: a new one each time, shown beside the answer.
 * @property {"auto" | "low" | "medium" | "high" | "fixed"} budget Low, medium, high: quantiles .5, .8, .95 of the forecast.
 * @property {number | null} budget_tokens For "fixed".
 * @property {boolean} thoughts Ask for visible reasoning.
 * @property {boolean} unfold Open them while they come.
 */

/** @type {Settings} */
export const DEFAULTS = Object.freeze({
  temperature: null,
  top_p: null,
  top_k: null,
  max_tokens: null,
  seed: null,
  budget: "auto",
  budget_tokens: null,
  thoughts: true,
  unfold: true,
});

/** @returns {Settings} */
export function loadSettings() {
  try {
    return { ...DEFAULTS, ...JSON.parse(localStorage.getItem(KEY) ?? "{}") };
  } catch {
    return { ...DEFAULTS }; // Written by something else: not worth a word.
  }
}

/** @param {Settings} settings */
export function saveSettings(settings) {
  localStorage.setItem(KEY, JSON.stringify(settings));
}
