/** rotation: three angles in degrees, as `{yaw, pitch, roll}`, drawn as the face's axes. */

import { h, svg } from "../dom.js";
import { number, plain } from "../words.js";

const WIDEST = 90; // degrees to each side of an angle's bar

/**
 * Unit vectors of the face's x, y and forward axis in the photo (x right, y down, z into the scene).
 *
 * The face's frame is the camera's when it looks straight at it: R = Rz(roll) Ry(-yaw) Rx(-pitch), whose columns
 * are the axes; the face looks along -z. yaw > 0 turns it toward the photo's right, pitch > 0 lifts the chin,
 * roll > 0 tilts the head clockwise in the photo.
 *
 * @param {number[]} angles  yaw, pitch, roll in degrees
 * @returns {[number, number, number][]}
 */
export function axesOf(angles) {
  const [yaw = 0, pitch = 0, roll = 0] = angles.map((degrees) => (degrees * Math.PI) / 180);
  const [cy, sy, cp, sp, cr, sr] = [yaw, pitch, roll].flatMap((a) => [Math.cos(a), Math.sin(a)]);
  return [
    [cr * cy, sr * cy, sy],
    [cr * sy * sp - sr * cp, sr * sy * sp + cr * cp, -cy * sp],
    [cr * sy * cp + sr * sp, sr * sy * cp - cr * sp, -cy * cp],
  ];
}

/** @type {import("./kind.js").Kind} */
export const rotation = {
  name: "rotation",
  layer: "Pose axes",

  show(_task, answer) {
    const rows = Object.entries(answer).map(([label, degrees]) => {
      const share = Math.min(1, Math.abs(degrees) / WIDEST) * 50;
      const style = { width: `${share}%`, left: degrees < 0 ? `${50 - share}%` : "50%" };
      return h(
        "li",
        { class: "bar angle" },
        h("span", { class: "label" }, plain(label)),
        h("span", { class: "track", "aria-hidden": "true" }, h("b", { class: "fill", style }), h("i", { class: "zero" })),
        h("span", { class: "number" }, `${number(degrees, 1)}°`),
      );
    });
    return h("ol", { class: "bars" }, rows);
  },

  brief(_task, answer) {
    return Object.entries(answer)
      .map(([label, degrees]) => `${plain(label)} ${number(degrees, 0)}°`)
      .join(", ");
  },

  columns(task) {
    return task.labels.map((label) => `${task.name}.${label}`);
  },

  cells(task, answer) {
    return task.labels.map((label) => answer[label]);
  },

  /** x to the face's side (red), y to its chin (green), z out of the face (blue); the nearest last. */
  draw({ box, unit }, _task, answer) {
    const [x0, y0, x1, y1] = box;
    const side = Math.max(1, Math.min(x1 - x0, y1 - y0));
    const [x, y, length] = [(x0 + x1) / 2, (y0 + y1) / 2, side * 0.55];
    const width = Math.min(2.6 * unit, Math.max(1.2 * unit, side / 50));
    const axes = axesOf(Object.values(answer)).map((axis, index) => ({ axis, name: "xyz"[index] }));
    axes.sort((a, b) => b.axis[2] - a.axis[2]);
    return axes.map(({ axis, name }) => {
      const [x2, y2] = [x + axis[0] * length, y + axis[1] * length];
      return svg(
        "g",
        { class: `axis axis-${name}` },
        svg("line", { class: "back", x1: x, y1: y, x2, y2, "stroke-width": width * 2.1 }),
        svg("circle", { class: "back", cx: x2, cy: y2, r: width * 1.9 }),
        svg("line", { x1: x, y1: y, x2, y2, "stroke-width": width }),
        svg("circle", { cx: x2, cy: y2, r: width * 1.2 }),
      );
    });
  },
};
