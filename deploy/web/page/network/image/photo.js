/** From a picture file to upright RGB pixels, by the browser's own decoder. */

import { upright, webpOrientation } from "./orientation.js";
import { count, readHeader, refused } from "./picture_header.js";
import { blank } from "./pixels.js";

/** @import { Pixels } from "./pixels.js" */

// The server's bounds (`runtime.image.decode`).
const MAX_PIXELS = 50_000_000;
const MAX_FILE_BYTES = 64 * 1024 * 1024;

const STRIP_PIXELS = 1_000_000; // that are on a canvas at once: what it takes beside the photo is small then

/**
 * The photo, upright. Colour profiles are not applied; transparent parts are laid on white.
 * @param {Blob} blob
 * @returns {Promise<Pixels>}
 * @throws {SourceError} for a file that is no picture, too large, or can't be decoded
 */
export async function decodePhoto(blob) {
  if (blob.size > MAX_FILE_BYTES) {
    throw refused(
      `The file is ${count(blob.size)} bytes, more than the ${count(MAX_FILE_BYTES)} accepted; take a smaller copy.`,
    );
  }
  const file = await bytesOf(blob);
  const { format, width, height } = readHeader(file);
  if (width < 1 || height < 1) {
    throw refused(
      `The ${format} says that it is ${width} x ${height} pixels; take a picture with at least one pixel.`,
    );
  }
  if (width * height > MAX_PIXELS) {
    throw refused(
      `The ${format} is ${count(width)} x ${count(height)} pixels, more than the ${count(MAX_PIXELS)} accepted; ` +
        "take a smaller copy.",
    );
  }
  // A WebP is turned here, whatever the browser does of it.
  const isTurnedHere = format === "WebP";
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, {
      imageOrientation: isTurnedHere ? "none" : "from-image",
      colorSpaceConversion: "none",
      premultiplyAlpha: "none",
    });
  } catch {
    throw refused(
      `The ${format} of ${width} x ${height} pixels can't be decoded: it is damaged, cut short or of a rare kind; ` +
        "save it again.",
    );
  }
  try {
    return upright(pixelsOf(bitmap), isTurnedHere ? webpOrientation(file) : 1);
  } finally {
    bitmap.close();
  }
}

/** @param {Blob} blob */
async function bytesOf(blob) {
  try {
    return new Uint8Array(await blob.arrayBuffer());
  } catch {
    throw refused("The file can't be read any more: it was moved, changed or removed; take it again.");
  }
}

/**
 * @param {ImageBitmap} bitmap
 * @returns {Pixels}
 */
function pixelsOf(bitmap) {
  const { width, height } = bitmap;
  const photo = blank(width, height);
  const rows = Math.min(height, Math.max(1, Math.floor(STRIP_PIXELS / width)));
  const canvas = new OffscreenCanvas(width, rows);
  // In the processor's memory, from which it is read: a graphics card's copy may round.
  const context = canvas.getContext("2d", { alpha: false, willReadFrequently: true });
  if (!context) throw new RangeError("no memory for a canvas");
  let to = 0;
  for (let top = 0; top < height; top += rows) {
    const shown = Math.min(rows, height - top);
    context.fillStyle = "white";
    context.fillRect(0, 0, width, shown);
    context.drawImage(bitmap, 0, top, width, shown, 0, 0, width, shown);
    const strip = context.getImageData(0, 0, width, shown).data;
    for (let from = 0; from < strip.length; from += 4, to += 3) {
      photo.data[to] = strip[from];
      photo.data[to + 1] = strip[from + 1];
      photo.data[to + 2] = strip[from + 2];
    }
  }
  return photo;
}
