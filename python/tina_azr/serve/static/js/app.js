/** The page's state and what can be done with it. Views listen to its events and never change it by themselves. */

import { ApiError } from "./api.js";
import { Progress, requestBody, takeChunk } from "./completion.js";
import { saveSettings } from "./settings.js";
import { addTurn, chooseSibling, newConversation, newId, shownTurns, titleOf } from "./tree.js";

/** @typedef {import("./types.js").Conversation} Conversation @typedef {import("./types.js").Turn} Turn */

const SAVE_EVERY_MS = 2000;
const MOST_RETRIES = 5;
const LIVE = ["waiting", "thinking", "answering"];
const CUT_OFF = "The page was closed before this was complete.";
const LOCKED = "This server asks for a key. Reload the page to give it.";

/**
 * @typedef {object} Run One request in progress.
 * @property {Conversation} conversation
 * @property {Turn} turn
 * @property {AbortController} abort
 * @property {Progress} progress
 * @property {number | null} retryAt When a full server is asked again.
 */

/** Events: `list`, `conversation`, `turn` (detail: the turn), `connection`, `settings`, `said` (detail: words for everyone). */
export class App extends EventTarget {
  /**
   * @param {import("./api.js").Api} api @param {import("./store.js").Store} store
   * @param {import("./writing.js").Writing} writing @param {import("./settings.js").Settings} settings
   */
  constructor(api, store, writing, settings) {
    super();
    this.api = api;
    this.store = store;
    this.writing = writing;
    this.settings = settings;
    /** @type {import("./types.js").Info | null} */
    this.info = null;
    /** @type {Map<string, Conversation>} */
    this.conversations = new Map();
    this.current = newConversation();
    /** @type {Map<string, Run>} By conversation. */
    this.runs = new Map();
    /** @type {Set<string>} Turns that another tab writes. */
    this.watched = new Set();
    /** @type {"connecting" | "up" | "down"} */
    this.connection = "connecting";
  }

