/** One face cut out of the photo, with what is drawn on it. */

import { h, svg } from "../dom.js";
import { BOXES, faceGroup, paintAreas } from "./overlay.js";

/** @import { State } from "../state.js" */
/** @import { Photo } from "../photos/photo.js" */

const SIDE = 168; // CSS pixels
const AROUND = 1.7; // the cut's side to the box's: masks reach beyond it

/**
 * @param {State} state
 * @param {Photo} photo
 * @param {number} index
 * @returns {HTMLElement}
 */
export function closeUp(state, photo, index) {
  const frame = h("div", { class: "close-up", "aria-hidden": "true" });
  const { answer, description } = photo;
  if (!answer || !description) return frame;
  const [x0, y0, x1, y1] = answer.faces[index].box;
  const side = Math.max(8, x1 - x0, y1 - y0) * AROUND;
  const [left, top] = [(x0 + x1 - side) / 2, (y0 + y1 - side) / 2];
  const view = {
    tasks: description.tasks,
    // This face alone: those around it are of no interest here.
    answer: { ...answer, faces: [answer.faces[index]] },
    selected: -1,
    unit: side / SIDE,
    isShown: (/** @type {string} */ layer) => layer !== BOXES && state.isShown(layer),
    opacity: state.opacity,
  };
  const dense = Math.min(2, window.devicePixelRatio || 1);
  const canvas = h("canvas", { width: SIDE * dense, height: SIDE * dense });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.imageSmoothingQuality = "high";
  context.scale((SIDE * dense) / side, (SIDE * dense) / side);
  context.translate(-left, -top);
  if (state.picture) context.drawImage(state.picture, 0, 0, answer.width, answer.height);
  paintAreas(context, view);
  const group = faceGroup(view, 0);
  for (const name of ["role", "tabindex", "aria-label", "aria-pressed", "data-face"]) group.removeAttribute(name);
  frame.append(canvas, svg("svg", { class: "overlay", viewBox: `${left} ${top} ${side} ${side}` }, group));
  return frame;
}
