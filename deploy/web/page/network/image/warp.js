/** OpenCV's `warpAffine` with INTER_LINEAR and a black border, with its fixed-point places and weights. */

import { inverted } from "./affine.js";
import { rint } from "../numbers.js";
import { blank } from "./pixels.js";

/** @import { Affine } from "./affine.js" */
/** @import { Pixels } from "./pixels.js" */

// Places are known to 1/32 of a pixel; sums on the way have 10 bits behind the point, weights 15.
const PLACE_BITS = 5;
const SUM_BITS = 10;
const WEIGHT_BITS = 15;
const PARTS = 1 << PLACE_BITS;

const WEIGHTS = bilinearWeights();

/**
 * @param {Pixels} pixels
 * @param {Affine} forward  from the pixels to the crop's, both at their centres
 * @param {number} size  the crop's side
 * @returns {Pixels}
 */
export function warpAffine(pixels, forward, size) {
  const [a, b, c, d, e, f] = inverted(forward);
  const crop = blank(size, size);
  const one = 1 << SUM_BITS;
  const half = one / PARTS / 2;
  const acrossX = new Int32Array(size);
  const acrossY = new Int32Array(size);
  for (let x = 0; x < size; x++) {
    acrossX[x] = rint(a * x * one);
    acrossY[x] = rint(d * x * one);
  }
  const { width, height, data } = pixels;
  const stride = width * 3;
  let to = 0;
  for (let y = 0; y < size; y++) {
    const startX = rint((b * y + c) * one) + half;
    const startY = rint((e * y + f) * one) + half;
    for (let x = 0; x < size; x++, to += 3) {
      const placeX = (startX + acrossX[x]) >> (SUM_BITS - PLACE_BITS);
      const placeY = (startY + acrossY[x]) >> (SUM_BITS - PLACE_BITS);
      const column = placeX >> PLACE_BITS;
      const row = placeY >> PLACE_BITS;
      if (column < -1 || row < -1 || column >= width || row >= height) continue;
      const weights = ((placeY & (PARTS - 1)) * PARTS + (placeX & (PARTS - 1))) * 4;
      const from = row * stride + column * 3;
      for (let channel = 0; channel < 3; channel++) {
        let sum = 1 << (WEIGHT_BITS - 1);
        if (row >= 0) {
          if (column >= 0) sum += data[from + channel] * WEIGHTS[weights];
          if (column + 1 < width) sum += data[from + 3 + channel] * WEIGHTS[weights + 1];
        }
        if (row + 1 < height) {
          if (column >= 0) sum += data[from + stride + channel] * WEIGHTS[weights + 2];
          if (column + 1 < width) sum += data[from + stride + 3 + channel] * WEIGHTS[weights + 3];
        }
        crop.data[to + channel] = sum >> WEIGHT_BITS;
      }
    }
  }
  return crop;
}

/** By (y, x) in parts of a pixel, the weights of the four pixels: together one. */
function bilinearWeights() {
  const weights = new Int32Array(PARTS * PARTS * 4);
  for (let y = 0, at = 0; y < PARTS; y++) {
    for (let x = 0; x < PARTS; x++, at += 4) {
      const [right, below] = [x / PARTS, y / PARTS];
      weights[at] = rint((1 - below) * (1 - right) * (1 << WEIGHT_BITS));
      weights[at + 1] = rint((1 - below) * right * (1 << WEIGHT_BITS));
      weights[at + 2] = rint(below * (1 - right) * (1 << WEIGHT_BITS));
      weights[at + 3] = rint(below * right * (1 << WEIGHT_BITS));
    }
  }
  return weights;
}
