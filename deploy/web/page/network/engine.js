/**
 * The detector and the network in ONNX Runtime: WebAssembly with SIMD, on several threads where the page may share
 * memory, or WebGPU where there is an adapter and it computes what WebAssembly does.
 */

import { SourceError } from "../sources/source.js";
import { KINDS, headsOf } from "./kinds/index.js";
import { largestDifference } from "./kinds/heads.js";

/** @import { RawAnswers } from "./detect/blazeface.js" */
/** @import { Canvases } from "./detect/canvases.js" */
/** @import { Bundle } from "./bundle.js" */
/** @import { Contract } from "./contract.js" */
/** @import { Head } from "./kinds/index.js" */
/** @import { Pixels } from "./image/pixels.js" */

const MOST_THREADS = 4; // networks this small gain nothing by more
const MAX_BATCH = 8; // faces at once: more gain nothing on a processor and take memory

const CANVASES = "canvases";
const REGRESSORS = "regressors";
const LOGITS = "logits";
const PIXELS = "pixels";

// What a WebGPU adapter's detector may differ in, in logits and in canvas pixels.
const LOGIT_TOLERANCE = 0.05;
const REGRESSOR_TOLERANCE = 0.25;
const PROOF_SIDE = 96; // of the canvas that it is compared on

/** Of a small module with a SIMD instruction: `(func (result v128) i32.const 0 i8x16.splat i8x16.popcnt)`. */
const SIMD = Uint8Array.of(
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
);

/** ONNX Runtime failed: what it holds can't be trusted any more. */
export class EngineError extends Error {}

/**
 * @typedef {object} Choice
 * @property {"auto" | "on" | "off"} webgpu  "auto": where an adapter is hardware; "on": a software adapter too
 * @property {number | null} threads  of WebAssembly; null: as many as are of use
 */

/**
 * Sentence where this browser can't run WebAssembly as it is needed; null where it can.
 * @returns {string | null}
 */
export function whyUnsupported() {
  if (typeof WebAssembly === "undefined") {
    return "this browser has WebAssembly switched off, which the network needs: switch it on, or ask the server";
  }
  if (!WebAssembly.validate(SIMD)) {
    return "this browser's WebAssembly has no SIMD, which the network needs: take a newer browser, or ask the server";
  }
  return null;
}

/**
 * Whether WebGPU is to be tried, by whether it gives an adapter.
 * @param {Choice["webgpu"]} wish
 */
export async function hasAdapter(wish) {
  const gpu = /** @type {any} */ (globalThis.navigator).gpu;
  if (wish === "off" || !gpu) return false;
  const adapter = await gpu.requestAdapter().catch(() => null);
  if (!adapter) return false;
  return wish === "on" || !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter);
}

export class Engine {
  /**
   * @param {any} runtime  the module of ONNX Runtime
   * @param {{detector: any, network: any, contract: Contract, note: string}} about  its sessions
   */
  constructor(runtime, { detector, network, contract, note }) {
    this.runtime = runtime;
    this.detector = detector;
    this.network = network;
    this.contract = contract;
    this.note = note; // a sentence about where and how it computes
  }

  /**
   * The detector's raw answers about canvases of one size.
   * @param {Canvases} canvases
   * @returns {Promise<RawAnswers>}
   */
  async detect(canvases) {
    const pixels = stacked(canvases.map((look) => look.pixels));
    const answers = await run(this.runtime, this.detector, { input: CANVASES, pixels, outputs: [REGRESSORS, LOGITS] });
    return { regressors: answers[REGRESSORS], logits: answers[LOGITS] };
  }

  /**
   * Heads of crops, by their names: of each crop one.
   * @param {Pixels[]} crops
   * @param {string[]} names
   * @param {() => Promise<void>} pause  between batches
   * @returns {Promise<Record<string, Head[]>>}
   */
  async heads(crops, names, pause) {
    /** @type {Record<string, Head[]>} */
    const heads = Object.fromEntries(names.map((name) => [name, []]));
    for (let start = 0; start < crops.length; start += MAX_BATCH) {
      await pause();
      const batch = crops.slice(start, start + MAX_BATCH);
      const answers = await run(this.runtime, this.network, { input: PIXELS, pixels: stacked(batch), outputs: names });
      for (const name of names) {
        const size = answers[name].length / batch.length;
        for (let i = 0; i < batch.length; i++) heads[name].push(answers[name].slice(i * size, (i + 1) * size));
      }
    }
    return heads;
  }
}

/**
 * @param {Bundle} bundle
 * @param {Contract} contract
 * @param {{network: Uint8Array, isOnGpu: boolean, threads: number | null}} about  `network`: its file
 * @returns {Promise<Engine>}
 * @throws {SourceError} for a bundle that is not whole, EngineError where the runtime fails
 */
