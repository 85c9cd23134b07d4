/** One request: what is sent, and what each chunk of the reply does to the assistant's turn. No page, no network. */

import { turnsBefore } from "./tree.js";

/** @typedef {import("./types.js").Conversation} Conversation @typedef {import("./types.js").Turn} Turn */

/**
 * The body of the request that fills `turn`. Settings that are null are left to the server.
 * @param {Conversation} conversation @param {Turn} turn
 * @param {import("./settings.js").Settings} settings @param {import("./types.js").Info} info
 */
export function requestBody(conversation, turn, settings, info) {
  // Reasoning is never sent back, and a turn without an answer is omitted.
  const messages = turnsBefore(conversation, turn).filter(({ content }) => content !== "").map(({ role, content }) => ({ role, content }));
  if (conversation.system.trim()) messages.unshift({ role: "system", content: conversation.system });
  const body = { model: info.model, messages, stream: true, stream_options: { include_usage: true }, seed: turn.seed };
  for (const name of ["temperature", "top_p", "top_k", "max_tokens"]) {
    if (settings[name] !== null) body[name] = settings[name];
  }
  if (settings.budget === "fixed") body.thinking_token_budget = settings.budget_tokens ?? info.defaults.max_think_tokens;
  else if (settings.budget !== "auto") body.reasoning_effort = settings.budget;
  if (info.thoughts_allowed && settings.thoughts) body.reasoning = { visible: true };
  return body;
}

/** The clock of one running request; times are milliseconds. */
export class Progress {
  constructor() {
    this.started = performance.now();
    this.firstToken = null;
    this.thoughtEnded = null;
    /** @type {string | null} The server's name for the request. */
    this.requestId = null;
    this.answerChunks = 0;
  }

  thinkSeconds(now = performance.now()) {
    return ((this.thoughtEnded ?? now) - this.started) / 1000;
  }

  /** While it runs, a chunk of answer is counted as a token; the server's own number replaces this at the end. @param {Turn} turn */
  tokensPerSecond(turn, now = performance.now()) {
    const tokens = (turn.tina?.used ?? 0) + this.answerChunks;
    return this.firstToken === null || now - this.firstToken < 250 ? null : (tokens * 1000) / (now - this.firstToken);
  }
}

/** Take one chunk in. @param {Turn} turn @param {Progress} progress @param {any} chunk */
export function takeChunk(turn, progress, chunk) {
  const now = performance.now();
  progress.requestId ??= chunk.id;
  if (chunk.tina) turn.tina = { ...turn.tina, ...chunk.tina };
  if (turn.phase === "waiting") turn.phase = "thinking";
  const choice = chunk.choices[0];
  if (!choice) return;
  const thought = choice.delta.reasoning_content ?? choice.delta.reasoning;
  if (thought) turn.thought = (turn.thought ?? "") + thought;
  if (thought || turn.tina?.used) progress.firstToken ??= now;
  if (choice.delta.content) {
    turn.content += choice.delta.content;
    progress.firstToken ??= now;
    progress.answerChunks += 1;
  }
  if (turn.phase === "thinking" && (choice.delta.content || turn.tina?.think_stop)) {
    turn.phase = "answering";
    progress.thoughtEnded = now;
  }
  if (choice.finish_reason) {
    turn.finish = choice.finish_reason;
    turn.phase = "done";
    turn.thinkSeconds = turn.tina?.timing?.think_seconds ?? progress.thinkSeconds(now);
  }
}
