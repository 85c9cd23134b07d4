/** Every request that the page makes. All of them go to the server it came from. */

import { payloads } from "./sse.js";

const KEY = "tina-azr.key";

/** A request that was answered with an error, or not answered (`status` 0). */
export class ApiError extends Error {
  /** @param {string} message @param {number} status @param {number | null} retryAfter seconds */
  constructor(message, status, retryAfter = null) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

export class Api {
  /** @param {(refused: boolean) => Promise<string | null>} askForKey Asks the user, again where one was refused; null if they would not. */
  constructor(askForKey) {
    this.askForKey = askForKey;
    /** @type {Promise<string | null> | null} One question for however many requests were refused. */
    this.asking = null;
  }

  /** @returns {Promise<import("./types.js").Info>} */
  async info() {
    return (await this.#send("v1/tina/info")).json();
  }

  /** Whether the server answers at all. */
  async alive() {
    try {
      return (await fetch("health", { cache: "no-store" })).ok;
    } catch {
      return false;
    }
  }

  /**
   * Chunks of a chat completion; ends after [DONE].
   * @param {object} body
   * @param {AbortSignal} signal
   */
  async *chat(body, signal) {
    const response = await this.#send("v1/chat/completions", body, signal);
    try {
      for await (const payload of payloads(response.body)) {
        if (payload === "[DONE]") return;
        const chunk = JSON.parse(payload);
        if (chunk.error) throw new ApiError(chunk.error.message, response.status);
        yield chunk;
      }
    } catch (error) {
      if (signal.aborted || error instanceof ApiError) throw error;
      throw new ApiError("The connection was lost before the answer was complete.", 0);
    }
    throw new ApiError("The server ended the answer before it was complete.", 0);
  }

  /** Close the reasoning of a running request. @param {string} id @returns {Promise<boolean>} False if it is not reasoning. */
  async answerNow(id) {
    return (await (await this.#send("v1/chat/completions/control", { id, action: "reasoning_end" })).json()).ok;
  }

  /** Markdown as sanitised HTML. @param {string} markdown @returns {Promise<string>} */
  async render(markdown) {
    return (await (await this.#send("v1/tina/render", { markdown })).json()).html;
  }

  /** @param {string} program @param {string | null} call @returns {Promise<import("./types.js").Outcome>} */
  async sandbox(program, call) {
    return (await this.#send("v1/tina/sandbox", { program, call })).json();
  }

  async #send(path, body, signal) {
    let response = await this.#once(path, body, signal);
    while (response.status === 401 && (await this.#newKey())) response = await this.#once(path, body, signal);
    if (response.ok) return response;
    if (response.status === 401) sessionStorage.removeItem(KEY);
    const message = await response.json().then((value) => value.error.message, () => `The server answered ${response.status}.`);
    const wait = Number.parseFloat(response.headers.get("Retry-After") ?? "");
    throw new ApiError(message, response.status, Number.isFinite(wait) ? wait : null);
  }

  async #once(path, body, signal) {
    const headers = {};
    const key = sessionStorage.getItem(KEY);
    if (key !== null) headers.Authorization = `Bearer ${key}`;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    try {
      const method = body === undefined ? "GET" : "POST";
      return await fetch(path, { method, headers, signal, body: body && JSON.stringify(body), cache: "no-store" });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new ApiError("The server cannot be reached.", 0);
    }
  }

  /** Ask for the key, once for all waiting requests; it lives as long as the tab. */
  async #newKey() {
    this.asking ??= this.askForKey(sessionStorage.getItem(KEY) !== null).finally(() => (this.asking = null));
    const key = await this.asking;
    if (key !== null) sessionStorage.setItem(KEY, key);
    return key !== null;
  }
}
