/** From the detector's raw answers about canvases to candidates in the photo. */

import { decode } from "./blazeface.js";
import { SMALLEST_FACE } from "./canvases.js";

/** @import { RawAnswers } from "./blazeface.js" */
/** @import { Canvases, Look } from "./canvases.js" */

const CUT = 0.05; // a box that runs this part of its size over a view's inner edge is of a face that the view cuts
const BEST_SIZE = 55; // landmarks are best where a face measures this on the canvas
export const CERTAIN = 0.7; // from this score on a face of a whole look needs no closer look to count
const FILLS = 0.6; // ... or from this part of the photo's side on

/**
 * A candidate that may become a face; several of them show the same one.
 *
 * @typedef {object} Candidate
 * @property {Float64Array} points  [8, 2] in photo pixels: the box's two corners, six key points
 * @property {number} score  0 to 1
 * @property {number} seen  the longer side on the canvas
 * @property {number} fit  0 to 1: how well that size suits the detector
 * @property {boolean} whole  the view shows all of the face
 * @property {boolean} certain  it counts even if no other look shows it
 */

/**
 * @typedef {{width: number, height: number}} Size
 */

/**
 * What canvases show.
 * @param {Canvases} canvases
 * @param {RawAnswers} raw
 * @param {{minScore: number, photo: Size}} about
 * @returns {Candidate[]}
 */
export function candidatesOf(canvases, raw, { minScore, photo }) {
  const longer = Math.max(photo.width, photo.height);
  const found = [];
  for (const anchor of decode(raw, { canvases: canvases.length, width: canvases[0].pixels.width, minScore })) {
    const look = canvases[anchor.canvas];
    if (!isInside(anchor.place, look.area)) continue; // an anchor beside the photo shows nothing
    const points = anchor.points.map((value, i) => (value - look.offset[i % 2]) / look.scale[i % 2]);
    if (!isSeen(points, photo)) continue;
    const seen = Math.max(...anchor.size);
    found.push({
      points,
      score: anchor.score,
      seen,
      fit: Math.exp(-Math.abs(Math.log(Math.max(seen, 1) / BEST_SIZE))),
      whole: !isCut(anchor.points, look),
      certain: !look.whole || anchor.score >= CERTAIN || placeOf(points).size >= FILLS * longer,
    });
  }
  return found;
}

/**
 * So many of the candidates: those that are surest and best seen.
 * @param {Candidate[]} candidates
 * @param {number} most
 */
export function best(candidates, most) {
  if (candidates.length <= most) return candidates;
  return [...candidates].sort((a, b) => b.score * b.fit - a.score * a.fit).slice(0, most);
}

/**
 * Centre and longer side of a box.
 * @param {Float64Array} points
 * @returns {{center: [number, number], size: number}}
 */
export function placeOf(points) {
  return {
    center: [(points[0] + points[2]) / 2, (points[1] + points[3]) / 2],
    size: Math.max(points[2] - points[0], points[3] - points[1]),
  };
}

/**
 * @param {[number, number]} place
 * @param {Look["area"]} area
 */
function isInside([x, y], [x0, y0, x1, y1]) {
  return x >= x0 && y >= y0 && x < x1 && y < y1;
}

/**
 * Whether enough of a box lies within the photo.
 * @param {Float64Array} points
 * @param {Size} photo
 */
function isSeen(points, { width, height }) {
  const across = clip(points[2], width) - clip(points[0], width);
  const down = clip(points[3], height) - clip(points[1], height);
  return Math.min(across, down) >= SMALLEST_FACE / 2;
}

/**
 * Whether a box, in canvas pixels, runs over an inner edge of its view's area.
 * @param {Float64Array} points
 * @param {Look} look
 */
function isCut(points, { area, innerEdges }) {
  return innerEdges.some((isInner, edge) => {
    const margin = CUT * (points[2 + (edge % 2)] - points[edge % 2]);
    return isInner && (edge < 2 ? points[edge] < area[edge] - margin : points[edge] > area[edge] + margin);
  });
}

/**
 * @param {number} value
 * @param {number} end
 */
export function clip(value, end) {
  return Math.min(Math.max(value, 0), end);
}
