/**
 * What the detector is shown of a photo: canvases, each with a view of it. `runtime.detect.canvases`, whose
 * docstring says why a photo is looked at so; the constants are its.
 */

import { copyOf } from "../image/resample.js";
import { blank, cut, lay } from "../image/pixels.js";
import { rint } from "../numbers.js";

/** @import { Copy } from "../image/resample.js" */
/** @import { Pixels } from "../image/pixels.js" */

const WHOLE = 192;
const SECOND = 480;
const SHORT_SIDES = new Map([
  [WHOLE, [160, 192]],
  [SECOND, [288, 384, 480]],
]);
const SECOND_FROM = 720;
const CLOSER_SIDE = 96;
const CLOSER_FACE = 48;
const MOST_ENLARGED = 2;
const CLOSER_BATCHES = [4, 2, 1];
const SHRUNKEN = 77;
const TILE = 480;
const OVERLAP = 56;
const MOST_TILES = 96;
const STEP = 2.2;
const NEAR = 1.4;
const SEEN = 19.2;
const TRACED = 15;

/** Smaller faces (photo pixels) are not worth a box: nothing can be said about them. */
export const SMALLEST_FACE = 16;

/**
 * One view of a photo. photo = (canvas - offset) / scale.
 *
 * @typedef {object} Look
 * @property {Pixels} pixels
 * @property {[number, number, number, number]} area  where the photo is on the canvas: x0, y0, x1, y1
 * @property {[number, number]} scale
 * @property {[number, number]} offset
 * @property {[boolean, boolean, boolean, boolean]} innerEdges  where the photo goes on beyond the area
 * @property {boolean} whole  a look at all of the photo
 *
 * @typedef {Look[]} Canvases  those of one call of the detector, of one size
 */

/**
 * The looks at all of a photo, the coarsest first.
 * @param {Pixels} photo
 * @returns {Canvases[]}
 */
export function wholeLooks(photo) {
  const longer = Math.max(photo.width, photo.height);
  if (longer < SECOND_FROM) return [wholeLook(within(photo, longer), { side: WHOLE, photo })];
  const base = within(photo, SECOND);
  return [WHOLE, SECOND].map((side) => wholeLook(base, { side, photo }));
}

/**
 * The look at all of a photo for a face that fills it, made of the first one of `wholeLooks`.
 * @param {Canvases} first
 * @returns {Canvases}
 */
export function shrunkenLook([look]) {
  const smaller = copyAgain(look, sized(look.pixels, SHRUNKEN));
  return [letterbox(smaller, { width: CLOSER_SIDE, height: CLOSER_SIDE })];
}

/**
 * Looks at places of a photo, at which faces are supposed.
 * @param {Pixels} photo
 * @param {{center: [number, number], size: number}[]} places  in its pixels
 * @returns {Generator<Canvases>}
 */
export function* closerLooks(photo, places) {
  let done = 0;
  for (const batch of CLOSER_BATCHES) {
    for (; places.length - done >= batch; done += batch) {
      yield places.slice(done, done + batch).map((place) => lookAt(photo, place));
    }
  }
}

/**
 * The tiles of finer levels of a photo, for faces from so many of its pixels on.
 * @param {Pixels} photo
 * @param {number} fromSize
 * @returns {Generator<Canvases>}
 */
export function* fineLooks(photo, fromSize) {
  for (const side of fineLevels(photo, fromSize)) yield* tiles(within(photo, side));
}

/**
 * The tiles of the next finer level of a photo than the whole looks.
 * @param {Pixels} photo
 * @returns {Generator<Canvases>}
 */
export function* crowdLooks(photo) {
  const longer = Math.max(photo.width, photo.height);
  yield* tiles(within(photo, Math.min(longer, rint(STEP * wholeSide(longer)))));
}

/**
 * The longer side in photo pixels from which on nine of ten faces are found.
 * @param {{width: number, height: number}} photo
 * @param {number | null} fromSize  null: no smaller ones than usual are looked for
 */
export function finestFace(photo, fromSize) {
  const longer = Math.max(photo.width, photo.height);
  const usual = Math.max(SMALLEST_FACE, (TRACED * longer) / Math.min(longer, wholeSide(longer)));
  const finest = fromSize === null ? undefined : fineLevels(photo, fromSize).at(-1);
  return finest === undefined ? usual : Math.min(usual, Math.max(SMALLEST_FACE, (SEEN * longer) / finest));
}

/**
 * The longer sides of the finer levels of a photo, coarse to fine.
 * @param {{width: number, height: number}} photo
 * @param {number} fromSize
 * @returns {number[]}
 */
function fineLevels(photo, fromSize) {
  const longer = Math.max(photo.width, photo.height);
  const wanted = Math.min(longer, Math.ceil((SEEN * longer) / Math.max(SMALLEST_FACE, fromSize)));
  const levels = [];
  let left = MOST_TILES;
  let last = wholeSide(longer);
  while (last < wanted && left) {
    const most = finest(photo, { tiles: left, side: wanted });
    if (most <= last) break;
    last = most <= NEAR * STEP * last ? most : STEP * last;
    const side = rint(last);
    levels.push(side);
    left -= tileCount(photo, side);
  }
  return levels;
}

/**
 * @param {Copy} copy
 * @param {{side: number, photo: Pixels}} about
 * @returns {Canvases}
 */
function wholeLook(copy, { side, photo }) {
  const smaller = copyAgain(copy, sized(photo, side));
  const { width, height } = smaller.pixels;
  const short = SHORT_SIDES.get(side)?.find((short) => short >= Math.min(width, height)) ?? side;
  return [letterbox(smaller, width >= height ? { width: side, height: short } : { width: short, height: side })];
}

