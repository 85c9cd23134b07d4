/** Conversations in IndexedDB: they stay in this browser. Other tabs hear of every change. */

const NAME = "tina-azr";
const TABLE = "conversations";

const done = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

export class Store {
  /** @param {IDBDatabase} database */
  constructor(database) {
    this.database = database;
    this.channel = new BroadcastChannel(NAME);
  }

  static async open() {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(TABLE, { keyPath: "id" });
    return new Store(await done(request));
  }

  /** @returns {Promise<import("./types.js").Conversation[]>} */
  all() {
    return done(this.#table("readonly").getAll());
  }

  /** @param {string} id @returns {Promise<import("./types.js").Conversation | undefined>} */
  one(id) {
    return done(this.#table("readonly").get(id));
  }

  /** @param {import("./types.js").Conversation} conversation */
  save(conversation) {
    return this.#write(conversation.id, (table) => table.put(conversation));
  }

  /** Have the other tabs look again. @param {string} id */
  tell(id) {
    this.channel.postMessage(id);
  }

  /** @param {string} id */
  remove(id) {
    return this.#write(id, (table) => table.delete(id));
  }

  /** @param {(id: string) => void} listener Called with the id of a conversation that another tab has changed. */
  onChangeElsewhere(listener) {
    this.channel.onmessage = ({ data }) => listener(data);
  }

  /** @param {string} id @param {(table: IDBObjectStore) => IDBRequest} change */
  async #write(id, change) {
    const table = this.#table("readwrite");
    const kept = done(change(table));
    // A page that goes away is not there to see the transaction end by itself.
    table.transaction.commit();
    await kept;
    this.tell(id);
  }

  #table(mode) {
    return this.database.transaction(TABLE, mode).objectStore(TABLE);
  }
}
