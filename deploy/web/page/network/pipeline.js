/** A photo -> the JSON of `POST /v1/analyze`: what `runtime.answering.photos` and the REST door do together. */

import { SourceError } from "../sources/source.js";
import { selectTasks } from "./contract.js";
import { findFaces } from "./detect/faces.js";
import { CROPS } from "./image/align.js";
import { decodePhoto } from "./image/photo.js";
import { KINDS, headsOf } from "./kinds/index.js";
import { roundTo } from "./numbers.js";
import { MIN_QUALITY, qualityOf } from "./quality.js";

/** @import { Answer, RequestParameter, Timing } from "../sources/source.js" */
/** @import { Detection, Search } from "./detect/faces.js" */
/** @import { Engine } from "./engine.js" */
/** @import { Pixels } from "./image/pixels.js" */

const TYPES = { number: "a number", integer: "an integer" };

/**
 * @param {Engine} engine
 * @param {Blob} blob
 * @param {object} request
 * @param {string[] | null} request.tasks
 * @param {Record<string, number>} request.parameters
 * @param {Record<string, RequestParameter>} request.taken  the parameters that there are
 * @param {() => Promise<void>} request.pause  called between steps; it throws where the answer is not wanted any more
 * @returns {Promise<{answer: Answer, timings: Timing[]}>}
 * @throws {SourceError} for a photo or a wish that can't be answered
 */
export async function analyze(engine, blob, { tasks: names, parameters, taken, pause }) {
  const { contract } = engine;
  const tasks = selectTasks(contract, names, KINDS);
  const chosen = readParameters(parameters, taken);
  const quality = qualityOf(contract);
  const least = quality ? (chosen(MIN_QUALITY) ?? 0) : 0;
  const clock = stopwatch();
  const photo = await clock.measure("decode", () => decodePhoto(blob));
  const found = await clock.measure("detect", () =>
    findFaces(photo, async (canvases) => (await pause(), engine.detect(canvases)), searchOf(chosen)),
  );
  const crops = await clock.measure("crop", async () => cropsOf(photo, found.faces, engine));
  const answered = headsOf(tasks);
  const computed = new Set(answered.map(({ name }) => name));
  if (quality && least > 0) computed.add(quality.head);
  const heads = await clock.measure("engine", () =>
    computed.size
      ? engine.heads(crops.map(({ crop }) => crop), [...computed], pause)
      : Promise.resolve(/** @type {Awaited<ReturnType<Engine["heads"]>>} */ ({})),
  );
  const qualities = quality && heads[quality.head]?.map(quality.of);
  // A quality that is not a number leaves nothing out: the network's fault is then seen in the answer.
  const isKept = found.faces.map((_, i) => !(qualities && qualities[i] < least));
  const isStated = quality && tasks.some(({ name }) => name === quality.head);
  const answer = await clock.measure("postprocess", async () => ({
    width: photo.width,
    height: photo.height,
    faces_found: found.facesFound,
    ...(quality && { faces_below_quality: isKept.filter((kept) => !kept).length }),
    smallest_face: roundTo(Math.fround(found.smallestFace), 2),
    faces: found.faces
      .map(({ box, score }, i) => ({
        box: /** @type {[number, number, number, number]} */ (Array.from(box, (edge) => roundTo(edge, 2))),
        score: roundTo(score, 4),
        ...(isStated && qualities && { quality: roundTo(qualities[i], 4) }),
        ...Object.fromEntries(
          answered.map(({ name, task, kind }) => {
            const geometry = { toPhoto: crops[i].toPhoto, photo, size: contract.input_size };
            return [name, kind.answer(task, heads[name][i], geometry)];
          }),
        ),
      }))
      .filter((_, i) => isKept[i]),
  }));
  return { answer: /** @type {Answer} */ (answer), timings: clock.timings };
}

/**
 * @param {Pixels} photo
 * @param {Detection[]} faces
 * @param {Engine} engine
 */
function cropsOf(photo, faces, { contract }) {
  const name = contract.crop ?? "aligned";
  const crop = CROPS.get(name);
  if (!crop) {
    throw new SourceError(
      `the network's crop is ${JSON.stringify(name)}, which this page does not know (it knows ` +
        `${[...CROPS.keys()].join(", ")}): ask the server`,
      { reason: "unsupported" },
    );
  }
  return faces.map(({ box, landmarks }) => crop(photo, { box, landmarks, size: contract.input_size }));
}

/**
 * The parameters of a request: what it brings, and the others' defaults.
 * @param {Record<string, number>} parameters
 * @param {Record<string, RequestParameter>} taken
 * @returns {(name: string) => number | null}
 */
function readParameters(parameters, taken) {
  for (const [name, value] of Object.entries(parameters)) {
    const bounds = taken[name];
    if (!bounds) {
      const known = Object.keys(taken).join(", ");
      throw wrong(`there is no parameter ${JSON.stringify(name)}: leave it out; ${known} are taken`);
    }
    const { type, minimum = -Infinity, maximum = Infinity } = bounds;
    const isTaken = type === "integer" ? Number.isInteger(value) : typeof value === "number";
    if (!isTaken || !(value >= minimum && value <= maximum)) {
      throw wrong(`the parameter ${name} is ${value}: it is ${TYPES[type]} of ${minimum} to ${maximum}`);
    }
  }
  return (name) => parameters[name] ?? taken[name]?.default ?? null;
}

/**
 * @param {(name: string) => number | null} chosen
 * @returns {Search}
 */
function searchOf(chosen) {
  return {
    minScore: /** @type {number} */ (chosen("min_score")),
    maxFaces: /** @type {number} */ (chosen("max_faces")),
    minFace: chosen("min_face"),
  };
}

/** @param {string} sentence */
function wrong(sentence) {
  return new SourceError(sentence, { reason: "parameter" });
}

/** Parts of the work with their times. */
function stopwatch() {
  /** @type {Timing[]} */
  const timings = [];
  return {
    timings,
    /**
     * @template T
     * @param {string} name
     * @param {() => Promise<T>} work
     * @returns {Promise<T>}
     */
    async measure(name, work) {
      const began = performance.now();
      const result = await work();
      timings.push({ name, ms: performance.now() - began });
      return result;
    },
  };
}
