/** Faces over the photo: boxes, points and axes as SVG, areas on a canvas below; both in the photo's pixels. */

import { svg } from "../dom.js";
import { answersOf, hiddenPoints } from "../kinds/index.js";

/** @import { Answer, Task } from "../sources/source.js" */

export const BOXES = "Boxes";
const NUMBERED_FROM = 2; // faces: one alone needs no number
const SMALLEST_NUMBERED = 34; // pixels of the screen: a number would hide a smaller face

/**
 * @typedef {object} View
 * @property {Task[]} tasks
 * @property {Answer} answer
 * @property {number} selected  face; -1: none
 * @property {number} unit  the photo's pixels to one of the screen's
 * @property {(layer: string) => boolean} isShown
 * @property {number} opacity  of areas
 */

/**
 * A face's group: a button to select it, and what is drawn of it.
 * @param {View} view
 * @param {number} index
 * @returns {SVGElement}
 */
export function faceGroup({ tasks, answer, selected, unit, isShown }, index) {
  const face = answer.faces[index];
  const [x0, y0, x1, y1] = face.box;
  const rectangle = { x: x0, y: y0, width: Math.max(0, x1 - x0), height: Math.max(0, y1 - y0) };
  const isSelected = index === selected;
  const group = svg("g", {
    "data-face": index + 1,
    class: isSelected ? "face selected" : "face",
    role: "button",
    tabindex: isSelected || (selected < 0 && !index) ? 0 : -1,
    "aria-label": `Face ${index + 1}`,
    "aria-pressed": String(isSelected),
  });
  const outline = `M${x0} ${y0}H${x1}V${y1}H${x0}Z`;
  group.append(svg("path", { class: "hit", d: outline }));
  if (isShown(BOXES)) {
    const rounding = { rx: Math.min(4 * unit, rectangle.width / 8) };
    const [behind, box] = ["behind", "box"].map((name) => svg("rect", { class: name, ...rectangle, ...rounding }));
    group.append(behind, box);
  }
  const unseen = hiddenPoints(tasks, face);
  const hidden = (/** @type {string} */ task) => unseen.get(task) ?? new Set();
  for (const { task, kind, answer: value, error } of answersOf(tasks, face)) {
    if (kind.draw && isShown(kind.layer ?? "")) group.append(...kind.draw({ unit, box: face.box, hidden }, task, value, error));
  }
  const isLarge = rectangle.width >= SMALLEST_NUMBERED * unit;
  if (isShown(BOXES) && answer.faces.length >= NUMBERED_FROM && (isLarge || isSelected)) {
    group.append(number(index, face.box, unit));
  }
  return group;
}

/** @param {number} index @param {[number, number, number, number]} box @param {number} unit */
function number(index, [x0, y0, x1], unit) {
  const text = String(index + 1);
  const size = Math.min(11, Math.max(8, ((x1 - x0) / unit) * 0.18)) * unit;
  const width = (text.length * 0.62 + 0.75) * size;
  const [left, top] = [Math.max(0, x0), Math.max(0, y0 - size * 1.5)];
  const middle = { x: left + width / 2, y: top + size * 0.72, "font-size": size };
  return svg(
    "g",
    { class: "tag" },
    svg("rect", { x: left, y: top, width, height: size * 1.45, rx: size * 0.3 }),
    svg("text", { ...middle, "text-anchor": "middle", "dominant-baseline": "central" }, text),
  );
}

/**
 * Areas of all faces, on a context whose units are the photo's pixels.
 * @param {CanvasRenderingContext2D} context
 * @param {View} view
 */
export function paintAreas(context, { tasks, answer, isShown, opacity }) {
  for (const face of answer.faces) {
    const painted = answersOf(tasks, face).find(({ kind }) => kind.paint); // a second one would hide the first
    if (painted && isShown(painted.kind.layer ?? "")) {
      painted.kind.paint?.({ context, opacity }, painted.task, painted.answer);
    }
  }
}
