/** A network in this browser as a source: the photo never leaves the machine. */

import { SourceError } from "./source.js";

/** @import { Answer, Description, Request, Source, Timing } from "./source.js" */

/**
 * What the address's fragment switches: `#webgpu=off`, `#threads=1`.
 * @param {string} fragment
 * @returns {{webgpu: "auto" | "on" | "off", threads: number | null}}
 */
function switches(fragment) {
  const values = new URLSearchParams(fragment.replace(/^#/, ""));
  const webgpu = values.get("webgpu");
  const threads = Number(values.get("threads"));
  return {
    webgpu: webgpu === "off" || webgpu === "on" ? webgpu : "auto",
    threads: Number.isInteger(threads) && threads >= 1 ? threads : null,
  };
}

/**
 * A photo that waits for its answer.
 *
 * @typedef {object} Waiting
 * @property {(answered: {answer: Answer, timings: Timing[]}) => void} resolve
 * @property {(error: unknown) => void} reject
 * @property {object} message  what the worker was sent
 *
 * A loaded network, or one that is being loaded.
 *
 * @typedef {object} Running
 * @property {Worker} worker
 * @property {Promise<Description>} description
 * @property {(description: Description) => void} opened
 * @property {(error: unknown) => void} end  ends it and all that waits for it
 * @property {Map<number, Waiting>} waiting  in the order of the calls
 */

/** @implements {Source} */
export class BrowserSource {
  /**
   * @param {{base?: string, webgpu?: "auto" | "on" | "off", threads?: number | null}} [options]  `base`: the page's
   *   own address; the others: `Choice` of `network/engine.js`, by default as the address's fragment has it
   */
  constructor({ base = document.baseURI, webgpu, threads } = {}) {
    const chosen = switches(globalThis.location?.hash ?? "");
    this.bundle = new URL("web/bundle/", base).href;
    this.webgpu = webgpu ?? chosen.webgpu;
    this.threads = threads ?? chosen.threads;
    /** @type {((text: string) => void) | null} */
    this.onprogress = null;
    this.fallback = ""; // why WebGPU is not used, where it was tried
    this.note = ""; // where and how the network computes, once it is loaded
    this.nextId = 0;
    /** @type {Running | null} */
    this.running = null;
  }

  /**
   * Loads the network, unless it is there.
   * @returns {Promise<Description>}
   */
  async describe() {
    return (this.running ??= this.#start()).description;
  }

  /**
   * @param {Blob} photo
   * @param {Request} request
   * @returns {Promise<{answer: Answer, timings: Timing[]}>}
   */
  async analyze(photo, { tasks, parameters, signal }) {
    signal.throwIfAborted();
    const began = performance.now();
    const running = (this.running ??= this.#start());
    await aborted(running.description, signal);
    if (this.running !== running) throw closed();
    const id = this.nextId++;
    const message = { type: "analyze", id, photo, tasks, parameters };
    /** @type {Promise<{answer: Answer, timings: Timing[]}>} */
    const answered = new Promise((resolve, reject) => running.waiting.set(id, { resolve, reject, message }));
    running.worker.postMessage(message);
    try {
      const { answer, timings } = await aborted(answered, signal);
      const inside = timings.reduce((sum, { ms }) => sum + ms, 0);
      const queue = { name: "queue", ms: Math.max(0, performance.now() - began - inside) };
      return { answer, timings: [queue, ...timings] };
    } finally {
      running.waiting.delete(id);
      running.worker.postMessage({ type: "cancel", id }); // what is answered has nothing left to cancel
    }
  }

  close() {
    this.running?.end(closed());
  }

  /** @returns {Running} */
  #start() {
    /** @type {(description: Description) => void} */
    let opened = () => {};
    /** @type {(error: unknown) => void} */
    let failed = () => {};
    /** @type {Promise<Description>} */
    const description = new Promise((resolve, reject) => ([opened, failed] = [resolve, reject]));
    description.catch(() => {}); // whoever waits for it sees it
    /** @type {Running} */
    const running = {
      worker: this.#worker(),
      description,
      opened,
      waiting: new Map(),
      end: (error) => {
        running.worker.terminate();
        if (this.running === running) this.running = null;
        failed(error);
        for (const { reject } of running.waiting.values()) reject(error);
      },
    };
    this.#listen(running);
    return running;
  }

  /** A worker that loads the network. */
  #worker() {
    if (typeof Worker === "undefined") throw unsupported();
    const worker = new Worker(new URL("../network/worker.js", import.meta.url), { type: "module", name: "network" });
    worker.postMessage({ type: "open", base: this.bundle, webgpu: this.webgpu, threads: this.threads });
    return worker;
  }

  /** @param {Running} running */
  #listen(running) {
    const { worker } = running;
    worker.addEventListener("message", ({ data }) => {
      if (data.type === "progress") this.onprogress?.(data.text);
      else if (data.type === "opened") this.#opened(running, data);
      else if (data.type === "answered") running.waiting.get(data.id)?.resolve(data);
      else if (data.type === "failed") this.#failed(running, data);
    });
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      running.end(unsupported());
    });
  }

  /**
   * @param {Running} running
   * @param {{description: Description, note: string}} message
   */
  #opened(running, { description, note }) {
    this.note = this.fallback ? `${note}; ${this.fallback}` : note;
    this.onprogress?.(`The network is loaded: ${this.note}`);
    running.opened(description);
  }

  /**
   * @param {Running} running
   * @param {{id: number | null, sentence: string, reason: string, isOver: boolean, gpuFault: string | null}} failure
   */
  #failed(running, { id, sentence, reason, isOver, gpuFault }) {
    const error = new SourceError(sentence, { reason });
    if (id !== null) {
      running.waiting.get(id)?.reject(error);
      running.waiting.delete(id);
    }
    if (!isOver) return;
    if (gpuFault) {
      this.webgpu = "off";
      this.fallback = `WebGPU is not used: ${gpuFault}`;
    } else if (id === null) {
      running.end(error); // the next call tries again
      return;
    }
    // Another worker answers what else waits: the failed one's memory can't be trusted.
    running.worker.terminate();
    running.worker = this.#worker();
    this.#listen(running);
    for (const { message } of running.waiting.values()) running.worker.postMessage(message);
  }
}

function unsupported() {
  return new SourceError(
    "the network can't be started in this browser: it lacks module workers, or a file of the page is missing; take " +
      "a newer browser, or ask the server",
    { reason: "unsupported" },
  );
}

function closed() {
  return new DOMException("the source was closed", "AbortError");
}

/**
 * A promise that a signal ends first.
 * @template T
 * @param {Promise<T>} promise
 * @param {AbortSignal} signal
 * @returns {Promise<T>}
 */
function aborted(promise, signal) {
  return new Promise((resolve, reject) => {
    const end = () => reject(signal.reason);
    if (signal.aborted) end();
    signal.addEventListener("abort", end, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", end));
  });
}
