/** Which turns are being written, known to every tab of the page. */

const NAME = "tina-azr.writing";
const SILENCE_MS = 2000;

/**
 * @typedef {object} Writing
 * @property {(turn: string) => () => void} hold This tab writes the turn, until the function that this returns is called, or the tab is gone.
 * @property {(turn: string) => Promise<void>} released Until no tab writes the turn any more.
 */

/** The browser's own locks, where it has them: over plain HTTP from another machine it has none. @returns {Writing} */
export const openWriting = () => (navigator.locks ? new Locks() : new Calls());

/** Locks that are released as soon as their tab is gone, even after a crash. */
class Locks {
  hold(turn) {
    let release;
    const held = new Promise((resolve) => (release = resolve));
    navigator.locks.request(turn, () => held);
    return release;
  }

  async released(turn) {
    await navigator.locks.request(turn, () => {});
  }
}

/** Tabs ask each other; one that is gone does not answer. */
class Calls {
  constructor() {
    /** @type {Set<string>} */
    this.held = new Set();
    /** @type {Set<string>} Turns that another tab has said it writes, since they were asked for. */
    this.heard = new Set();
    this.channel = new BroadcastChannel(NAME);
    this.channel.onmessage = ({ data: { asked, held } }) => {
      if (this.held.has(asked)) this.channel.postMessage({ held: asked });
      if (held) this.heard.add(held);
    };
  }

  hold(turn) {
    this.held.add(turn);
    return () => this.held.delete(turn);
  }

  async released(turn) {
    do {
      this.heard.delete(turn);
      this.channel.postMessage({ asked: turn });
      await new Promise((resolve) => setTimeout(resolve, SILENCE_MS));
    } while (this.held.has(turn) || this.heard.has(turn));
  }
}
