/** Thumbnails of photos that nobody has looked at yet, made one after the other. */

import { shown } from "./decode.js";

/** @import { Photo } from "./photo.js" */

const SIDE = 88; // pixels: 44 on a screen, or 88 on a dense one

/**
 * The middle of a photo as a square.
 * @param {HTMLCanvasElement} picture  as `shown` gives it
 */
export function thumbnail(picture) {
  const cut = Math.min(picture.width, picture.height);
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIDE;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.imageSmoothingQuality = "high";
  const [x, y] = [(picture.width - cut) / 2, (picture.height - cut) / 2];
  context.drawImage(picture, x, y, cut, cut, 0, 0, SIDE, SIDE);
  return canvas;
}

/** A photo that is looked at waits for one of them at most, however many there are to make. */
export class Thumbnails {
  /** @param {{isListed: (photo: Photo) => boolean, made: () => void}} with_  `made`: a photo has its thumbnail */
  constructor({ isListed, made }) {
    this.isListed = isListed;
    this.made = made;
    /** @type {Set<Photo>} */
    this.waiting = new Set();
    this.isAtWork = false;
  }

  /** @param {Photo} photo */
  add(photo) {
    this.waiting.add(photo);
    if (!this.isAtWork) void this.#work();
  }

  async #work() {
    this.isAtWork = true;
    for (const photo of this.waiting) {
      this.waiting.delete(photo);
      if (photo.thumbnail || !this.isListed(photo)) continue;
      const picture = await shown(photo.file).catch(() => null);
      if (!picture) continue;
      photo.thumbnail = thumbnail(picture);
      this.made();
    }
    this.isAtWork = false;
  }
}