/**
 * A copy of a photo's copy.
 * @param {Pick<Copy, "pixels" | "scale" | "offset">} copy
 * @param {{width: number, height: number}} size
 * @returns {Copy}
 */
function copyAgain(copy, size) {
  const smaller = copyOf(copy.pixels, size);
  return {
    pixels: smaller.pixels,
    scale: [copy.scale[0] * smaller.scale[0], copy.scale[1] * smaller.scale[1]],
    offset: [
      copy.offset[0] * smaller.scale[0] + smaller.offset[0],
      copy.offset[1] * smaller.scale[1] + smaller.offset[1],
    ],
  };
}

/**
 * A copy of the whole photo in the middle of a canvas.
 * @param {Copy} copy
 * @param {{width: number, height: number}} canvas
 * @returns {Look}
 */
function letterbox(copy, { width, height }) {
  const pixels = blank(width, height);
  const left = Math.floor((width - copy.pixels.width) / 2);
  const top = Math.floor((height - copy.pixels.height) / 2);
  lay(copy.pixels, pixels, { left, top });
  return {
    pixels,
    // All of the canvas, so that a face that the photo's edge cuts may have its middle beyond it.
    area: [0, 0, width, height],
    scale: copy.scale,
    offset: [copy.offset[0] + left, copy.offset[1] + top],
    innerEdges: [false, false, false, false],
    whole: true,
  };
}

/**
 * The part of the photo around a face of this size, at which the face is best seen.
 * @param {Pixels} photo
 * @param {{center: [number, number], size: number}} place
 * @returns {Look}
 */
function lookAt(photo, { center, size }) {
  const scale = Math.min(MOST_ENLARGED, CLOSER_FACE / Math.max(size, 1));
  const [x0, x1, width] = shownSpan(center[0], photo.width, scale);
  const [y0, y1, height] = shownSpan(center[1], photo.height, scale);
  const copy = copyOf(photo, { width, height, part: { x0, y0, x1, y1 } });
  const pixels = blank(CLOSER_SIDE, CLOSER_SIDE);
  lay(copy.pixels, pixels, { left: 0, top: 0 });
  return {
    pixels,
    area: [0, 0, width, height],
    scale: copy.scale,
    offset: copy.offset,
    innerEdges: [x0 > 0, y0 > 0, x1 < photo.width, y1 < photo.height],
    whole: false,
  };
}

/**
 * @param {number} middle
 * @param {number} end  of the photo along this axis
 * @param {number} scale
 * @returns {[number, number, number]} first and last photo pixel, and the pixels of the canvas for them
 */
function shownSpan(middle, end, scale) {
  const first = Math.min(Math.max(Math.floor(middle - CLOSER_SIDE / scale / 2), 0), end - 1);
  const last = Math.min(Math.max(Math.ceil(middle + CLOSER_SIDE / scale / 2), first + 1), end);
  return [first, last, Math.min(Math.max(rint((last - first) * scale), 1), CLOSER_SIDE)];
}

/**
 * A level's tiles, evenly spread over it and its edges included.
 * @param {Copy} copy
 * @returns {Generator<Canvases>}
 */
function* tiles(copy) {
  const { width, height } = copy.pixels;
  for (const y of tileStarts(height)) {
    for (const x of tileStarts(width)) {
      const [x1, y1] = [Math.min(x + TILE, width), Math.min(y + TILE, height)];
      const pixels = blank(TILE, TILE);
      lay(cut(copy.pixels, { x0: x, y0: y, x1, y1 }), pixels, { left: 0, top: 0 });
      yield [
        {
          pixels,
          area: [0, 0, x1 - x, y1 - y],
          scale: copy.scale,
          offset: [copy.offset[0] - x, copy.offset[1] - y],
          innerEdges: [x > 0, y > 0, x + TILE < width, y + TILE < height],
          whole: false,
        },
      ];
    }
  }
}

/** @param {number} length  of a level along an axis */
function tileStarts(length) {
  const count = tilesAlong(length);
  const spare = Math.max(0, length - TILE);
  return Array.from({ length: count }, (_, i) => (i === 0 ? 0 : i === count - 1 ? spare : rint(i * (spare / (count - 1)))));
}

/** @param {number} length */
function tilesAlong(length) {
  return Math.max(1, Math.ceil((length - OVERLAP) / (TILE - OVERLAP)));
}

/**
 * @param {{width: number, height: number}} photo
 * @param {number} side  the level's longer side
 */
function tileCount(photo, side) {
  const { width, height } = sized(photo, side);
  return tilesAlong(width) * tilesAlong(height);
}

/**
 * The longer side of the finest level of at most so many tiles, up to `side` pixels; 0: there is none.
 * @param {{width: number, height: number}} photo
 * @param {{tiles: number, side: number}} bounds
 */
function finest(photo, { tiles, side }) {
  let low = 0;
  let high = side;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (tileCount(photo, middle + 1) > tiles) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** @param {number} longer */
function wholeSide(longer) {
  return longer < SECOND_FROM ? WHOLE : SECOND;
}

/**
 * A photo's size when its longer side has so many pixels.
 * @param {{width: number, height: number}} photo
 * @param {number} side
 */
function sized({ width, height }, side) {
  const scale = side / Math.max(width, height);
  return { width: Math.max(1, rint(width * scale)), height: Math.max(1, rint(height * scale)) };
}

/**
 * @param {Pixels} photo
 * @param {number} side
 * @returns {Copy}
 */
function within(photo, side) {
  return copyOf(photo, sized(photo, side));
}