  async load() {
    for (const conversation of await this.store.all()) this.#take(conversation);
    this.store.onChangeElsewhere((id) => this.#reload(id));
    this.#emit("list");
  }

  /** Ask the server what it is, until it says so or the user would not give its key. */
  async connect() {
    for (let wait = 500; ; wait = Math.min(2 * wait, 8000)) {
      try {
        this.info = await this.api.info();
        this.#connection("up");
        return;
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        const locked = error.status === 401;
        this.#connection("down", locked ? LOCKED : error.status === 0 ? null : error.message);
        if (locked) return;
      }
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }

  /** The page goes away, and nobody may be there any more when the requests have ended: keep what was written up to now. */
  leave() {
    for (const { conversation, turn, abort } of this.runs.values()) {
      abort.abort(CUT_OFF);
      Object.assign(turn, { phase: "stopped", error: CUT_OFF });
      this.#save(conversation);
      this.store.tell(conversation.id);
    }
  }

  /** @returns {Run | undefined} Of the conversation that is shown. */
  get run() {
    return this.runs.get(this.current.id);
  }

  open(id) {
    this.current = this.conversations.get(id) ?? newConversation(this.current.system);
    this.#emit("conversation");
  }

  startNew() {
    this.current = newConversation();
    this.#emit("conversation");
  }

  send(text) {
    const parent = shownTurns(this.current).at(-1)?.id ?? null;
    this.#ask(text, parent);
  }

  /** The edited message is a sibling of the old one. @param {Turn} turn @param {string} text */
  edit(turn, text) {
    this.#ask(text, turn.parent);
  }

  /** Another answer to the same message. @param {Turn} turn */
  regenerate(turn) {
    this.#answer(turn.parent);
  }

  /** @param {Turn} turn @param {number} step */
  showSibling(turn, step) {
    chooseSibling(this.current, turn, step);
    this.#save(this.current);
    this.#emit("conversation");
  }

  stop() {
    this.run?.abort.abort();
  }

  async answerNow() {
    const run = this.run;
    if (!run?.progress.requestId || run.turn.phase !== "thinking") return;
    try {
      if (!(await this.api.answerNow(run.progress.requestId))) this.say("It has already stopped thinking.");
    } catch (error) {
      this.#failed(error);
      if (error.status !== 0) this.say(error.message);
    }
  }

  /** @param {Partial<import("./settings.js").Settings>} changes */
  set(changes) {
    Object.assign(this.settings, changes);
    saveSettings(this.settings);
    this.#emit("settings");
  }

  setSystem(text) {
    this.current.system = text;
    if (this.conversations.has(this.current.id)) this.#save(this.current);
  }

  rename(id, title) {
    const conversation = this.conversations.get(id);
    Object.assign(conversation, { title: title.trim() || titleOf(conversation.turns[0]?.content ?? ""), named: Boolean(title.trim()) });
    this.#save(conversation);
    this.#emit("list");
  }

  async remove(id) {
    this.runs.get(id)?.abort.abort();
    this.conversations.delete(id);
    if (this.current.id === id) this.startNew();
    this.#emit("list");
    await this.store.remove(id);
  }

  /** Add what a file held; a conversation that is here already and is not the same comes in as a copy. @param {Conversation[]} imported */
  async add(imported) {
    let added = 0;
    for (const conversation of imported) {
      const own = this.conversations.get(conversation.id);
      if (own && own.updated === conversation.updated) continue;
      if (own) conversation.id = newId();
      this.conversations.set(conversation.id, conversation);
      await this.store.save(conversation);
      added += 1;
    }
    this.#emit("list");
    return added;
  }

  /** The sandbox's word on a program stays with the answer. @param {Turn} turn @param {string} program @param {import("./types.js").Verdict[]} verdicts */
  keep(turn, program, verdicts) {
    turn.verdicts = [...(turn.verdicts ?? []).filter((each) => each.program !== program), ...verdicts];
    const conversation = [...this.conversations.values()].find(({ turns }) => turns.includes(turn));
    if (conversation) this.#save(conversation);
  }

  /** Words for the status line, read out by screen readers. @param {string} words */
  say(words) {
    this.#emit("said", words);
  }

  #ask(text, parent) {
    this.stop();
    const conversation = this.current;
    const turn = addTurn(conversation, { parent, role: "user", content: text });
    if (!conversation.named && parent === null) conversation.title = titleOf(text);
    this.conversations.set(conversation.id, conversation);
    this.#answer(turn.id);
  }

  /** @param {string} parent The message to answer. */
  async #answer(parent) {
    this.stop();
    const conversation = this.current;
    const seed = this.settings.seed ?? crypto.getRandomValues(new Uint32Array(1))[0] >>> 1;
    const turn = addTurn(conversation, { parent, role: "assistant", phase: "waiting", tina: {}, seed });
    /** @type {Run} */
    const run = { conversation, turn, abort: new AbortController(), progress: new Progress(), retryAt: null };
    this.runs.set(conversation.id, run);
    this.#emit("list");
    this.#emit("conversation");
    this.#save(conversation);
    const saving = setInterval(() => this.#save(conversation), SAVE_EVERY_MS);
    const release = this.writing.hold(turn.id);
    try {
      await this.#fill(run);
      this.#connection("up");
    } catch (error) {
      if (run.abort.signal.aborted) {
        const error = run.abort.signal.reason === CUT_OFF ? CUT_OFF : undefined;
        Object.assign(turn, { phase: "stopped", error, thinkSeconds: run.progress.thinkSeconds() });
      } else {
        Object.assign(turn, { phase: "failed", error: error.message, thinkSeconds: run.progress.thinkSeconds() });
        this.#failed(error);
      }
    } finally {
      clearInterval(saving);
      // A newer run of this conversation may have taken its place.
      if (this.runs.get(conversation.id) === run) this.runs.delete(conversation.id);
      conversation.updated = Date.now();
      const kept = this.conversations.has(conversation.id) && this.#save(conversation);
      this.#emit("turn", turn);
      this.#emit("list");
      if (conversation === this.current) this.say(ending(turn));
      else if (turn.phase === "failed") this.say(`${conversation.title}: ${turn.error}`);
      await kept;
      release();
    }
  }

  /** @param {Run} run */
  async #fill(run) {
    const { conversation, turn, abort } = run;
    if (!this.info) throw new ApiError("The server cannot be reached.", 0);
    const body = requestBody(conversation, turn, this.settings, this.info);
    for (let attempt = 0; ; attempt += 1) {
      run.progress = new Progress();
      run.retryAt = null;
      try {
        for await (const chunk of this.api.chat(body, abort.signal)) {
          const phase = turn.phase;
          takeChunk(turn, run.progress, chunk);
          if (turn.phase !== phase && conversation === this.current && turn.phase !== "done") this.say(`${turn.phase}…`);
          this.#emit("turn", turn);
        }
        if (LIVE.includes(turn.phase)) throw new ApiError("The server ended the answer without saying why.", 0);
        return;
      } catch (error) {
        if (!(error instanceof ApiError) || error.status !== 429 || attempt === MOST_RETRIES) throw error;
        const wait = 1000 * (error.retryAfter ?? 2);
        run.retryAt = performance.now() + wait;
        this.say(`The server is full. Trying again in ${Math.ceil(wait / 1000)} seconds.`);
        this.#emit("turn", turn);
        await pause(wait, abort.signal);
      }
    }
  }

