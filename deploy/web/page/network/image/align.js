/**
 * From a face in a photo to the network's crop, and back: `runtime.image.align`, for faces that the detector
 * found. The crop is upright and square: rotation comes from the line through the eyes, place and size from the
 * eyes and the mouth.
 */

import { composed, inverted, moved, single } from "./affine.js";
import { rint } from "../numbers.js";
import { blank, cut } from "./pixels.js";
import { resizeArea } from "./resample.js";
import { warpAffine } from "./warp.js";

/** @import { Affine } from "./affine.js" */
/** @import { Pixels } from "./pixels.js" */

const CROP_SCALE = 3.4; // the crop's side in units of the face's scale
const BOX_SCALE = 2.35; // a frontal face's box in the same units

/** Ways to cut a face out, by the name that a contract gives. */
export const CROPS = new Map([["aligned", alignFace]]);

/**
 * @param {Pixels} photo
 * @param {{box: ArrayLike<number>, landmarks: ArrayLike<number>, size: number}} face  box x0, y0, x1, y1;
 *   landmarks [5, 2]: right and left eye, nose tip, corners of the mouth; `size`: the crop's side
 * @returns {{crop: Pixels, toPhoto: Affine}} the map from the crop's pixels to the photo's, in single precision
 */
export function alignFace(photo, { box, landmarks, size }) {
  const frame = frameOfPoints(landmarks, photo) ?? frameOfBox(box);
  const zoom = size / frame.side;
  const cos = zoom * Math.cos(frame.angle);
  const sin = zoom * Math.sin(frame.angle);
  const [x, y] = frame.center;
  const middle = (size - 1) / 2;
  const forward = single([cos, sin, middle - (cos * x + sin * y), -sin, cos, middle - (-sin * x + cos * y)]);
  return { crop: warp(photo, forward, size), toPhoto: single(inverted(forward)) };
}

/**
 * Centre, angle in radians and the crop's side in pixels; null for points that can be of no face here.
 * @param {ArrayLike<number>} points
 * @param {Pixels} photo
 */
function frameOfPoints(points, { width, height }) {
  const longer = Math.max(width, height);
  for (let i = 0; i < 10; i++) {
    if (!(points[i] >= -2 * longer && points[i] <= 3 * longer)) return null; // NaN too
  }
  const line = [points[2] - points[0], points[3] - points[1]];
  const eyes = [(points[0] + points[2]) / 2, (points[1] + points[3]) / 2];
  const mouth = [(points[6] + points[8]) / 2, (points[7] + points[9]) / 2];
  // Of a face turned aside only the first shrinks, of one turned up or down only the second.
  const scale = Math.max(Math.hypot(line[0], line[1]), Math.hypot(mouth[0] - eyes[0], mouth[1] - eyes[1]));
  if (scale < 1) return null; // a tiny face whose points fall together
  const center = [(eyes[0] + mouth[0]) / 2, (eyes[1] + mouth[1]) / 2];
  const side = CROP_SCALE * scale;
  const outside = Math.max(-center[0], -center[1], center[0] - width, center[1] - height);
  if (outside > side / 4) return null;
  return { center, angle: Math.atan2(line[1], line[0]), side };
}

/** @param {ArrayLike<number>} box */
function frameOfBox(box) {
  const side = (CROP_SCALE / BOX_SCALE) * Math.max(box[2] - box[0], box[3] - box[1]);
  return { center: [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2], angle: 0, side };
}

/**
 * The `size` x `size` picture that `forward` makes of a photo; black where there is no photo. Large reductions go
 * through an area-averaged smaller picture first, as a bilinear warp alone skips pixels there.
 * @param {Pixels} photo
 * @param {Affine} forward
 * @param {number} size
 * @returns {Pixels}
 */
function warp(photo, forward, size) {
  const window = shownWindow(photo, forward, size);
  const { x0, y0, x1, y1 } = window;
  if (x0 === x1 || y0 === y1) return blank(size, size);
  const part = resizeArea(cut(photo, window), window.reduced);
  const sx = window.reduced.width / (x1 - x0);
  const sy = window.reduced.height / (y1 - y0);
  // From the reduced part's pixels to the photo's, in pixel centres.
  const back = /** @type {Affine} */ ([1 / sx, 0, 0.5 / sx + x0 - 0.5, 0, 1 / sy, 0.5 / sy + y0 - 0.5]);
  return warpAffine(part, composed(forward, back), size);
}

/**
 * The part of a photo that the crop shows, and the size to which it is averaged before it is warped.
 * @param {Pixels} photo
 * @param {Affine} forward
 * @param {number} size
 */
function shownWindow({ width, height }, forward, size) {
  const back = inverted(forward);
  const corners = [moved(back, -1, -1), moved(back, size, -1), moved(back, size, size), moved(back, -1, size)];
  const across = corners.map(([x]) => Math.fround(x));
  const down = corners.map(([, y]) => Math.fround(y));
  const x0 = clip(Math.floor(Math.min(...across)) - 2, 0, width);
  const y0 = clip(Math.floor(Math.min(...down)) - 2, 0, height);
  const x1 = clip(Math.ceil(Math.max(...across)) + 3, x0, width);
  const y1 = clip(Math.ceil(Math.max(...down)) + 3, y0, height);
  const [a, b, , d, e] = forward;
  const reduced = {
    width: Math.max(1, rint(factor(Math.hypot(a, d)) * (x1 - x0))),
    height: Math.max(1, rint(factor(Math.hypot(b, e)) * (y1 - y0))),
  };
  return { x0, y0, x1, y1, reduced };
}

/** @param {number} zoom */
function factor(zoom) {
  return zoom < 0.5 ? zoom : 1;
}

/**
 * @param {number} value
 * @param {number} low
 * @param {number} high
 */
function clip(value, low, high) {
  return Math.min(Math.max(value, low), high);
}
