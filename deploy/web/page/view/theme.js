/** Light, dark, or as the system has it; kept in the address alone (`#theme=dark`). */

import { byId, fill, h, icon } from "../dom.js";

const THEMES = ["auto", "light", "dark"];

export function switchTheme() {
  const button = byId("theme");
  let theme = "auto";
  const set = (/** @type {string} */ next) => {
    theme = THEMES.includes(next) ? next : "auto";
    document.documentElement.dataset.theme = theme;
    fill(button, icon("contrast"), h("span", { class: "words" }, `Theme: ${theme}`));
  };
  const read = () => {
    const named = new URLSearchParams(location.hash.slice(1)).get("theme");
    if (named) set(named);
  };
  button.addEventListener("click", () => {
    set(THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]);
    const values = new URLSearchParams(location.hash.slice(1));
    if (theme === "auto") values.delete("theme");
    else values.set("theme", theme);
    history.replaceState(null, "", `${location.pathname}${location.search}${values.size ? `#${values}` : ""}`);
  });
  addEventListener("hashchange", read);
  set("auto");
  read();
}
