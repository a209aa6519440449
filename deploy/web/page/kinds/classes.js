/** classes: one label of several, as `{label, probabilities: {label: p}}`. */

import { percent, plain } from "../words.js";
import { bars } from "./bars.js";

/** @type {import("./kind.js").Kind} */
export const classes = {
  name: "classes",

  show(_task, answer) {
    const all = Object.entries(answer.probabilities).map(([label, share]) => ({ label, share }));
    return bars(all, { first: 3 });
  },

  brief(_task, { label, probabilities }) {
    return `${plain(label)} ${percent(probabilities[label])}`;
  },

  headline(task, answer) {
    return classes.brief(task, answer);
  },

  columns(task) {
    return [task.name, `${task.name}_probability`, ...task.labels.map((label) => `${task.name}.${label}`)];
  },

  cells(task, { label, probabilities }) {
    return [label, probabilities[label], ...task.labels.map((each) => probabilities[each])];
  },
};
