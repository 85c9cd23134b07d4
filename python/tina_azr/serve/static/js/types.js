/**
 * The shapes that modules hand to each other. Types only; nothing runs here.
 *
 * @typedef {object} Budget
 * @property {Record<string, number> | null} predicted Think tokens of a correct answer at "0.5", "0.8", "0.95".
 * @property {number} budget
 * @property {number} wall
 * @property {"predicted" | "requested" | "default"} source
 * @property {string | null} warning
 *
 * @typedef {object} Tina What the server says of a completion; the wire's own names.
 * @property {{choice: string, probabilities: Record<string, number>} | null} [plan]
 * @property {Budget} [budget]
 * @property {number} [used]
 * @property {"closed" | "slack" | "wall" | "answer_now" | "unfinished" | null} [think_stop]
 * @property {boolean} [forced_close]
 * @property {boolean} [leak]
 * @property {number | null} [c0]
 * @property {number | null} [cE]
 * @property {boolean} [abstain]
 * @property {{digest: string | null, n: number | null, ece: number | null, date: string | null}} [calibration]
 * @property {{prompt_tokens: number, think_tokens: number, answer_tokens: number, seconds: number, think_seconds: number,
 *   tokens_per_second: number, time_to_first_token: number}} [timing]
 * @property {{used: number, limit: number}} [context]
 * @property {"client" | "time_limit" | "shutdown" | null} [ended_by] Why the server ended it.
 *
 * @typedef {"waiting" | "thinking" | "answering" | "done" | "stopped" | "failed"} Phase
 *
 * @typedef {object} Turn One message of a conversation's tree.
 * @property {string} id
 * @property {string | null} parent
 * @property {"user" | "assistant"} role
 * @property {string} content
 * @property {number} created Milliseconds since 1970.
 * @property {string} [thought] Text of the reasoning, if the server allows it and it was requested.
 * @property {Tina} [tina]
 * @property {Phase} [phase] Of an assistant's turn.
 * @property {string | null} [finish] OpenAI's finish_reason.
 * @property {string | null} [error] Why it failed, for people.
 * @property {number} [seed]
 * @property {number} [thinkSeconds]
 * @property {Verdict[]} [verdicts] Of the last run of each program; an exported file may hold them, and an import leaves them out.
 *
 * @typedef {object} Conversation
 * @property {string} id
 * @property {string} title
 * @property {boolean} named Whether a person chose the title.
 * @property {number} created
 * @property {number} updated
 * @property {string} system
 * @property {Turn[]} turns In the order in which they were made.
 * @property {Record<string, string>} chosen Which child of a turn is shown; the key "root" for first turns.
 *
 * @typedef {object} Info The server's /v1/tina/info.
 * @property {string} model
 * @property {boolean} embedded
 * @property {"full" | "compact"} prompts Which prompt set it reads.
 * @property {string} note
 * @property {boolean} thoughts_allowed
 * @property {number} context_limit
 * @property {{max_tokens: number, max_think_tokens: number, temperature: number, top_p: number, top_k: number}} defaults
 * @property {boolean} heads
 * @property {number | null} abstain_below
 * @property {boolean} sandbox
 * @property {string} version
 * @property {boolean} key_required
 *
 * @typedef {object} Outcome The sandbox's verdict on a program.
 * @property {string} outcome
 * @property {string | null} value
 * @property {string | null} error
 * @property {string} stdout
 * @property {number} fuel
 * @property {number} wall_ms
 * @property {number} memory_bytes
 *
 * @typedef {Outcome & import("./checks.js").Case & {program: string, right: boolean | null}} Verdict Right: whether the expectation holds.
 */

export {};
