/** Photos as this browser decodes them: reduced to be shown, or written anew for a server that can't read them. */

/** The first bytes of what every source reads by itself. */
const READ_BY_SOURCES = [
  [[0xff, 0xd8, 0xff]], // JPEG
  [[0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]], // PNG
  [[0x52, 0x49, 0x46, 0x46], null, [0x57, 0x45, 0x42, 0x50]], // WebP: RIFF, its length, WEBP
];
const SHOWN = 2048; // pixels of the longer side of what is shown
const LOSSLESS = 4e6; // pixels up to which a photo is written anew without loss
const JPEG_QUALITY = 0.95;

let lane = Promise.resolve();

/**
 * Decodes one photo at a time: of 50 megapixels each takes 200 MB until it is reduced.
 * @template Result
 * @param {Blob} blob
 * @param {(bitmap: ImageBitmap) => Result | Promise<Result>} use
 * @returns {Promise<Result>} rejects where this browser can't decode it
 */
function decoded(blob, use) {
  const result = lane.then(async () => {
    const bitmap = await createImageBitmap(blob); // upright: its Exif rotation is applied
    try {
      return await use(bitmap);
    } finally {
      bitmap.close();
    }
  });
  lane = result.then(
    () => undefined,
    () => undefined,
  );
  return result;
}

/**
 * @param {CanvasImageSource} source
 * @param {{width: number, height: number}} size
 * @param {number} scale
 */
function drawn(source, { width, height }, scale) {
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.imageSmoothingQuality = "high";
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
  return canvas;
}

/**
 * A photo to be shown, at most 2048 pixels wide and high.
 * @param {Blob} blob
 * @returns {Promise<HTMLCanvasElement>}
 */
export function shown(blob) {
  return decoded(blob, (bitmap) => drawn(bitmap, bitmap, Math.min(1, SHOWN / Math.max(bitmap.width, bitmap.height))));
}

/**
 * What is sent of a file: itself, or, of a type that sources don't read and this browser does (GIF, BMP, AVIF;
 * HEIC and TIFF in some), its pixels as PNG or JPEG, upright. What nobody reads is sent as it is, for the
 * source's sentence about it.
 * @param {Blob} file
 * @returns {Promise<Blob>}
 */
export async function sendable(file) {
  if (!file.size || (await isReadBySources(file))) return file;
  try {
    return await decoded(file, (bitmap) => {
      const type = bitmap.width * bitmap.height <= LOSSLESS ? "image/png" : "image/jpeg";
      return encoded(drawn(bitmap, bitmap, 1), type);
    });
  } catch {
    return file;
  }
}

/** @param {Blob} file */
async function isReadBySources(file) {
  const head = new Uint8Array(await file.slice(0, 12).arrayBuffer());
  return READ_BY_SOURCES.some((parts) => {
    let place = 0;
    return parts.every((part) => {
      const found = part === null || part.every((byte, index) => head[place + index] === byte);
      place += part?.length ?? 4;
      return found;
    });
  });
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {string} type
 * @returns {Promise<Blob>}
 */
export function encoded(canvas, type) {
  return new Promise((resolve, reject) => {
    const done = (/** @type {Blob | null} */ blob) =>
      blob ? resolve(blob) : reject(new Error(`a picture of ${canvas.width} x ${canvas.height} can't be encoded`));
    canvas.toBlob(done, type, JPEG_QUALITY);
  });
}
