/** points: places in the photo, as `[[x, y], ...]` in the labels' order. */

import { h, svg } from "../dom.js";
import { counted } from "../words.js";

/** @type {import("./kind.js").Kind} */
export const points = {
  name: "points",
  layer: "Landmarks",

  show(_task, answer) {
    return h("p", { class: "line" }, `${counted(answer.length, "point")}, drawn on the face`);
  },

  brief(_task, answer) {
    return counted(answer.length, "point");
  },

  columns(task) {
    return task.labels.flatMap((label) => [`${task.name}.${label}.x`, `${task.name}.${label}.y`]);
  },

  cells(_task, answer) {
    return answer.flat();
  },

  /** A dot for a point, a ring for one that can't be seen. */
  draw({ box, unit, hidden }, task, answer) {
    const side = Math.min(box[2] - box[0], box[3] - box[1]);
    const radius = Math.min(2.6 * unit, Math.max(0.7 * unit, side / 95));
    const unseen = hidden(task.name);
    return answer.map((/** @type {[number, number]} */ [x, y], /** @type {number} */ index) => {
      const isHidden = unseen.has(index);
      // A place's middle, as its pixel may be many of the screen's.
      const at = { cx: x + 0.5, cy: y + 0.5, r: isHidden ? radius * 1.6 : radius };
      return svg("circle", { class: isHidden ? "point unseen" : "point", ...at, "stroke-width": radius * 0.8 });
    });
  },
};
