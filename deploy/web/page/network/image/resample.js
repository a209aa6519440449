/**
 * Pictures at another size: OpenCV's `resize` (INTER_AREA and INTER_LINEAR) and what `runtime.image.photo` makes
 * of it. The arithmetic is OpenCV's too, fixed-point weights included: a server's copies are made with it.
 */

import { rint } from "../numbers.js";
import { blank, cut } from "./pixels.js";

/** @import { Pixels } from "./pixels.js" */

const LITTLE = 1.5; // that a copy may be smaller without an average

/**
 * A part of a photo at another size. copy = photo * scale + offset, both measured from the outer edges.
 *
 * @typedef {object} Copy
 * @property {Pixels} pixels
 * @property {[number, number]} scale  x and y
 * @property {[number, number]} offset
 */

/**
 * `runtime.image.photo.copy_of`.
 * @param {Pixels} photo
 * @param {{width: number, height: number, part?: {x0: number, y0: number, x1: number, y1: number}}} size
 *   `part`: what to copy; all of it where it is missing
 * @returns {Copy}
 */
export function copyOf(photo, { width, height, part }) {
  const { x0, y0, x1, y1 } = part ?? { x0: 0, y0: 0, x1: photo.width, y1: photo.height };
  const pixels = resized(cut(photo, { x0, y0, x1, y1 }), { width, height });
  const scale = /** @type {[number, number]} */ ([width / (x1 - x0), height / (y1 - y0)]);
  return { pixels, scale, offset: [-(x0 * scale[0]), -(y0 * scale[1])] };
}

/**
 * @param {Pixels} pixels
 * @param {{width: number, height: number}} size
 * @returns {Pixels}
 */
function resized(pixels, size) {
  let shown = pixels;
  if (shown.width === size.width && shown.height === size.height) return shown;
  // Halves are averaged first, as the server averages them.
  while (
    Math.min(shown.width / size.width, shown.height / size.height) >= 2 &&
    shown.width % 2 === 0 &&
    shown.height % 2 === 0
  ) {
    shown = resizeArea(shown, { width: shown.width / 2, height: shown.height / 2 });
  }
  const shrinks = Math.max(shown.width / size.width, shown.height / size.height);
  return shrinks > LITTLE ? resizeArea(shown, size) : resizeLinear(shown, size);
}

/**
 * INTER_AREA: each new pixel is the mean of what it covers. For pictures that become smaller.
 * @param {Pixels} pixels
 * @param {{width: number, height: number}} size
 * @returns {Pixels}
 */
export function resizeArea(pixels, { width, height }) {
  const across = pixels.width / width;
  const down = pixels.height / height;
  if (across === 1 && down === 1) return pixels; // a halving that ended at the wanted size
  if (across < 1 || down < 1) return resizeLinear(pixels, { width, height });
  if (Number.isInteger(across) && Number.isInteger(down)) return wholeMeans(pixels, across, down);
  return means(pixels, { width, height });
}

/**
 * @param {Pixels} pixels
 * @param {number} across  pixels of each mean
 * @param {number} down
 * @returns {Pixels}
 */
function wholeMeans(pixels, across, down) {
  const small = blank(pixels.width / across, pixels.height / down);
  const { data } = pixels;
  const stride = pixels.width * 3;
  const share = Math.fround(1 / (across * down));
  const isQuarter = across === 2 && down === 2; // OpenCV rounds halves of these up
  let to = 0;
  for (let y = 0; y < small.height; y++) {
    for (let x = 0; x < small.width; x++) {
      const first = y * down * stride + x * across * 3;
      for (let channel = 0; channel < 3; channel++) {
        let sum = 0;
        for (let row = 0; row < down; row++) {
          let from = first + row * stride + channel;
          for (let column = 0; column < across; column++, from += 3) sum += data[from];
        }
        small.data[to++] = isQuarter ? (sum + 2) >> 2 : rint(Math.fround(sum * share));
      }
    }
  }
  return small;
}

/**
 * @param {Pixels} pixels
 * @param {{width: number, height: number}} size
 * @returns {Pixels}
 */
