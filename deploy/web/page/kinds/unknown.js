/** What the page has no module for: its JSON, as it was answered. */

import { h } from "../dom.js";

/** @type {import("./kind.js").Kind} */
export const unknown = {
  name: "",

  show(_task, answer) {
    return h("pre", { class: "json", tabindex: "0" }, JSON.stringify(answer, null, 1));
  },

  brief(_task, answer) {
    const text = JSON.stringify(answer) ?? "";
    return text.length > 40 ? `${text.slice(0, 39)}…` : text;
  },

  columns(task) {
    return [task.name];
  },

  cells(_task, answer) {
    return [JSON.stringify(answer)];
  },
};
