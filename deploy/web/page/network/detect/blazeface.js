/**
 * What the raw answers of the detector (BlazeFace, full range) mean: `runtime.detect.blazeface`. One anchor at the
 * centre of each 4 x 4 cell of a canvas; for each a logit and 16 numbers in canvas pixels.
 */

const STRIDE = 4;
const NUMBERS = 16;

/**
 * An anchor that shows a face, in pixels of its canvas; several of them show the same face.
 *
 * @typedef {object} Anchor
 * @property {number} canvas  its number
 * @property {[number, number]} place  of the anchor
 * @property {number} score  0 to 1
 * @property {[number, number]} size  of the box
 * @property {Float64Array} points  [8, 2]: the box's two corners, then the six key points
 */

/**
 * Raw answers about canvases: regressors [B, N, 16], logits [B, N, 1].
 *
 * @typedef {{regressors: Float32Array, logits: Float32Array}} RawAnswers
 */

/**
 * The anchors with at least this score.
 * @param {RawAnswers} raw
 * @param {{canvases: number, width: number, minScore: number}} about  how many canvases, how wide
 * @returns {Anchor[]} in the order of canvases and cells
 */
export function decode({ regressors, logits }, { canvases, width, minScore }) {
  const least = Math.log(minScore / Math.max(1 - minScore, 1e-16));
  const cells = logits.length / canvases;
  /** @type {Anchor[]} */
  const found = [];
  for (let at = 0; at < logits.length; at++) {
    if (!(logits[at] >= least)) continue;
    const values = regressors.subarray(at * NUMBERS, (at + 1) * NUMBERS);
    if (!values.every(Number.isFinite)) continue;
    const cell = at % cells;
    const column = cell % (width / STRIDE);
    const row = Math.floor(cell / (width / STRIDE));
    const [x, y] = [column * STRIDE + STRIDE / 2, row * STRIDE + STRIDE / 2];
    const points = new Float64Array(NUMBERS);
    for (const [axis, place] of [x, y].entries()) {
      const center = place + values[axis];
      points[axis] = center - values[2 + axis] / 2;
      points[2 + axis] = center + values[2 + axis] / 2;
      for (let i = 4 + axis; i < NUMBERS; i += 2) points[i] = place + values[i];
    }
    found.push({
      canvas: Math.floor(at / cells),
      place: [x, y],
      score: 1 / (1 + Math.exp(-Math.min(Math.max(logits[at], -100), 100))),
      size: [values[2], values[3]],
      points,
    });
  }
  return found;
}