function means(pixels, { width, height }) {
  const small = blank(width, height);
  const columns = shares(pixels.width, width);
  const rows = shares(pixels.height, height);
  const row = new Float32Array(width * 3);
  const sums = new Float32Array(width * 3);
  for (let y = 0; y < height; y++) {
    sums.fill(0);
    for (let i = rows.begins[y]; i < rows.begins[y + 1]; i++) {
      row.fill(0);
      const start = rows.sources[i] * pixels.width * 3;
      for (let x = 0, to = 0; x < width; x++, to += 3) {
        for (let j = columns.begins[x]; j < columns.begins[x + 1]; j++) {
          const from = start + columns.sources[j] * 3;
          const share = columns.shares[j];
          row[to] += Math.fround(pixels.data[from] * share);
          row[to + 1] += Math.fround(pixels.data[from + 1] * share);
          row[to + 2] += Math.fround(pixels.data[from + 2] * share);
        }
      }
      const share = rows.shares[i];
      for (let at = 0; at < row.length; at++) sums[at] += Math.fround(row[at] * share);
    }
    const start = y * width * 3;
    for (let at = 0; at < sums.length; at++) small.data[start + at] = rint(sums[at]);
  }
  return small;
}

/**
 * Which pixels of a line make each new one, and their shares in it.
 * @param {number} length
 * @param {number} count  of new pixels, at most `length`
 * @returns {{begins: Int32Array, sources: number[], shares: Float32Array}} new pixel i: entries begins[i] to
 *   begins[i + 1]
 */
function shares(length, count) {
  const scale = length / count;
  const begins = new Int32Array(count + 1);
  /** @type {number[]} */
  const sources = [];
  /** @type {number[]} */
  const parts = [];
  for (let i = 0; i < count; i++) {
    const first = i * scale;
    const last = first + scale;
    const cell = Math.min(scale, length - first);
    const end = Math.min(Math.floor(last), length - 1);
    const begin = Math.min(Math.ceil(first), end);
    if (begin - first > 1e-3) add(begin - 1, (begin - first) / cell);
    for (let whole = begin; whole < end; whole++) add(whole, 1 / cell);
    if (last - end > 1e-3) add(end, Math.min(last - end, 1, cell) / cell);
    begins[i + 1] = sources.length;
  }
  return { begins, sources, shares: Float32Array.from(parts) };

  /**
   * @param {number} source
   * @param {number} share
   */
  function add(source, share) {
    sources.push(source);
    parts.push(share);
  }
}

/**
 * INTER_LINEAR: between the four nearest pixels, by weights of 11 bits.
 * @param {Pixels} pixels
 * @param {{width: number, height: number}} size
 * @returns {Pixels}
 */
export function resizeLinear(pixels, { width, height }) {
  const made = blank(width, height);
  const columns = neighbours(pixels.width, width);
  const rows = neighbours(pixels.height, height);
  const { data } = pixels;
  const stride = pixels.width * 3;
  let to = 0;
  for (let y = 0; y < height; y++) {
    const upper = rows.first[y] * stride;
    const lower = rows.second[y] * stride;
    const above = rows.firstWeight[y];
    const below = rows.secondWeight[y];
    for (let x = 0; x < width; x++) {
      const left = columns.first[x] * 3;
      const right = columns.second[x] * 3;
      const before = columns.firstWeight[x];
      const after = columns.secondWeight[x];
      for (let channel = 0; channel < 3; channel++) {
        const top = data[upper + left + channel] * before + data[upper + right + channel] * after;
        const bottom = data[lower + left + channel] * before + data[lower + right + channel] * after;
        made.data[to++] = (((above * (top >> 4)) >> 16) + ((below * (bottom >> 4)) >> 16) + 2) >> 2;
      }
    }
  }
  return made;
}

/**
 * The two pixels of a line between which each new one lies, and their weights, of 2048 but for rounding.
 * @param {number} length
 * @param {number} count
 */
function neighbours(length, count) {
  const scale = 1 / (count / length); // as OpenCV computes it
  const first = new Int32Array(count);
  const second = new Int32Array(count);
  const firstWeight = new Int32Array(count);
  const secondWeight = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    const place = Math.fround((i + 0.5) * scale - 0.5);
    let at = Math.floor(place);
    let beyond = Math.fround(place - at);
    if (at < 0) [at, beyond] = [0, 0];
    if (at >= length - 1) [at, beyond] = [length - 1, 0];
    first[i] = at;
    second[i] = Math.min(at + 1, length - 1);
    firstWeight[i] = rint(Math.fround(1 - beyond) * 2048);
    secondWeight[i] = rint(beyond * 2048);
  }
  return { first, second, firstWeight, secondWeight };
}
