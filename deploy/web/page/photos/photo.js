/**
 * One photo and what became of it. Its file stays with the browser: nothing is kept when the page is left.
 *
 * @import { Answer, Description, Timing } from "../sources/source.js"
 *
 * @typedef {"waiting" | "asked" | "delayed" | "away" | "answered" | "failed" | "canceled"} PhotoState
 *   delayed: asked again after a wait that the server named; away: asked again when the server is back
 */

let count = 0;

export class Photo {
  /** @param {Blob} file @param {string} name */
  constructor(file, name) {
    this.id = `photo-${(count += 1)}`;
    this.file = file;
    this.name = name;
    /** @type {Blob | null} what is sent, once that is known: the file itself or a copy that the server can read */
    this.sent = null;
    /** @type {PhotoState} */
    this.state = "waiting";
    /** why there is no answer yet, or none at all */
    this.sentence = "";
    /** @type {Answer | null} the last one, also while the photo is asked again */
    this.answer = null;
    /** @type {Description | null} by which the answer is read */
    this.description = null;
    /** @type {Timing[]} */
    this.timings = [];
    /** what was asked, as text: another text now means that the answer is to other questions */
    this.asked = "";
    /** @type {HTMLCanvasElement | null} */
    this.thumbnail = null;
    this.face = 0; // the selected one; -1: none
    this.recoveries = 0;
    this.isLive = false; // a frame of a running webcam
  }

  get isUnderWay() {
    return this.state === "waiting" || this.state === "asked" || this.state === "delayed" || this.state === "away";
  }
}
