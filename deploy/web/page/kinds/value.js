/** value: one number in a unit, as `{unit: number}`; its expected error as the same. */

import { number, plain } from "../words.js";
import { reachOf } from "./errors.js";

/** @type {import("./kind.js").Kind} */
export const value = {
  name: "value",

  /** Its headline has all of it. */
  show() {
    return null;
  },

  /** "31 ± 4 years": four of five true numbers lie within. */
  brief(task, answer, error) {
    const [[unit, amount]] = Object.entries(answer);
    const reach = reachOf(task, error?.[unit]);
    if (reach === null) return `${number(amount, 1)} ${plain(unit)}`;
    const digits = reach < 1 ? 1 : 0; // as many as the reach leaves a meaning
    return `${number(amount, digits)} ± ${number(reach, digits)} ${plain(unit)}`;
  },

  headline(task, answer, error) {
    return value.brief(task, answer, error);
  },

  columns(task) {
    return task.error ? [task.name, `${task.name}.error`] : [task.name];
  },

  cells(task, answer, error) {
    const cells = Object.values(answer).slice(0, 1);
    return task.error ? [...cells, Object.values(error ?? {})[0] ?? ""] : cells;
  },
};
