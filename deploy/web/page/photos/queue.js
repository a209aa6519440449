/** Photos are asked one after the other, two under way at most; each ends in an answer or a sentence. */

import { SourceError } from "../sources/source.js";
import { counted } from "../words.js";
import { sendable } from "./decode.js";

/** @import { Answer, Description, Source, Timing } from "../sources/source.js" */
/** @import { Photo } from "./photo.js" */

const UNDER_WAY = 2;
const DELAYS = 8; // how often a photo is asked again after waits that the server named
const RECOVERIES = 2; // how often it is asked again after the server went away while it had it

/**
 * @typedef {object} Asking  what is asked now
 * @property {Source} source
 * @property {Description} description
 * @property {string[] | null} tasks
 * @property {Record<string, number>} parameters
 * @property {string} text  all of it, to compare
 */

export class PhotoQueue {
  /**
   * @param {object} with_
   * @param {() => Asking | null} with_.asking  null: nothing can be asked yet, `resume` is called when it can
   * @param {(photo: Photo) => void} with_.changed  a photo's state is another one
   * @param {() => void} with_.away  the source does not answer: nothing is asked until `resume`
   */
  constructor({ asking, changed, away }) {
    this.asking = asking;
    this.changed = changed;
    this.away = away;
    /** @type {Photo[]} */
    this.waiting = [];
    /** @type {Map<Photo, AbortController>} */
    this.underWay = new Map();
    /** @type {Set<Photo>} those that the source went away from */
    this.left = new Set();
    this.isPaused = false;
  }

  /** Asks for a photo, or asks anew. @param {Photo} photo @param {{first?: boolean}} [how] before all that wait */
  add(photo, { first = false } = {}) {
    this.#drop(photo);
    photo.state = "waiting";
    photo.sentence = "";
    photo.recoveries = 0;
    if (first) this.waiting.unshift(photo);
    else this.waiting.push(photo);
    this.changed(photo);
    this.#next();
  }

  /** @param {Photo} photo */
  cancel(photo) {
    const wasUnderWay = photo.isUnderWay;
    this.#drop(photo);
    if (!wasUnderWay) return;
    photo.state = photo.answer ? "answered" : "canceled";
    photo.sentence = "";
    this.changed(photo);
    this.#next();
  }

  /** Those that wait first: none of them takes the place of one under way. */
  cancelAll() {
    for (const photo of [...this.waiting, ...this.left, ...this.underWay.keys()]) this.cancel(photo);
  }

  pause() {
    this.isPaused = true;
  }

  /** What is under way is taken back, to be asked when there is a source again. */
  takeBack() {
    this.pause();
    const back = [...this.underWay.keys(), ...this.left];
    for (const photo of back) this.#drop(photo);
    for (const photo of back) {
      photo.state = "waiting";
      photo.sentence = "";
      this.changed(photo);
    }
    this.waiting.unshift(...back);
  }

  /** The source can be asked (again). */
  resume() {
    this.isPaused = false;
    const back = [...this.left];
    this.left.clear();
    for (const photo of back) photo.state = "waiting";
    this.waiting.unshift(...back);
    back.forEach((photo) => this.changed(photo));
    this.#next();
  }

  get isIdle() {
    return !this.underWay.size && !this.waiting.length && !this.left.size;
  }

  /** @param {Photo} photo */
  #drop(photo) {
    this.underWay.get(photo)?.abort(new DOMException("canceled", "AbortError"));
    this.underWay.delete(photo);
    this.left.delete(photo);
    this.waiting = this.waiting.filter((other) => other !== photo);
  }

  #next() {
    while (!this.isPaused && this.underWay.size < UNDER_WAY && this.waiting.length) {
      const asking = this.asking();
      if (!asking) return;
      const photo = /** @type {Photo} */ (this.waiting.shift());
      const control = new AbortController();
      this.underWay.set(photo, control);
      void this.#answer(photo, asking, control.signal).finally(() => {
        if (this.underWay.get(photo) === control) this.underWay.delete(photo);
        if (!control.signal.aborted) this.changed(photo);
        this.#next();
      });
    }
  }

  /** @param {Photo} photo @param {Asking} asking @param {AbortSignal} signal */
  async #answer(photo, asking, signal) {
    for (let delays = 0; ; delays += 1) {
      this.#set(photo, "asked", "");
      try {
        const { answer, timings } = await this.#asked(photo, asking, signal);
        if (signal.aborted) return;
        const { description, text } = asking;
        const face = Math.min(Math.max(0, photo.face), answer.faces.length - 1);
        Object.assign(photo, { state: "answered", sentence: "", answer, timings, description, asked: text, face });
        photo.sent = null; // a copy may be of many megabytes
        return;
      } catch (error) {
        if (signal.aborted) return;
        const wait = error instanceof SourceError && delays < DELAYS ? error.retryAfter : null;
        if (wait === null) return this.#end(photo, error);
        await this.#delay(photo, /** @type {Error} */ (error).message, wait, signal);
        if (signal.aborted) return;
      }
    }
  }

  /** @param {Photo} photo @param {Asking} asking @param {AbortSignal} signal */
  async #asked(photo, { source, tasks, parameters }, signal) {
    if (!photo.file.size) {
      throw new SourceError("the file is empty or can't be read: choose one with a photo in it", { reason: "empty" });
    }
    try {
      await photo.file.slice(0, 1).arrayBuffer(); // fetch would take a file that is gone for a server that is
      photo.sent ??= await sendable(photo.file);
    } catch (error) {
      const sentence = "the file can't be read any more: it was changed, moved or deleted; choose it again";
      throw new SourceError(sentence, { reason: "file", cause: error });
    }
    signal.throwIfAborted();
    return source.analyze(photo.sent, { tasks, parameters, signal });
  }

  /** Waits, and counts down where the photo is listed. @param {Photo} photo @param {string} sentence @param {number} seconds @param {AbortSignal} signal */
  async #delay(photo, sentence, seconds, signal) {
    const until = performance.now() + seconds * 1000;
    for (let left = seconds; left > 0 && !signal.aborted; left = (until - performance.now()) / 1000) {
      this.#set(photo, "delayed", `${sentence.replace(/\.$/, "")} (asked again in ${counted(Math.ceil(left), "second")})`);
      await new Promise((resolve) => setTimeout(resolve, Math.min(1, left) * 1000));
    }
  }

  /** @param {Photo} photo @param {unknown} error */
  #end(photo, error) {
    const isAway = error instanceof SourceError && error.reason === "unreachable";
    if (isAway && photo.recoveries < RECOVERIES) {
      photo.recoveries += 1;
      photo.state = "away";
      photo.sentence = error.message;
      this.left.add(photo);
      if (!this.isPaused) {
        this.pause();
        this.away();
      }
      return;
    }
    photo.state = "failed";
    if (isAway) {
      const megabytes = (photo.file.size / 1e6).toFixed(1);
      photo.sentence = `the server ended the connection each time this photo was sent: of its ${megabytes} MB it may take fewer`;
    } else {
      photo.sentence = error instanceof Error ? error.message : String(error);
    }
  }

  /** @param {Photo} photo @param {import("./photo.js").PhotoState} state @param {string} sentence */
  #set(photo, state, sentence) {
    photo.state = state;
    photo.sentence = sentence;
    this.changed(photo);
  }
}
