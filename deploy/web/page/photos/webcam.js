/** The webcam: one frame as a photo, or frame after frame, never more than one under way. */

import { encoded } from "./decode.js";

/** Sentences by the name of what `getUserMedia` ends in. */
const REFUSALS = new Map([
  ["NotAllowedError", "the camera was refused: allow it for this page in the browser, and choose Webcam again"],
  ["SecurityError", "the camera was refused: allow it for this page in the browser, and choose Webcam again"],
  ["NotFoundError", "this machine has no camera: connect one and choose Webcam again, or choose photos"],
  ["NotReadableError", "the camera can't be read: end the program that uses it, and choose Webcam again"],
  ["AbortError", "the camera can't be read: end the program that uses it, and choose Webcam again"],
]);

export class CameraError extends Error {}

export class Webcam {
  /** @param {HTMLVideoElement} video */
  constructor(video) {
    this.video = video;
    /** @type {MediaStream | null} */
    this.stream = null;
    this.isOpening = false; // the browser asks for leave, and may do so for long
  }

  get isOpen() {
    return this.stream !== null;
  }

  /** @param {() => void} ended  called when the camera goes away by itself. CameraError where there is none. */
  async open(ended) {
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new CameraError("browsers give a camera to https and to localhost only: open the page by one of these");
    }
    try {
      const video = { width: { ideal: 1280 }, height: { ideal: 720 }, facingMode: "user" };
      this.isOpening = true;
      this.stream = await navigator.mediaDevices.getUserMedia({ video, audio: false });
    } catch (error) {
      const name = error instanceof Error ? error.name : "";
      throw new CameraError(REFUSALS.get(name) ?? `the camera can't be opened (${name}): choose photos instead`);
    } finally {
      this.isOpening = false;
    }
    for (const track of this.stream.getTracks()) track.addEventListener("ended", ended);
    this.video.srcObject = this.stream;
    await this.video.play();
  }

  close() {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.stream = null;
    this.video.srcObject = null;
  }

  /** What the camera shows now. @returns {Promise<{picture: HTMLCanvasElement, blob: Blob}>} */
  async frame() {
    const { videoWidth: width, videoHeight: height } = this.video;
    if (!width || !height) throw new CameraError("the camera shows no picture yet: try again in a moment");
    const picture = document.createElement("canvas");
    picture.width = width;
    picture.height = height;
    picture.getContext("2d")?.drawImage(this.video, 0, 0);
    return { picture, blob: await encoded(picture, "image/jpeg") };
  }
}
