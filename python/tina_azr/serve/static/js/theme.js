/** Light, dark, or what the system says. A classic script in the head, so that the first paint is right already. */

(() => {
  const KEY = "tina-azr.theme";
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => localStorage.getItem(KEY);
  const apply = () => (root.dataset.theme = chosen() ?? (system.matches ? "dark" : "light"));
  system.addEventListener("change", apply);
  apply();
  /** Switch; back at what the system says, follow the system again. */
  window.toggleTheme = () => {
    const next = root.dataset.theme === "dark" ? "light" : "dark";
    if (next === (system.matches ? "dark" : "light")) localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, next);
    apply();
    return next;
  };
})();
