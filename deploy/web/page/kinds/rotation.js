/**
 * rotation: three angles in degrees, as `{yaw, pitch, roll}`, drawn as the face's axes; their expected errors as the
 * same, drawn as whiskers.
 */

import { h, svg } from "../dom.js";
import { number, plain } from "../words.js";
import { reachOf } from "./errors.js";

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

/**
 * The way of the forward axis' end while one of the angles goes from its lower to its upper bound.
 * @param {number[]} angles
 * @param {number} turn  which of them
 * @param {number} reach  in degrees
 * @returns {[number, number][]}
 */
function arc(angles, turn, reach) {
  const steps = 8;
  return Array.from({ length: steps + 1 }, (_, step) => {
    const turned = angles.with(turn, angles[turn] + reach * ((2 * step) / steps - 1));
    const [, , forward] = axesOf(turned);
    return [forward[0], forward[1]];
  });
}

/**
 * An angle's interval on its bar.
 * @param {number} degrees
 * @param {number | null} reach
 */
function whisker(degrees, reach) {
  if (reach === null) return null;
  const [low, high] = [degrees - reach, degrees + reach].map((end) => Math.max(-1, Math.min(1, end / WIDEST)) * 50 + 50);
  return h("i", { class: "whisker", style: { left: `${low}%`, width: `${high - low}%` } });
}

/** @type {import("./kind.js").Kind} */
export const rotation = {
  name: "rotation",
  layer: "Pose axes",

  show(task, answer, error) {
    const rows = Object.entries(answer).map(([label, degrees]) => {
      const reach = reachOf(task, error?.[label]);
      const share = Math.min(1, Math.abs(degrees) / WIDEST) * 50;
      const style = { width: `${share}%`, left: degrees < 0 ? `${50 - share}%` : "50%" };
      return h(
        "li",
        { class: "bar angle" },
        h("span", { class: "label" }, plain(label)),
        h("span", { class: "track", "aria-hidden": "true" }, h("b", { class: "fill", style }), whisker(degrees, reach), h("i", { class: "zero" })),
        h("span", { class: "number" }, reach === null ? `${number(degrees, 1)}°` : `${number(degrees, 0)} ± ${number(reach, 0)}°`),
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
    const ends = task.error ? ["", ".error"] : [""];
    return task.labels.flatMap((label) => ends.map((end) => `${task.name}.${label}${end}`));
  },

  cells(task, answer, error) {
    return task.labels.flatMap((label) => (task.error ? [answer[label], error?.[label] ?? ""] : [answer[label]]));
  },

  /**
   * x to the face's side (red), y to its chin (green), z out of the face (blue); the nearest last. Whiskers cross the
   * forward axis' end: along one the yaw, along the other the pitch of four of five faces lies.
   */
  draw({ box, unit }, task, answer, error) {
    const [x0, y0, x1, y1] = box;
    const side = Math.max(1, Math.min(x1 - x0, y1 - y0));
    const [x, y, length] = [(x0 + x1) / 2, (y0 + y1) / 2, side * 0.55];
    const width = Math.min(2.6 * unit, Math.max(1.2 * unit, side / 50));
    const angles = Object.values(answer);
    const reaches = Object.keys(answer).map((label) => reachOf(task, error?.[label]));
    const axes = axesOf(angles).map((axis, index) => ({ axis, name: "xyz"[index] }));
    axes.sort((a, b) => b.axis[2] - a.axis[2]);
    const drawn = axes.map(({ axis, name }) => {
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
    for (const turn of [0, 1]) {
      const reach = reaches[turn];
      if (reach === null) continue;
      const path = arc(angles, turn, reach).map(([dx, dy]) => `${x + dx * length} ${y + dy * length}`);
      drawn.push(svg("path", { class: "whisker", d: `M${path.join("L")}`, "stroke-width": width * 0.6 }));
    }
    return drawn;
  },
};
