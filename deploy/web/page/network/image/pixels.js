/**
 * Pixels of a photo, a part or a copy of one.
 *
 * @typedef {object} Pixels
 * @property {number} width
 * @property {number} height
 * @property {Uint8Array} data  RGB, [height, width, 3]
 */

/**
 * @param {number} width
 * @param {number} height
 * @returns {Pixels} black
 */
export function blank(width, height) {
  return { width, height, data: new Uint8Array(width * height * 3) };
}

/**
 * Columns x0 to x1 and rows y0 to y1, without the last; the same pixels where that is all.
 * @param {Pixels} pixels
 * @param {{x0: number, y0: number, x1: number, y1: number}} part  within the pixels
 * @returns {Pixels}
 */
export function cut(pixels, { x0, y0, x1, y1 }) {
  if (x0 === 0 && y0 === 0 && x1 === pixels.width && y1 === pixels.height) return pixels;
  const part = blank(x1 - x0, y1 - y0);
  for (let y = 0; y < part.height; y++) {
    const from = ((y0 + y) * pixels.width + x0) * 3;
    part.data.set(pixels.data.subarray(from, from + part.width * 3), y * part.width * 3);
  }
  return part;
}

/**
 * Lays pixels on others, with their first one at (left, top).
 * @param {Pixels} pixels
 * @param {Pixels} onto
 * @param {{left: number, top: number}} at
 */
export function lay(pixels, onto, { left, top }) {
  for (let y = 0; y < pixels.height; y++) {
    const row = pixels.data.subarray(y * pixels.width * 3, (y + 1) * pixels.width * 3);
    onto.data.set(row, ((top + y) * onto.width + left) * 3);
  }
}

/**
 * The mirror image, left and right exchanged.
 * @param {Pixels} pixels
 * @returns {Pixels}
 */
export function mirrored({ width, height, data }) {
  const mirror = blank(width, height);
  for (let row = 0; row < height; row++) {
    let from = row * width * 3;
    for (let to = from + (width - 1) * 3; from <= row * width * 3 + (width - 1) * 3; from += 3, to -= 3) {
      mirror.data[to] = data[from];
      mirror.data[to + 1] = data[from + 1];
      mirror.data[to + 2] = data[from + 2];
    }
  }
  return mirror;
}