  #failed(error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.status === 0) this.#lost();
  }

  /** The server is gone, or only that request: find out. */
  async #lost() {
    if (await this.api.alive()) return;
    this.#connection("down");
    await this.connect();
    if (this.connection === "up") this.say("The server is back.");
  }

  #connection(state, why = null) {
    this.why = why;
    if (state === this.connection && state === "up") return;
    this.connection = state;
    this.#emit("connection");
  }

  /** @param {string} id */
  async #reload(id) {
    if (this.runs.has(id)) return;
    this.#replace(id, await this.store.one(id));
  }

  /** @param {string} id @param {Conversation | undefined} conversation */
  #replace(id, conversation) {
    if (conversation) this.#take(conversation);
    else this.conversations.delete(id);
    if (this.current.id === id) this.open(id);
    this.#emit("list");
  }

  /** As it is kept: what another tab is writing goes on there. @param {Conversation} conversation */
  #take(conversation) {
    this.conversations.set(conversation.id, conversation);
    for (const turn of conversation.turns) if (LIVE.includes(turn.phase)) this.#watch(conversation.id, turn.id);
  }

  /** A tab that crashes says nothing: what it was writing stays as far as it came. @param {string} id @param {string} turnId */
  async #watch(id, turnId) {
    if (this.watched.has(turnId)) return;
    this.watched.add(turnId);
    await this.writing.released(turnId);
    this.watched.delete(turnId);
    // What this tab writes itself goes on in the conversation that it has.
    const kept = await this.store.one(id);
    const conversation = this.runs.get(id)?.conversation ?? kept;
    const turn = conversation?.turns.find((each) => each.id === turnId);
    if (!turn || !LIVE.includes(turn.phase)) return;
    Object.assign(turn, { phase: "stopped", error: CUT_OFF });
    // Shown also where it cannot be kept.
    this.#replace(id, conversation);
    await this.#save(conversation);
  }

  #save(conversation) {
    return this.store.save(conversation).catch((error) => this.say(`This conversation could not be kept: ${error.message}`));
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** @param {Turn} turn */
function ending(turn) {
  if (turn.phase === "failed") return `Failed: ${turn.error}`;
  if (turn.phase === "stopped") return "Stopped.";
  return `Answer complete: ${turn.content.slice(0, 300)}`;
}

/** @param {number} ms @param {AbortSignal} signal */
function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });
}
