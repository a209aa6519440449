/** value: one number in a unit, as `{unit: number}`. */

import { number, plain } from "../words.js";

/** @type {import("./kind.js").Kind} */
export const value = {
  name: "value",

  /** Its headline has all of it. */
  show() {
    return null;
  },

  brief(_task, answer) {
    const [[unit, amount]] = Object.entries(answer);
    return `${number(amount, 1)} ${plain(unit)}`;
  },

  headline(task, answer) {
    return value.brief(task, answer);
  },

  columns(task) {
    return [task.name];
  },

  cells(_task, answer) {
    return Object.values(answer).slice(0, 1);
  },
};
