/** Conversations to a JSON file and back. What comes back is checked field by field: a file may hold anything. */

const FORMAT = "tina-azr conversations";
const VERSION = 1;
const MOST_BYTES = 64 * 1024 * 1024;

/** @typedef {import("./types.js").Conversation} Conversation */

/** @param {Conversation[]} conversations @returns {string} */
export function toJson(conversations) {
  return JSON.stringify({ format: FORMAT, version: VERSION, exported: new Date().toISOString(), conversations }, null, 2);
}

/** Read an exported file. Throws an Error for people. @param {File} file @returns {Promise<Conversation[]>} */
export async function fromFile(file) {
  if (file.size > MOST_BYTES) throw new Error(`${file.name} is larger than ${MOST_BYTES >> 20} MB.`);
  let value;
  try {
    value = JSON.parse(await file.text());
  } catch {
    throw new Error(`${file.name} is not JSON.`);
  }
  if (value?.format !== FORMAT || !Array.isArray(value.conversations)) throw new Error(`${file.name} was not exported by this page.`);
  if (value.version !== VERSION) throw new Error(`${file.name} has version ${value.version}; this page reads version ${VERSION}.`);
  return value.conversations.map((each, index) => conversationOf(each, `${file.name}, conversation ${index + 1}`));
}

const isText = (value) => typeof value === "string";
const isTime = (value) => Number.isFinite(value) && Math.abs(value) < 8.64e15;
const isPlain = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

function check(good, where, what) {
  if (!good) throw new Error(`${where}: ${what}.`);
}

function conversationOf(value, where) {
  check(isPlain(value) && isText(value.id) && value.id && isText(value.title), where, "no id or no title");
  check(isTime(value.created) && isTime(value.updated), where, "a time is missing");
  check(Array.isArray(value.turns) && isPlain(value.chosen), where, "no turns");
  const turns = value.turns.map((turn, index) => turnOf(turn, `${where}, turn ${index + 1}`));
  const known = new Set();
  for (const [index, turn] of turns.entries()) {
    // Parents come first: so the turns are a tree, whatever the file says.
    check(turn.parent === null || known.has(turn.parent), `${where}, turn ${index + 1}`, "its parent is not before it");
    check(!known.has(turn.id) && turn.id !== "root", `${where}, turn ${index + 1}`, "its id is taken");
    known.add(turn.id);
  }
  const chosen = Object.fromEntries(Object.entries(value.chosen).filter(([, id]) => known.has(id)));
  const { id, title, created, updated } = value;
  return { id, title, named: value.named === true, created, updated, system: isText(value.system) ? value.system : "", turns, chosen };
}

function turnOf(value, where) {
  check(isPlain(value) && isText(value.id) && value.id && isText(value.content), where, "no id or no text");
  check(value.role === "user" || value.role === "assistant", where, `no such role: ${value.role}`);
  check(value.parent === null || isText(value.parent), where, "its parent is no id");
  check(isTime(value.created), where, "a time is missing");
  const { id, parent, role, content, created } = value;
  const turn = { id, parent, role, content, created };
  if (role === "user") return turn;
  turn.phase = ["done", "stopped", "failed"].includes(value.phase) ? value.phase : "stopped";
  for (const name of ["thought", "error", "finish"]) if (isText(value[name])) turn[name] = value[name];
  for (const name of ["seed", "thinkSeconds"]) if (Number.isFinite(value[name])) turn[name] = value[name];
  if (isPlain(value.tina)) turn.tina = tinaOf(value.tina);
  return turn;
}

/** The numbers and words that the page shows, and nothing else. */
function tinaOf(value) {
  const numbers = (given, names) => Object.fromEntries(names.filter((name) => Number.isFinite(given?.[name])).map((name) => [name, given[name]]));
  const tina = numbers(value, ["used", "c0", "cE"]);
  for (const name of ["forced_close", "leak", "abstain"]) tina[name] = value[name] === true;
  for (const name of ["think_stop", "ended_by"]) tina[name] = isText(value[name]) ? value[name] : null;
  if (isPlain(value.plan) && isText(value.plan.choice) && isPlain(value.plan.probabilities)) {
    const probabilities = numbers(value.plan.probabilities, ["outline", "verify", "decompose", "stop"]);
    tina.plan = { choice: value.plan.choice, probabilities };
  }
  if (isPlain(value.budget) && Number.isFinite(value.budget.budget) && Number.isFinite(value.budget.wall)) {
    const { source, warning } = value.budget;
    const predicted = isPlain(value.budget.predicted) ? numbers(value.budget.predicted, ["0.5", "0.8", "0.95"]) : null;
    tina.budget = { ...numbers(value.budget, ["budget", "wall"]), predicted };
    tina.budget.source = isText(source) ? source : "default";
    tina.budget.warning = isText(warning) ? warning : null;
  }
  if (isPlain(value.calibration)) {
    tina.calibration = numbers(value.calibration, ["n", "ece"]);
    for (const name of ["digest", "date"]) if (isText(value.calibration[name])) tina.calibration[name] = value.calibration[name];
  }
  const times = ["prompt_tokens", "think_tokens", "answer_tokens", "seconds", "think_seconds", "tokens_per_second", "time_to_first_token"];
  if (isPlain(value.timing)) tina.timing = numbers(value.timing, times);
  if (isPlain(value.context)) tina.context = numbers(value.context, ["used", "limit"]);
  return tina;
}
