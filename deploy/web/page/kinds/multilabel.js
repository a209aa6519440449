/** multilabel: independent labels, as `{label: p}`; whether points can be seen is a list, in the labels' order. */

import { h } from "../dom.js";
import { counted, percent, plain } from "../words.js";
import { bars } from "./bars.js";

/** @import { Task } from "../sources/source.js" */

const DEFAULT_THRESHOLD = 0.5; // of a task whose contract does not state it
const SEEN_AT_ONCE = 6;
const IN_A_CELL = 2;

/** @param {Task} task */
function thresholdOf(task) {
  return task.threshold ?? DEFAULT_THRESHOLD;
}

/**
 * @param {Task} task
 * @param {Record<string, number> | number[]} answer
 * @returns {{label: string, share: number}[]}
 */
function sharesOf(task, answer) {
  const entries = Array.isArray(answer)
    ? answer.map((share, index) => /** @type {const} */ ([task.labels[index] ?? String(index), share]))
    : Object.entries(answer);
  return entries.map(([label, share]) => ({ label, share }));
}

/** @type {import("./kind.js").Kind} */
export const multilabel = {
  name: "multilabel",

  show(task, answer) {
    const all = sharesOf(task, answer);
    const threshold = thresholdOf(task);
    const present = all.filter(({ share }) => share >= threshold).length;
    const fragment = document.createDocumentFragment();
    if (task.visible_points) {
      const text = `${present} of ${counted(all.length, "point")} can be seen`;
      fragment.append(h("p", { class: "line" }, text));
    } else if (!present) {
      fragment.append(h("p", { class: "line" }, `none from ${percent(threshold)} on`));
    }
    const first = task.visible_points ? 0 : Math.min(SEEN_AT_ONCE, present);
    fragment.append(bars(all, { first, threshold }));
    return fragment;
  },

  brief(task, answer) {
    const all = sharesOf(task, answer);
    const present = all.filter(({ share }) => share >= thresholdOf(task));
    if (task.visible_points) return `${present.length} of ${all.length}`;
    if (!present.length) return "none";
    const first = present.toSorted((a, b) => b.share - a.share).slice(0, IN_A_CELL);
    const text = first.map(({ label }) => plain(label)).join(", ");
    return present.length > IN_A_CELL ? `${text} +${present.length - IN_A_CELL}` : text;
  },

  columns(task) {
    return [task.name, ...task.labels.map((label) => `${task.name}.${label}`)];
  },

  cells(task, answer) {
    const all = sharesOf(task, answer);
    const active = all.filter(({ share }) => share >= thresholdOf(task)).map(({ label }) => label);
    const byLabel = new Map(all.map(({ label, share }) => [label, share]));
    return [active.join("|"), ...task.labels.map((label) => byLabel.get(label) ?? "")];
  },

  hiddenPoints(task, answer) {
    if (!task.visible_points) return null;
    const { task: name, indices } = task.visible_points;
    const hidden = new Set();
    sharesOf(task, answer).forEach(({ share }, place) => {
      const index = indices[place];
      if (share < thresholdOf(task) && typeof index === "number") hidden.add(index);
    });
    return { task: name, hidden };
  },
};
