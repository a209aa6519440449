/** Non-maximum suppression: many candidates become one box for each face. `runtime.detect.suppression`. */

/** @import { Candidate } from "./candidates.js" */

const SAME_FACE = 0.3; // two boxes are one face from this overlap on (intersection over union)
const INSIDE = 0.7; // ... or when this part of the smaller one lies inside the larger one
const CLOSE = 0.5; // boxes that overlap so much with the best one make the mean with it

/**
 * Weighted suppression; the faces that are best seen come first. The best candidate gathers all that show the same
 * face; what is answered is their mean, weighted by score and by how well the face's size suited the detector. A
 * face cut by a tile's edge only counts where no whole one shows it.
 * @param {Candidate[]} candidates
 * @returns {Generator<{points: Float64Array, score: number, shown: Candidate[]}>} `shown`: those that show the face
 */
export function* mergeCandidates(candidates) {
  let left = candidates.map((candidate) => ({
    candidate,
    weight: candidate.score * candidate.fit,
    area: (candidate.points[2] - candidate.points[0]) * (candidate.points[3] - candidate.points[1]),
  }));
  left.sort((a, b) => Number(b.candidate.whole) - Number(a.candidate.whole) || b.weight - a.weight);
  while (left.length) {
    const first = left[0];
    const rest = [];
    const members = [];
    const close = [];
    for (const other of left) {
      const common = commonArea(first.candidate.points, other.candidate.points);
      const overlap = common / (first.area + other.area - common);
      const isSame = overlap >= SAME_FACE || common >= INSIDE * Math.min(first.area, other.area);
      if (!isSame && other !== first) {
        rest.push(other);
      } else if (other.candidate.whole || !first.candidate.whole) {
        members.push(other.candidate);
        if (overlap >= CLOSE) close.push(other);
      }
    }
    const score = members.reduce((best, { score }) => Math.max(best, score), 0);
    yield { points: mean(close), score, shown: members };
    left = rest;
  }
}

/** @param {{candidate: Candidate, weight: number}[]} close */
function mean(close) {
  const whole = close.reduce((sum, { weight }) => sum + weight, 0);
  const points = new Float64Array(16);
  for (const { candidate, weight } of close) {
    for (let i = 0; i < points.length; i++) points[i] += (weight / whole) * candidate.points[i];
  }
  return points;
}

/**
 * @param {Float64Array} a  begins with a box's two corners
 * @param {Float64Array} b
 */
function commonArea(a, b) {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  return Math.max(width, 0) * Math.max(height, 0);
}
