/** The webcam in the place of the photo: take a frame, or analyse frame after frame. */

import { byId, fill, h } from "../dom.js";
import { Photo } from "../photos/photo.js";
import { CameraError, Webcam } from "../photos/webcam.js";
import { number } from "../words.js";
import { say, settle, warn } from "./messages.js";

/** @import { Asking } from "../photos/queue.js" */
/** @import { State } from "../state.js" */

const ABOUT = "camera";
const SMOOTH = 0.8; // of the last rate in the shown one

export class Camera {
  /**
   * @param {State} state
   * @param {object} with_
   * @param {() => Asking | null} with_.asking
   * @param {(frame: {file: Blob, name: string}) => void} with_.take
   * @param {(photo: Photo | null, picture?: HTMLCanvasElement | null) => void} with_.show
   */
  constructor(state, { asking, take, show }) {
    this.state = state;
    this.asking = asking;
    this.take = take;
    this.show = show;
    this.video = /** @type {HTMLVideoElement} */ (byId("video"));
    this.webcam = new Webcam(this.video);
    /** @type {AbortController | null} */
    this.live = null;
    this.taken = 0;
    this.rate = h("span", { class: "note" });
    this.liveButton = h("button", { type: "button", class: "small toggle", "aria-pressed": "false" }, "Live");
    this.liveButton.addEventListener("click", () => (this.live ? this.#stop() : void this.#run()));
    const frame = h("button", { type: "button", class: "small primary" }, "Take a frame");
    frame.addEventListener("click", () => void this.#frame());
    const close = h("button", { type: "button", class: "small" }, "Close the webcam");
    close.addEventListener("click", () => this.close());
    fill(byId("camera-bar"), frame, this.liveButton, close, this.rate);
    addEventListener("pagehide", () => this.close());
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.#stop(); // nobody looks: nothing is asked
    });
  }

  async open() {
    if (this.webcam.isOpen || this.webcam.isOpening) return; // a second stream would stay on
    settle(ABOUT);
    try {
      await this.webcam.open(() => {
        this.close();
        warn("the camera went away: connect it, and choose Webcam again", { about: ABOUT });
      });
    } catch (error) {
      const wasClosed = !this.webcam.isOpen && !(error instanceof CameraError);
      this.webcam.close();
      if (wasClosed) return; // before its first picture
      warn(error instanceof CameraError ? error.message : String(error), { about: ABOUT });
      return;
    }
    document.body.classList.add("with-camera");
    document.body.classList.remove("empty");
    byId("camera-bar").hidden = this.video.hidden = false;
    this.show(null);
    say("the webcam is on");
    byId("camera-bar").querySelector("button")?.focus();
  }

  close() {
    if (!this.webcam.isOpen) return;
    this.#stop();
    this.webcam.close();
    byId("camera-bar").hidden = this.video.hidden = true;
    document.body.classList.remove("with-camera");
    say("the webcam is off");
    this.show(this.state.photos.at(-1) ?? null);
  }

  async #frame() {
    try {
      const { blob } = await this.webcam.frame();
      this.taken += 1;
      this.close();
      this.take({ file: blob, name: `webcam ${this.taken}.jpg` });
    } catch (error) {
      warn(/** @type {Error} */ (error).message, { about: ABOUT });
    }
  }

  /** Frame after frame, each asked when the one before is answered. */
  async #run() {
    const live = new AbortController();
    this.live = live;
    this.liveButton.setAttribute("aria-pressed", "true");
    const photo = new Photo(new Blob(), "webcam");
    photo.isLive = true;
    let rate = 0;
    /** @type {Asking["source"] | undefined} */
    let source;
    try {
      while (!live.signal.aborted) {
        const asking = this.asking();
        if (!asking) throw new CameraError("nothing answers yet: start Live again in a moment");
        const began = performance.now();
        const { picture, blob } = await this.webcam.frame();
        const { tasks, parameters, description } = asking;
        source = asking.source;
        const { answer, timings } = await source.analyze(blob, { tasks, parameters, signal: live.signal });
        if (live.signal.aborted) break;
        const face = Math.min(Math.max(photo.face, 0), answer.faces.length - 1);
        Object.assign(photo, { state: "answered", answer, timings, description, face });
        this.video.hidden = true;
        this.show(photo, picture);
        const now = 1000 / (performance.now() - began);
        rate = rate ? SMOOTH * rate + (1 - SMOOTH) * now : now;
        this.rate.textContent = `${number(rate, 1)} frames/s`;
        await new Promise((resolve) => setTimeout(resolve)); // the page stays usable with a source that is at once
      }
    } catch (error) {
      if (live.signal.aborted) return;
      if (this.asking()?.source !== source) say("live ended, as something else computes now: choose Live again");
      else warn(`live ended: ${/** @type {Error} */ (error).message}`, { about: ABOUT });
    } finally {
      if (this.live === live) this.#stop();
    }
  }

  #stop() {
    this.live?.abort(new DOMException("live ended", "AbortError"));
    this.live = null;
    this.liveButton.setAttribute("aria-pressed", "false");
    this.rate.textContent = "";
    if (this.webcam.isOpen && this.video.hidden) {
      this.video.hidden = false;
      this.show(null);
    }
  }
}
