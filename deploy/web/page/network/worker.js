/**
 * The worker in which the network computes, so that the page stays quick. One photo after the other.
 *
 * It is sent {type: "open", base, webgpu, threads} once, then {type: "analyze", id, photo, tasks, parameters} and
 * {type: "cancel", id}. It sends {type: "progress", text}, {type: "opened", description, note},
 * {type: "answered", id, answer, timings} and {type: "failed", id, sentence, reason, isOver, gpuFault}: `isOver` where
 * the worker can answer nothing more, `gpuFault` what was wrong where WebGPU may have been the reason.
 */

import { SourceError } from "../sources/source.js";
import { Bundle } from "./bundle.js";
import { described, readContract } from "./contract.js";
import { EngineError, hasAdapter, loadEngine, whyUnsupported } from "./engine.js";
import { analyze } from "./pipeline.js";

/** @import { RequestParameter } from "../sources/source.js" */
/** @import { Engine, Choice } from "./engine.js" */

/** @type {{engine: Engine, taken: Record<string, RequestParameter>} | null} */
let opened = null;
let isOnGpu = false;
/** @type {Set<number>} */
const wanted = new Set();
let work = Promise.resolve();

addEventListener("message", ({ data }) => {
  if (data.type === "cancel") {
    wanted.delete(data.id);
    return;
  }
  if (data.type === "analyze") wanted.add(data.id);
  work = work.then(() => (data.type === "open" ? open(data) : answer(data)));
});

/** @param {{base: string} & Choice} message */
async function open({ base, webgpu, threads }) {
  try {
    const unsupported = whyUnsupported();
    if (unsupported) throw new SourceError(unsupported, { reason: "unsupported" });
    isOnGpu = await hasAdapter(webgpu);
    const load = loading();
    const bundle = new Bundle(base, load.add);
    await bundle.open();
    const { manifest } = bundle;
    load.total = Object.keys(manifest.files)
      .filter((name) => isLoaded(name))
      .reduce((sum, name) => sum + bundle.bytes(name), 0);
    const network = await bundle.file(manifest.network);
    const contract = readContract(network);
    const engine = await loadEngine(bundle, contract, { network, isOnGpu, threads });
    opened = { engine, taken: manifest.request_parameters };
    postMessage({ type: "opened", description: described(contract, manifest), note: engine.note });
  } catch (error) {
    fail(null, error);
  }
}

/**
 * Whether a file of the bundle is read as a whole, so that its bytes are counted.
 * @param {string} name
 */
function isLoaded(name) {
  return name.endsWith(".onnx") || (name.endsWith(".wasm") && name.includes("asyncify") === isOnGpu);
}

/** Counts bytes, and states them whenever another hundredth came. */
function loading() {
  let loaded = 0;
  let shown = -1;
  const progress = {
    total: 0,
    /** @param {number} bytes */
    add(bytes) {
      loaded += bytes;
      const share = Math.floor((100 * loaded) / progress.total);
      if (share === shown) return;
      shown = share;
      const [done, all] = [loaded, progress.total].map((count) => (count / 1e6).toFixed(1));
      postMessage({ type: "progress", text: `Loading the network: ${done} of ${all} MB` });
    },
  };
  return progress;
}

/** @param {{id: number, photo: Blob, tasks: string[] | null, parameters: Record<string, number>}} message */
async function answer({ id, photo, tasks, parameters }) {
  if (!wanted.has(id)) return;
  try {
    if (!opened) throw new SourceError("the network is not loaded", { reason: "unsupported" });
    const { engine, taken } = opened;
    const pause = () => paused(id);
    const answered = await analyze(engine, photo, { tasks, parameters, taken, pause });
    postMessage({ type: "answered", id, ...answered });
  } catch (error) {
    if (wanted.has(id)) fail(id, error);
  } finally {
    wanted.delete(id);
  }
}

/**
 * Lets messages in; throws where the answer is not wanted any more.
 * @param {number} id
 */
async function paused(id) {
  await new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve(undefined);
    };
    port2.postMessage(null);
  });
  if (!wanted.has(id)) throw new DOMException("cancelled", "AbortError");
}

/**
 * @param {number | null} id  null: of the opening
 * @param {unknown} error
 */
function fail(id, error) {
  const isOver = id === null || !(error instanceof SourceError);
  const gpuFault = isOver && isOnGpu && !(error instanceof SourceError) ? wordsOf(error) : null;
  postMessage({ type: "failed", id, isOver, gpuFault, ...reasonOf(error) });
}

/** @param {unknown} error */
function reasonOf(error) {
  if (error instanceof SourceError) return { sentence: error.message, reason: error.reason };
  const lacksMemory = error instanceof RangeError || /memory|alloc|OOM/i.test(String(error));
  if (lacksMemory) {
    const sentence = "this browser has no memory left for the photo: close other pages, or take a smaller copy";
    return { sentence, reason: "memory" };
  }
  return { sentence: `${wordsOf(error)}: ask the server instead`, reason: "engine" };
}

/** @param {unknown} error */
function wordsOf(error) {
  return error instanceof EngineError ? error.message : `the page failed (${error})`;
}
