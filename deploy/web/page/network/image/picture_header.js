/**
 * Which format a file has and how many pixels it claims, read before a decoder takes memory for them.
 *
 * The browser decodes more formats than the server accepts; they are refused here too, so that a photo that is
 * answered here is answered there.
 */

import { SourceError } from "../../sources/source.js";

const ACCEPTED = "take a JPEG, PNG or WebP file";

/** Of formats that are not accepted: first bytes (as Latin-1) -> what the file is. */
const OTHERS = new Map([
  ["GIF8", "a GIF"],
  ["BM", "a BMP"],
  ["II*\0", "a TIFF"],
  ["MM\0*", "a TIFF"],
  ["%PDF", "a PDF document"],
  ["P6", "a PPM, which a browser can't decode"],
  ["\xff\x0a", "a JPEG XL"],
  ["\0\0\0\x0cJXL ", "a JPEG XL"],
  ["\0\0\0\x0cjP  ", "a JPEG 2000"],
  ["<svg", "an SVG or XML text"],
  ["<?xml", "an SVG or XML text"],
  ["<!doctype", "an HTML text"],
  ["<html", "an HTML text"],
  ["PK\x03\x04", "a ZIP archive"],
]);

/** Of ISO base media files, by their brand. */
const BRANDS = new Map([
  ["avif", "an AVIF"],
  ["avis", "an AVIF"],
  ["heic", "a HEIC"],
  ["heix", "a HEIC"],
  ["mif1", "a HEIF"],
]);

// Frame headers of JPEGs that decoders know: baseline, extended and progressive, by Huffman and arithmetic codes.
const FRAMES = new Set([0xc0, 0xc1, 0xc2, 0xc9, 0xca]);
const START_OF_SCAN = 0xda;

/**
 * @param {Uint8Array} file  all of it
 * @returns {{format: string, width: number, height: number}} the size as it is stored, before any rotation
 * @throws {SourceError} for what is empty, no picture, of a format that is not accepted, or damaged here
 */
export function readHeader(file) {
  if (file.length === 0) throw refused(`The picture is empty (0 bytes); ${ACCEPTED}.`);
  const start = latin1(file.subarray(0, 16));
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  try {
    if (start.startsWith("\xff\xd8\xff")) return { format: "JPEG", ...jpegSize(view) };
    if (start.startsWith("\x89PNG\r\n\x1a\n")) {
      return { format: "PNG", width: view.getUint32(16), height: view.getUint32(20) };
    }
    if (start.startsWith("RIFF") && start.slice(8, 12) === "WEBP") return { format: "WebP", ...webpSize(view) };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw refused(`The picture is cut short: it ends after ${count(file.length)} bytes; take the whole file.`);
  }
  const text = start.trimStart().toLowerCase();
  const found = [...OTHERS].find(([first]) => start.startsWith(first) || text.startsWith(first));
  let name = found?.[1];
  if (start.slice(4, 8) === "ftyp") name = BRANDS.get(start.slice(8, 12)) ?? "a video";
  if (name) throw refused(`The file is ${name}, which is not accepted; ${ACCEPTED}.`);
  throw refused(`The ${count(file.length)} bytes are not a picture that is known here; ${ACCEPTED}.`);
}

/**
 * A refusal of a photo, with the gateway's word for it.
 * @param {string} sentence
 */
export function refused(sentence) {
  return new SourceError(sentence, { reason: "picture" });
}

/** @param {number} number */
export function count(number) {
  return number.toLocaleString("en");
}

/** @param {DataView} view */
function jpegSize(view) {
  let at = 2;
  for (;;) {
    if (view.getUint8(at) !== 0xff) throw damaged(`byte ${at} should begin a segment and does not`);
    while (view.getUint8(at) === 0xff) at++; // fill bytes
    const marker = view.getUint8(at++);
    if (marker === START_OF_SCAN) throw damaged("its pixels come before its size");
    if (FRAMES.has(marker)) return { width: view.getUint16(at + 5), height: view.getUint16(at + 3) };
    const hasNoLength = marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8);
    at += hasNoLength ? 0 : view.getUint16(at);
  }
}

/** @param {DataView} view */
function webpSize(view) {
  const kind = latin1(new Uint8Array(view.buffer, view.byteOffset + 12, 4));
  if (kind === "VP8X") return { width: 1 + low24(24), height: 1 + low24(27) };
  if (kind === "VP8 ") {
    return { width: view.getUint16(26, true) & 0x3fff, height: view.getUint16(28, true) & 0x3fff };
  }
  if (kind === "VP8L") {
    const bits = view.getUint32(21, true);
    return { width: (bits & 0x3fff) + 1, height: ((bits >> 14) & 0x3fff) + 1 };
  }
  throw damaged("its size can't be read");

  /** @param {number} at */
  function low24(at) {
    return view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
  }
}

/** @param {string} fault */
function damaged(fault) {
  return refused(`The picture is damaged: ${fault}; save it again.`);
}

/** @param {Uint8Array} bytes */
function latin1(bytes) {
  return String.fromCharCode(...bytes);
}
