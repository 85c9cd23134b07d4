/** Programs and calls of a prompt and its answer that the sandbox can run. Nothing is evaluated here. */

/**
 * @typedef {object} Case
 * @property {string | null} call
 * @property {string | null} expected Literal that the call should return; null if there is no expectation.
 * @property {"answer" | "prompt"} [said] Source of the expectation.
 *
 * @typedef {object} Check
 * @property {string} program
 * @property {Case[]} cases
 */

const FENCE = /^```(\w*)[ \t]*\n([\s\S]*?)^```[ \t]*$/gm;
const CALL = /^f\((.*)\) == (.+)$/gm;
const PAIR = /^(.+) -> (.+)$/gm;
const STRING = /(?:(?<!\w)b)?(["'])(?:\\.|(?!\1).)*\1/g;
const NAME = /(?<!\w)(?!(?:True|False|None)\b)[A-Za-z_]/;
const MOST_CASES = 5;

/** Fenced blocks as [tag, body]. @param {string} text */
export function blocks(text) {
  return [...text.matchAll(FENCE)].map(([, tag, body]) => [tag, body.replace(/\n$/, "")]);
}

const lastBlock = (text, tag) => blocks(text).findLast(([own]) => own === tag)?.[1] ?? null;

/**
 * Return what an answer states about the prompt's program (deduction, abduction), as a call that the sandbox can test.
 * @param {string} prompt @param {string} answer @returns {Check | null}
 */
export function claimOf(prompt, answer) {
  const program = lastBlock(prompt, "python");
  if (program === null || lastBlock(answer, "python") !== null) return null;
  const input = lastBlock(prompt, "input") ?? lastBlock(answer, "input");
  const output = lastBlock(prompt, "output") ?? lastBlock(answer, "output");
  if (input === null || output === null) return null;
  const said = lastBlock(prompt, "output") === null ? "answer" : "prompt";
  return { program, cases: [{ call: `f(${input})`, expected: output, said }] };
}

/** Literals alone, as far as can be seen without evaluating: no names outside of strings. @param {string} text */
const isLiteral = (text) => !NAME.test(text.replace(STRING, ""));

/**
 * Inputs of `f` and what they should give: lines such as `f(1, 2) == 3`, or, in the embedded model's words, `1, 2 -> 3` behind the message.
 * Any other arrow is prose.
 * @param {string} prompt
 */
function pairsOf(prompt) {
  const calls = [...prompt.matchAll(CALL)];
  const behind = lastBlock(prompt, "message") === null ? "" : prompt.slice(prompt.lastIndexOf("```"));
  const found = calls.length ? calls : [...behind.matchAll(PAIR)];
  return found.filter(([, input, output]) => isLiteral(input) && isLiteral(output));
}

/**
 * How to run a program from an answer: on the prompt's pairs where it has some.
 * @param {string} prompt @param {string} program @returns {Check}
 */
export function trialOf(prompt, program) {
  const pairs = /^def f\(/m.test(program) ? pairsOf(prompt).slice(0, MOST_CASES) : [];
  const cases = pairs.map(([, input, output]) => ({ call: `f(${input.trim()})`, expected: output.trim(), said: "prompt" }));
  return { program, cases: cases.length ? cases : [{ call: null, expected: null }] };
}
