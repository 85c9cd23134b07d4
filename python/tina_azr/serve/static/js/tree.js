/** A conversation is a tree: editing or regenerating adds a sibling, nothing is overwritten. Pure functions of its plain data. */

/** @typedef {import("./types.js").Conversation} Conversation @typedef {import("./types.js").Turn} Turn */

const slot = (parent) => parent ?? "root";

/** 128 random bits. (`crypto.randomUUID` is missing over plain HTTP.) */
export function newId() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @returns {Conversation} */
export function newConversation(system = "") {
  const now = Date.now();
  return { id: newId(), title: "New chat", named: false, created: now, updated: now, system, turns: [], chosen: {} };
}

/** Add a turn under `parent` and show it. @param {Conversation} conversation @param {Partial<Turn>} fields @returns {Turn} */
export function addTurn(conversation, fields) {
  const turn = { id: newId(), parent: null, role: "user", content: "", created: Date.now(), ...fields };
  conversation.turns.push(turn);
  conversation.chosen[slot(turn.parent)] = turn.id;
  conversation.updated = turn.created;
  return turn;
}

/** @param {Conversation} conversation @param {string | null} parent */
export function children(conversation, parent) {
  return conversation.turns.filter((turn) => turn.parent === parent);
}

/** The turns that are shown, from the first to the last. @param {Conversation} conversation @returns {Turn[]} */
export function shownTurns(conversation) {
  const shown = [];
  for (let parent = null; ; ) {
    const options = children(conversation, parent);
    if (!options.length) return shown;
    const turn = options.find(({ id }) => id === conversation.chosen[slot(parent)]) ?? options.at(-1);
    shown.push(turn);
    parent = turn.id;
  }
}

/** The turns before this one, on its own branch. @param {Conversation} conversation @param {Turn} turn @returns {Turn[]} */
export function turnsBefore(conversation, turn) {
  const byId = new Map(conversation.turns.map((each) => [each.id, each]));
  const before = [];
  for (let at = byId.get(turn.parent); at; at = byId.get(at.parent)) before.unshift(at);
  return before;
}

/** Show the sibling `step` places further. @param {Conversation} conversation @param {Turn} turn @param {number} step */
export function chooseSibling(conversation, turn, step) {
  const options = children(conversation, turn.parent);
  const target = options[options.indexOf(turn) + step];
  if (target) conversation.chosen[slot(turn.parent)] = target.id;
  return target ?? turn;
}

/** Words of a prompt that make a title: fences and their tags say nothing. @param {string} prompt */
export function titleOf(prompt) {
  const words = prompt.replace(/^```\w*$/gm, " ").replace(/\s+/g, " ").trim();
  return words.length > 64 ? `${words.slice(0, 63).trimEnd()}…` : words || "New chat";
}

/** Whether title or any turn holds the words. @param {Conversation} conversation @param {string} words */
export function matches(conversation, words) {
  const wanted = words.trim().toLowerCase();
  return [conversation.title, ...conversation.turns.map((turn) => turn.content)].some((text) => text.toLowerCase().includes(wanted));
}
