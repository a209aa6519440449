/** Finding the faces of a photo: looks at it, what they show, each face once. `runtime.detect.faces`. */

import {
  SMALLEST_FACE,
  closerLooks,
  crowdLooks,
  fineLooks,
  finestFace,
  shrunkenLook,
  wholeLooks,
} from "./canvases.js";
import { CERTAIN, best, candidatesOf, clip, placeOf } from "./candidates.js";
import { mirrored } from "../image/pixels.js";
import { mergeCandidates } from "./suppression.js";

/** @import { RawAnswers } from "./blazeface.js" */
/** @import { Candidate } from "./candidates.js" */
/** @import { Canvases } from "./canvases.js" */
/** @import { Pixels } from "../image/pixels.js" */

const MAX_CANDIDATES = 8192;
const CANDIDATES_A_FACE = 16;
const CLEARLY_SMALLER = 0.8;
const TRACE = 0.05;
const ONLY_TRACE = 0.02;
const WELL_SEEN = 45;
const LARGE = 0.4;
const MOST_TRACES = 3;
const MOST_ONLY_TRACES = 8;
const CROWD = 40;
const NEAR = 0.75;

/**
 * What is looked for.
 *
 * @typedef {object} Search
 * @property {number} minScore  the detector's score from which on a face counts
 * @property {number} maxFaces  of more faces than these, those best seen
 * @property {number | null} minFace  the smallest face as a share of the photo's longer side; null: as usual
 *
 * @typedef {(canvases: Canvases) => Promise<RawAnswers>} Detect
 *
 * @typedef {object} Detection
 * @property {Float32Array} box  x0, y0, x1, y1 in the photo's pixels
 * @property {number} score  in single precision
 * @property {Float32Array} landmarks  [5, 2]: right eye, left eye, nose tip, twice the mouth's centre
 *
 * @typedef {object} Detections
 * @property {Detection[]} faces  the surest first
 * @property {number} facesFound  before the best seen were chosen
 * @property {number} smallestFace  from which size on nine of ten faces are found
 */

/**
 * All faces of a photo that a search wants.
 * @param {Pixels} photo
 * @param {Detect} detect
 * @param {Search} search
 * @returns {Promise<Detections>}
 */
export async function findFaces(photo, detect, search) {
  const found = await searched(photo, detect, search);
  if (found.faces.length) return found;
  // A face that is hardly seen is often seen in a mirror.
  return mirroredBack(await searched(mirrored(photo), detect, search), photo.width);
}

/**
 * @param {Detections} found  in the mirror image
 * @param {number} width
 * @returns {Detections}
 */
function mirroredBack(found, width) {
  const faces = found.faces.map(({ box, score, landmarks }) => ({
    box: Float32Array.of(width - box[2], box[1], width - box[0], box[3]),
    score,
    landmarks: Float32Array.from([1, 0, 2, 4, 3].flatMap((i) => [width - 1 - landmarks[2 * i], landmarks[2 * i + 1]])),
  }));
  return { ...found, faces };
}

/**
 * @param {Pixels} photo
 * @param {Detect} detect
 * @param {Search} search
 * @returns {Promise<Detections>}
 */
async function searched(photo, detect, search) {
  const longer = Math.max(photo.width, photo.height);
  const wanted = search.minFace === null ? 0 : search.minFace * longer;
  const most = Math.max(MAX_CANDIDATES, CANDIDATES_A_FACE * search.maxFaces);

  /**
   * @param {Iterable<Canvases>} looks
   * @param {number} minScore
   */
  async function look(looks, minScore = search.minScore) {
    const shown = [];
    for (const canvases of looks) shown.push(...candidatesOf(canvases, await detect(canvases), { minScore, photo }));
    return best(shown, most);
  }

  const whole = wholeLooks(photo);
  const trace = Math.min(ONLY_TRACE, search.minScore);
  let seen = await look(whole, trace);
  const isLarge = seen.some(({ points }) => placeOf(points).size >= LARGE * longer);
  if (isLarge || !seen.some(({ score }) => score >= CERTAIN)) {
    seen = [...seen, ...(await look([shrunkenLook(whole[0])], trace))];
  }
  const places = placesToLookAt(seen, { looks: whole.length, minScore: search.minScore, wanted });
  let found = seen.filter(({ score }) => score >= search.minScore);
  if (places) found.push(...(await look(closerLooks(photo, places))));
  else found = found.map((candidate) => ({ ...candidate, certain: true }));
  if (search.minFace !== null) found.push(...(await look(fineLooks(photo, wanted))));
  else if (!places) found.push(...(await look(crowdLooks(photo))));
  const smallestFace = Math.max(finestFace(photo, search.minFace === null ? null : wanted), wanted);
  return { ...merged(best(found, most), { search, photo, wanted }), smallestFace };
}

