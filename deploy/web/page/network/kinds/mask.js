/**
 * A class for each pixel. Head: class ids [H, W] of the crop. Answered as run lengths, with the map to the photo;
 * `OUTSIDE` where the crop reaches out of the photo.
 */

import { moved } from "../image/affine.js";
import { roundTo } from "../numbers.js";

/** @import { Geometry, Head, Kind } from "./index.js" */

const OUTSIDE = 255;
const SLACK = 0.01; // pixels: a map in single precision is no more exact

/** @type {Kind} */
export const mask = {
  name: "mask",
  tolerance: 0.005,
  answer: ({ labels }, head, geometry) => {
    const { toPhoto, size } = geometry;
    return {
      labels,
      size: [size, size],
      map: [toPhoto.slice(0, 3), toPhoto.slice(3)].map((row) => row.map((number) => roundTo(number, 6))),
      runs: runsOf(withOutside(head, geometry)),
    };
  },
  difference: (a, b) => Array.from(a).filter((id, i) => id !== b[i]).length / a.length,
};

/**
 * @param {Head} ids
 * @param {Geometry} geometry
 * @returns {Head}
 */
function withOutside(ids, { toPhoto, photo, size }) {
  const last = size - 1;
  const corners = [[0, 0], [last, 0], [0, last], [last, last]];
  if (corners.every(([x, y]) => isInside(moved(toPhoto, x, y), photo))) return ids;
  return ids.map((id, at) =>
    isInside(moved(toPhoto, at % size, Math.floor(at / size)), photo) ? id : OUTSIDE,
  );
}

/**
 * Whether a pixel's middle lies in a photo, whose first pixel begins at -0.5.
 * @param {[number, number]} place
 * @param {{width: number, height: number}} photo
 */
function isInside([x, y], { width, height }) {
  return x >= -0.5 - SLACK && x <= width - 0.5 + SLACK && y >= -0.5 - SLACK && y <= height - 0.5 + SLACK;
}

/**
 * Row by row, [class id, length] each.
 * @param {Head} ids
 * @returns {[number, number][]}
 */
function runsOf(ids) {
  /** @type {[number, number][]} */
  const runs = [];
  for (const id of ids) {
    const run = runs.at(-1);
    if (run?.[0] === id) run[1]++;
    else runs.push([id, 1]);
  }
  return runs;
}
