/**
 * points: places in the photo, as `[[x, y], ...]` in the labels' order; the expected distances of the true ones as
 * `[pixels, ...]`, drawn as rings.
 */

import { h, svg } from "../dom.js";
import { counted } from "../words.js";
import { reachOf } from "./errors.js";

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
    const places = task.labels.flatMap((label) => [`${task.name}.${label}.x`, `${task.name}.${label}.y`]);
    return task.error ? [...places, ...task.labels.map((label) => `${task.name}.${label}.error`)] : places;
  },

  cells(task, answer, error) {
    return task.error ? [...answer.flat(), ...task.labels.map((_, index) => error?.[index] ?? "")] : answer.flat();
  },

  /** A dot for a point, a circle for one that can't be seen; a ring in which four of five true ones lie, where it is larger. */
  draw({ box, unit, hidden }, task, answer, error) {
    const side = Math.min(box[2] - box[0], box[3] - box[1]);
    const radius = Math.min(2.6 * unit, Math.max(0.7 * unit, side / 95));
    const unseen = hidden(task.name);
    return answer.flatMap((/** @type {[number, number]} */ [x, y], /** @type {number} */ index) => {
      const isHidden = unseen.has(index);
      // A place's middle, as its pixel may be many of the screen's.
      const at = { cx: x + 0.5, cy: y + 0.5, r: isHidden ? radius * 1.6 : radius };
      const reach = reachOf(task, error?.[index]) ?? 0;
      const ring = { class: "reach", cx: at.cx, cy: at.cy, r: reach, "stroke-width": Math.min(unit, radius * 0.5) };
      const dot = svg("circle", { class: isHidden ? "point unseen" : "point", ...at, "stroke-width": radius * 0.8 });
      return reach > at.r ? [svg("circle", ring), dot] : [dot];
    });
  },
};