/**
 * What a closer look should show: faces that are small on their canvas or not certain, and traces of others.
 * @param {Candidate[]} seen  in whole looks
 * @param {{looks: number, minScore: number, wanted: number}} about  how many looks
 * @returns {{center: [number, number], size: number}[] | null} null: of a crowd
 */
function placesToLookAt(seen, { looks, minScore, wanted }) {
  const shown = [...mergeCandidates(seen.filter(({ score }) => score >= minScore))].map((face) => ({
    ...placeOf(face.points),
    isUnsure: face.score < CERTAIN || Math.max(...face.shown.map((candidate) => candidate.seen)) < WELL_SEEN,
  }));
  /** @param {{size: number}} place */
  const isWanted = ({ size }) => size >= CLEARLY_SMALLER * wanted;
  const chosen = shown.filter((face) => face.isUnsure && isWanted(face));
  const trace = shown.length ? TRACE : ONLY_TRACE;
  const most = shown.length ? looks * MOST_TRACES + chosen.length : MOST_ONLY_TRACES;
  let free = seen
    .filter((candidate) => candidate.score < minScore && candidate.score >= trace && candidate.seen < WELL_SEEN)
    .sort((a, b) => b.score - a.score)
    .map(({ points, score }) => ({ ...placeOf(points), score }))
    .filter((place) => isWanted(place) && shown.every((face) => isApart(place, face)));
  const traces = [];
  let clear = 0; // of the traces, those that would count beside faces too
  while (free.length && chosen.length + clear <= CROWD && (traces.length < most || clear === traces.length)) {
    const first = free[0];
    if (first.score >= TRACE) clear++;
    traces.push(first);
    free = free.filter((place) => isApart(place, first));
  }
  if (chosen.length + clear > CROWD) return null;
  return [...chosen, ...traces.slice(0, most)];
}

/**
 * Whether two places are not those of one face.
 * @param {{center: [number, number], size: number}} a
 * @param {{center: [number, number], size: number}} b
 */
function isApart(a, b) {
  const distance = Math.max(Math.abs(a.center[0] - b.center[0]), Math.abs(a.center[1] - b.center[1]));
  return distance > NEAR * Math.max(a.size, b.size);
}

/**
 * The faces that the candidates show, each once.
 * @param {Candidate[]} candidates
 * @param {{search: Search, photo: Pixels, wanted: number}} about
 * @returns {{faces: Detection[], facesFound: number}}
 */
function merged(candidates, { search, photo, wanted }) {
  const faces = [];
  let facesFound = 0;
  for (const { points, score, shown } of mergeCandidates(candidates)) {
    const [width, height] = [points[2] - points[0], points[3] - points[1]];
    if (!shown.some(({ certain }) => certain)) continue;
    if (Math.max(width, height) < CLEARLY_SMALLER * wanted || Math.min(width, height) < SMALLEST_FACE) continue;
    if (++facesFound <= search.maxFaces) faces.push({ points, score });
  }
  faces.sort((a, b) => b.score - a.score);
  return { faces: faces.map((face) => detection(face, photo)), facesFound };
}

/**
 * @param {{points: Float64Array, score: number}} face
 * @param {Pixels} photo
 * @returns {Detection}
 */
function detection({ points, score }, { width, height }) {
  return {
    box: Float32Array.of(clip(points[0], width), clip(points[1], height), clip(points[2], width), clip(points[3], height)),
    score: Math.fround(score),
    // Canvas and photo are measured from their outer edges; a pixel's own coordinates are its centre's.
    landmarks: Float32Array.from([2, 3, 4, 5, 5].flatMap((i) => [points[2 * i] - 0.5, points[2 * i + 1] - 0.5])),
  };
}