export async function loadEngine(bundle, contract, { network, isOnGpu, threads }) {
  const { manifest } = bundle;
  const entry = isOnGpu ? manifest.runtime_webgpu : manifest.runtime;
  const folder = entry.slice(0, entry.lastIndexOf("/") + 1);
  const core = isOnGpu ? "ort-wasm-simd-threaded.asyncify" : "ort-wasm-simd-threaded";
  const detector = await bundle.file(manifest.detector);
  const binary = await bundle.file(`${folder}${core}.wasm`);
  const used = threads ?? usableThreads();
  const options = { logSeverityLevel: 3, graphOptimizationLevel: "all" };
  try {
    const runtime = await import(bundle.url(entry));
    Object.assign(runtime.env.wasm, {
      numThreads: used,
      wasmBinary: binary,
      wasmPaths: { mjs: bundle.url(`${folder}${core}.mjs`), wasm: bundle.url(`${folder}${core}.wasm`) },
    });
    /** @param {string} provider */
    const sessions = async (provider) => ({
      detector: await runtime.InferenceSession.create(detector, { ...options, executionProviders: [provider] }),
      network: await runtime.InferenceSession.create(network, { ...options, executionProviders: [provider] }),
    });
    const note = isOnGpu ? "WebGPU" : threadsNote(used);
    const engine = new Engine(runtime, { ...(await sessions(isOnGpu ? "webgpu" : "wasm")), contract, note });
    if (isOnGpu) await prove(engine, new Engine(runtime, { ...(await sessions("wasm")), contract, note }));
    return engine;
  } catch (error) {
    if ([SourceError, RangeError, EngineError].some((known) => error instanceof known)) throw error;
    throw new EngineError(`the network can't be started here (${text(error)})`, { cause: error });
  }
}

/** How many threads WebAssembly may use with advantage; 1 where the page may not share memory. */
function usableThreads() {
  return globalThis.crossOriginIsolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency || 1) : 1;
}

/** @param {number} threads */
function threadsNote(threads) {
  if (threads > 1) return `WebAssembly, ${threads} threads`;
  if (globalThis.crossOriginIsolated) return "WebAssembly, 1 thread";
  return "WebAssembly, 1 thread: the page was served without the headers that let threads share memory";
}

/**
 * EngineError where an engine computes other numbers than another: on noise, in every head, by the tolerances that
 * an engine of a server is held to.
 * @param {Engine} engine
 * @param {Engine} reference
 */
async function prove(engine, reference) {
  const look = /** @type {any} */ ({ pixels: noise(PROOF_SIDE) });
  const [raw, expected] = [await engine.detect([look]), await reference.detect([look])];
  const { input_size, tasks } = engine.contract;
  const known = headsOf(tasks.filter((task) => KINDS.has(task.kind)));
  const names = known.map(({ name }) => name);
  const pause = async () => {};
  const heads = await engine.heads([noise(input_size)], names, pause);
  const wanted = await reference.heads([noise(input_size)], names, pause);
  const isNear =
    largestDifference(raw.logits, expected.logits) <= LOGIT_TOLERANCE &&
    largestDifference(raw.regressors, expected.regressors) <= REGRESSOR_TOLERANCE &&
    known.every(({ name, kind }) => kind.difference(heads[name][0], wanted[name][0]) <= kind.tolerance);
  if (!isNear) throw new EngineError("this browser's WebGPU computes other numbers than WebAssembly");
}

/**
 * The same pixels each time.
 * @param {number} side
 * @returns {Pixels}
 */
function noise(side) {
  let state = 1;
  const data = Uint8Array.from({ length: side * side * 3 }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
  return { width: side, height: side, data };
}

/** @param {Pixels[]} pictures  of one size */
function stacked(pictures) {
  const { width, height, data } = pictures[0];
  const all = new Uint8Array(data.length * pictures.length);
  pictures.forEach((picture, i) => all.set(picture.data, i * data.length));
  return { dims: [pictures.length, height, width, 3], data: all };
}

/**
 * @param {any} runtime
 * @param {any} session
 * @param {{input: string, pixels: {dims: number[], data: Uint8Array}, outputs: string[]}} about
 * @returns {Promise<Record<string, any>>} the outputs' numbers
 * @throws {EngineError}
 */
async function run(runtime, session, { input, pixels, outputs }) {
  try {
    const tensor = new runtime.Tensor("uint8", pixels.data, pixels.dims);
    const answers = await session.run({ [input]: tensor }, outputs);
    return Object.fromEntries(outputs.map((name) => [name, answers[name].data]));
  } catch (error) {
    throw new EngineError(`the network failed on this photo (${text(error)})`, { cause: error });
  }
}

/** @param {unknown} error */
function text(error) {
  return String(error instanceof Error ? error.message : error).split("\n")[0].slice(0, 200);
}
