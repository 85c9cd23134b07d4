/** Puts the parts together. */

import { Api } from "./api.js";
import { App } from "./app.js";
import { setUpKeys } from "./keys.js";
import { loadSettings } from "./settings.js";
import { Store } from "./store.js";
import { Composer } from "./view/composer.js";
import { askForKey, setUpDialogs, toggleDialog } from "./view/dialogs.js";
import { byId } from "./view/dom.js";
import { Empty } from "./view/empty.js";
import { Header } from "./view/header.js";
import { Sheet } from "./view/sheet.js";
import { Sidebar } from "./view/sidebar.js";
import { Transcript } from "./view/transcript.js";
import { openWriting } from "./writing.js";

setUpDialogs();
const app = new App(new Api(askForKey), await Store.open(), openWriting(), loadSettings());
new Header(app);
new Empty(app);
new Sheet(app);
const sidebar = new Sidebar(app);
const transcript = new Transcript(app);
const composer = new Composer(app, () => transcript.editLast());

const startNew = () => (app.startNew(), composer.focus());
const help = () => toggleDialog(byId("help"));
byId("open-help").addEventListener("click", help);
byId("open-sheet").addEventListener("click", () => toggleDialog(byId("sheet")));
byId("toggle-theme").addEventListener("click", () => app.say(`${window.toggleTheme() === "dark" ? "Dark" : "Light"} theme.`));
byId("new-chat").addEventListener("click", () => composer.focus());
byId("top-new").addEventListener("click", startNew);
// Not by its address, which names the conversation that is open.
byId("skip").addEventListener("click", (event) => (event.preventDefault(), composer.focus()));
setUpKeys({
  startNew,
  help,
  focusPrompt: () => composer.focus(),
  focusSearch: () => sidebar.focusSearch(),
  answerNow: () => app.answerNow(),
  stop: () => (app.run ? (app.stop(), true) : false),
  closeSidebar: () => (byId("stage").inert ? (sidebar.show(false), true) : false),
});

await app.load();
// The conversation that was open last is open again: its id is in the address, so that back and bookmarks work.
const named = () => location.hash.slice(1);
if (app.conversations.has(named())) app.open(named());
else app.startNew();
app.addEventListener("conversation", () => {
  const hash = app.conversations.has(app.current.id) ? `#${app.current.id}` : "";
  if (hash !== location.hash) history.pushState(null, "", hash || location.pathname);
});
addEventListener("popstate", () => (app.conversations.has(named()) ? app.open(named()) : app.startNew()));
addEventListener("pagehide", () => app.leave());
composer.focus();
await app.connect();
