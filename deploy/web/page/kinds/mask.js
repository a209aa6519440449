/**
 * mask: a class for each pixel of the face's crop, as
 * `{labels, size: [h, w], map: [[a, b, x], [c, d, y]], runs: [[class, length], ...]}`; the first label is the
 * background, 255 is where the crop shows nothing of the photo. `map` leads from the crop's pixels (x, y) to the
 * photo's, both at their centres.
 */

import { percent, plain } from "../words.js";
import { bars } from "./bars.js";

const OUTSIDE = 255;
const GOLDEN = 0.618034; // of the circle of hues: neighbouring classes lie far apart
const FIRST_HUE = 0.45; // the first classes cover most of a face, and a blue one would look ill

/** @typedef {{labels: string[], size: [number, number], map: number[][], runs: [number, number][]}} Mask */

/** Red, green and blue of a mask's class. @param {number} index @returns {[number, number, number]} */
export function colourOf(index) {
  const hue = ((FIRST_HUE + index * GOLDEN) % 1) * 6;
  const [saturation, bright] = index % 2 ? [0.62, 1] : [0.5, 0.9];
  const channel = (/** @type {number} */ shift) => {
    const k = (shift + hue) % 6;
    return Math.round(255 * bright * (1 - saturation * Math.max(0, Math.min(k, 4 - k, 1))));
  };
  return [channel(5), channel(3), channel(1)];
}

/** @param {number} index */
function cssOf(index) {
  return `rgb(${colourOf(index).join(" ")})`;
}

/** @param {Mask} mask @returns {{index: number, label: string, share: number}[]} of what the crop shows of the photo */
function areas({ labels, runs }) {
  const counts = new Array(256).fill(0);
  for (const [id, length] of runs) counts[id] += length;
  const seen = counts.slice(0, OUTSIDE).reduce((sum, count) => sum + count, 0) || 1;
  return labels.map((label, index) => ({ index, label, share: counts[index] / seen }));
}

/** Pictures of masks: a face is drawn again and again while its layers are switched. @type {WeakMap<Mask, OffscreenCanvas>} */
const pictures = new WeakMap();

/** @param {Mask} mask */
function pictureOf(mask) {
  const known = pictures.get(mask);
  if (known) return known;
  const [height, width] = mask.size;
  const canvas = new OffscreenCanvas(width, height);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const image = context.createImageData(width, height);
  let place = 0;
  for (const [id, length] of mask.runs) {
    if (id !== 0 && id !== OUTSIDE) {
      const [red, green, blue] = colourOf(id);
      for (let at = place * 4; at < (place + length) * 4; at += 4) image.data.set([red, green, blue, 255], at);
    }
    place += length;
  }
  context.putImageData(image, 0, 0);
  pictures.set(mask, canvas);
  return canvas;
}

/** @type {import("./kind.js").Kind} */
export const mask = {
  name: "mask",
  layer: "Masks",

  show(_task, answer) {
    const all = areas(answer).map(({ index, label, share }) => ({
      label,
      share,
      colour: index === 0 ? undefined : cssOf(index),
    }));
    return bars(all.filter(({ share }) => share > 0), { first: 4 });
  },

  brief(_task, answer) {
    const largest = areas(answer).slice(1).toSorted((a, b) => b.share - a.share);
    const text = largest.slice(0, 2).filter(({ share }) => share > 0).map(({ label, share }) => `${plain(label)} ${percent(share)}`);
    return text.join(", ") || "none";
  },

  columns(task) {
    return task.labels.map((label) => `${task.name}.${label}`);
  },

  cells(_task, answer) {
    return areas(answer).map(({ share }) => Number(share.toFixed(4)));
  },

  paint({ context, opacity }, _task, answer) {
    const [[a, b, x], [c, d, y]] = answer.map;
    const picture = pictureOf(answer); // it throws for a mask that is none, and the context is still as it was
    context.save();
    context.globalAlpha = opacity;
    context.transform(a, c, b, d, x + 0.5, y + 0.5);
    context.drawImage(picture, -0.5, -0.5);
    context.restore();
  },

  legend(_task, answer) {
    return areas(answer)
      .filter(({ index, share }) => index > 0 && share > 0)
      .map(({ index, label }) => ({ text: plain(label), colour: cssOf(index) }));
  },
};
