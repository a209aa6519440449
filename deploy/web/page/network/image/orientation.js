/**
 * The Exif orientation of a WebP: browsers turn JPEGs and PNGs by it, and leave WebPs as they are stored. The
 * server turns all three.
 */

import { blank } from "./pixels.js";

/** @import { Pixels } from "./pixels.js" */

const ORIENTATION = 0x0112;
const LONG = 4; // by the standard it is a SHORT; some writers make it a LONG

/**
 * @param {Uint8Array} file  a WebP
 * @returns {number} 1 to 8; 1 where none is stated
 */
export function webpOrientation(file) {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  for (let at = 12; at + 8 <= file.length; ) {
    const length = view.getUint32(at + 4, true);
    if (latin1(file, at, 4) === "EXIF") return exifOrientation(file.subarray(at + 8, at + 8 + length));
    at += 8 + length + (length % 2);
  }
  return 1;
}

/**
 * @param {Uint8Array} chunk  a TIFF header and its first directory, perhaps after "Exif\0\0"
 * @returns {number}
 */
function exifOrientation(chunk) {
  const exif = latin1(chunk, 0, 6) === "Exif\0\0" ? chunk.subarray(6) : chunk;
  const view = new DataView(exif.buffer, exif.byteOffset, exif.byteLength);
  try {
    const isLittle = latin1(exif, 0, 2) === "II";
    const directory = view.getUint32(4, isLittle);
    const entries = view.getUint16(directory, isLittle);
    for (let entry = directory + 2; entry < directory + 2 + 12 * entries; entry += 12) {
      if (view.getUint16(entry, isLittle) !== ORIENTATION) continue;
      const isLong = view.getUint16(entry + 2, isLittle) === LONG;
      const value = isLong ? view.getUint32(entry + 8, isLittle) : view.getUint16(entry + 8, isLittle);
      return value >= 1 && value <= 8 ? value : 1;
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // it is cut short, and states nothing
  }
  return 1;
}

/**
 * Undoes an Exif orientation: 5 to 8 exchange the axes, then some mirror across, down or both.
 * @param {Pixels} pixels
 * @param {number} orientation
 * @returns {Pixels}
 */
export function upright(pixels, orientation) {
  if (orientation === 1) return pixels;
  const isTransposed = orientation >= 5;
  const { width, height } = pixels;
  const turned = isTransposed ? blank(height, width) : blank(width, height);
  const isAcross = [2, 3, 6, 7].includes(orientation);
  const isDown = [3, 4, 7, 8].includes(orientation);
  let to = 0;
  for (let row = 0; row < turned.height; row++) {
    const y = isDown ? turned.height - 1 - row : row;
    for (let column = 0; column < turned.width; column++, to += 3) {
      const x = isAcross ? turned.width - 1 - column : column;
      const from = (isTransposed ? x * width + y : y * width + x) * 3;
      turned.data[to] = pixels.data[from];
      turned.data[to + 1] = pixels.data[from + 1];
      turned.data[to + 2] = pixels.data[from + 2];
    }
  }
  return turned;
}

/**
 * @param {Uint8Array} bytes
 * @param {number} at
 * @param {number} length
 */
function latin1(bytes, at, length) {
  return String.fromCharCode(...bytes.subarray(at, at + length));
}
