/** Numbers as people read them. */

const WHOLE = new Intl.NumberFormat("en");

/** @param {number} value */
export const whole = (value) => WHOLE.format(Math.round(value));

/** @param {number} value in [0, 1] */
export const percent = (value) => `${Math.round(100 * value)} %`;

/** @param {number} value */
export function seconds(value) {
  if (value < 0.1) return `${Math.round(1000 * value)} ms`;
  if (value < 10) return `${value.toFixed(1)} s`;
  return value < 90 ? `${Math.round(value)} s` : `${Math.floor(value / 60)} min ${Math.floor(value % 60)} s`;
}

/** @param {number} count @param {string} one */
export const plural = (count, one) => `${whole(count)} ${one}${Math.round(count) === 1 ? "" : "s"}`;

/** @param {number} value */
export const rate = (value) => `${value < 10 ? value.toFixed(1) : whole(value)} tokens/s`;
