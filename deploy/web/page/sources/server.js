/** A server's REST door as a source: `GET v1/tasks` and `POST v1/analyze`, relative to the page. */

import { isAnswer, isDescription } from "./form.js";
import { SourceError } from "./source.js";

/** @import { Answer, Description, Request, Source, Timing } from "./source.js" */

/** Statuses that pass, where the server does not say when: a proxy's, mostly. In seconds. */
const PASSING = new Map([
  [429, 2],
  [502, 2],
  [503, 2],
]);
const LONGEST_WAIT = 60; // seconds that a Retry-After is believed

/**
 * @implements {Source}
 */
export class ServerSource {
  /**
   * @param {{base?: string, key?: () => string, fetch?: typeof globalThis.fetch}} [options]
   *   `base`: the page's own address; `key`: the API key at the time of a call, "" for none
   */
  constructor({ base = document.baseURI, key = () => "", fetch = globalThis.fetch.bind(globalThis) } = {}) {
    this.base = base;
    this.key = key;
    this.fetch = fetch;
    this.closing = new AbortController();
  }

  /** @returns {Promise<Description>} */
  async describe() {
    const response = await this.#call("v1/tasks", { signal: this.closing.signal });
    const description = await json(response);
    if (!isDescription(description)) throw foreign("it describes no tasks");
    return description;
  }

  /**
   * @param {Blob} photo
   * @param {Request} request
   * @returns {Promise<{answer: Answer, timings: Timing[]}>}
   */
  async analyze(photo, { tasks, parameters, signal }) {
    const query = new URLSearchParams();
    if (tasks) query.set("tasks", tasks.join(","));
    for (const [name, value] of Object.entries(parameters)) query.set(name, String(value));
    const path = query.size ? `v1/analyze?${query}` : "v1/analyze";
    // A file's own type may be anything, and the server refuses what is no picture's. It looks into the bytes.
    const headers = { "Content-Type": "application/octet-stream" };
    const both = AbortSignal.any([signal, this.closing.signal]);
    const began = performance.now();
    const response = await this.#call(path, { method: "POST", headers, body: photo, signal: both });
    const answer = await json(response);
    if (!isAnswer(answer)) throw foreign("its answer is no list of faces");
    const wall = performance.now() - began;
    return { answer, timings: parts(response.headers.get("Server-Timing") ?? "", wall) };
  }

  close() {
    this.closing.abort(new DOMException("the source was closed", "AbortError"));
  }

  /**
   * @param {string} path
   * @param {RequestInit} init
   * @returns {Promise<Response>} one of status 200
   */
  async #call(path, init) {
    const headers = new Headers(init.headers);
    const key = this.key();
    if (key) headers.set("Authorization", `Bearer ${key}`);
    let response;
    try {
      response = await this.fetch(new URL(path, this.base), {
        ...init,
        headers,
        cache: "no-store",
        credentials: "same-origin", // of a proxy before it; the server itself has no cookies
        redirect: "manual",
        referrerPolicy: "no-referrer",
      });
    } catch (error) {
      if (init.signal?.aborted) throw init.signal.reason;
      throw new SourceError("the server can't be reached: see whether it runs, and ask again", {
        reason: "unreachable",
        cause: error,
      });
    }
    if (response.type === "opaqueredirect") {
      throw new SourceError("what is before the server sends elsewhere, perhaps to sign in: load this page again", {
        reason: "http",
      });
    }
    if (!response.ok) throw await refusal(response);
    return response;
  }
}

/**
 * A response's JSON; SourceError where it has none, as a proxy's page, or ends early.
 * @param {Response} response
 * @returns {Promise<unknown>}
 */
async function json(response) {
  try {
    return await response.json();
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    if (error instanceof SyntaxError) {
      throw foreign("its answer is no JSON", error);
    }
    throw new SourceError("the server ended the connection before its answer was whole: ask again", {
      reason: "unreachable",
      cause: error,
    });
  }
}

/** @param {string} why @param {unknown} [cause] */
function foreign(why, cause) {
  return new SourceError(`what answered is no Q-Face server: ${why}`, { reason: "http", cause });
}

/**
 * The problem (RFC 9457) of a refusal, in the server's own words.
 * @param {Response} response
 * @returns {Promise<SourceError>}
 */
async function refusal(response) {
  const problem = await response.json().catch(() => null);
  const sentence = typeof problem?.detail === "string" && problem.detail;
  const title = response.statusText || "no reason given";
  return new SourceError(sentence || `the server answered with status ${response.status} (${title})`, {
    reason: typeof problem?.reason === "string" ? problem.reason : "http",
    retryAfter: retryAfter(response),
  });
}

/**
 * @param {Response} response
 * @returns {number | null} seconds
 */
function retryAfter(response) {
  const text = response.headers.get("Retry-After");
  if (text === null) {
    // The server itself sends the header wherever another try makes sense.
    const isOurs = response.headers.get("Content-Type")?.startsWith("application/problem+json");
    return isOurs ? null : (PASSING.get(response.status) ?? null);
  }
  const seconds = /^\d+$/.test(text.trim()) ? Number(text) : (Date.parse(text) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.min(LONGEST_WAIT, Math.max(0, seconds)) : null;
}

/**
 * Where a request's time went: the server's parts, what of its total none of them names, and the way there and
 * back. Together they are the wall time.
 * @param {string} header  Server-Timing; "": what the server did is not known
 * @param {number} wall  milliseconds
 * @returns {Timing[]}
 */
export function parts(header, wall) {
  /** @type {Timing[]} */
  const named = [];
  for (const entry of header.split(",")) {
    const [name, ...values] = entry.trim().split(";");
    const duration = values.map((value) => value.trim()).find((value) => value.startsWith("dur="));
    const ms = Number(duration?.slice("dur=".length));
    if (name && duration && Number.isFinite(ms)) named.push({ name, ms: Math.max(0, ms) });
  }
  const total = named.find((part) => part.name === "total");
  if (!total) return [{ name: "request", ms: wall }];
  const inside = named.filter((part) => part !== total);
  const rest = total.ms - inside.reduce((sum, part) => sum + part.ms, 0);
  return [
    { name: "network", ms: Math.max(0, wall - total.ms) },
    ...inside,
    { name: "gateway", ms: Math.max(0, rest) },
  ];
}
