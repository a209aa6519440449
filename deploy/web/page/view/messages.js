/** What happens, as a calm line (`status`), and what went wrong, as an alert with what can be done. */

import { byId, fill, h, icon } from "../dom.js";

/** @param {string} sentence */
export function say(sentence) {
  const status = byId("status");
  if (status.textContent !== sentence) status.textContent = sentence; // the same once more is not read out again
}

/**
 * @param {string} sentence
 * @param {{action?: {name: string, run: () => void} | null, about?: string}} [more]  `about`: by which `settle` finds it
 */
export function warn(sentence, { action = null, about = "" } = {}) {
  const alert = byId("alert");
  alert.dataset.about = about;
  const close = h("button", { type: "button", class: "quiet small icon-only", "aria-label": "Dismiss" }, icon("close"));
  close.addEventListener("click", () => settle(about));
  const run = action && h("button", { type: "button", class: "small" }, action.name);
  if (run && action) run.addEventListener("click", () => action.run());
  fill(alert, icon("warning"), h("p", {}, sentence), run, close);
}

/** Takes an alert away that is about this. @param {string} about */
export function settle(about) {
  const alert = byId("alert");
  if (alert.dataset.about === about) alert.replaceChildren();
}
