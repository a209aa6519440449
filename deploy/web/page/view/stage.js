/** The chosen photo, large, with its faces over it. Click, arrow keys, Home and End select one. */

import { byId, fill, h } from "../dom.js";
import { answersOf, kindOf, LAYERS } from "../kinds/index.js";
import { swatch } from "../kinds/bars.js";
import { BOXES, faceGroup, paintAreas } from "./overlay.js";

/** @import { State } from "../state.js" */
/** @import { View } from "./overlay.js" */

const STEPS = new Map([
  ["ArrowRight", 1],
  ["ArrowDown", 1],
  ["ArrowLeft", -1],
  ["ArrowUp", -1],
]);
/** Of states that have no sentence. @type {Map<string, string>} */
const WORDS = new Map([
  ["waiting", "waiting for its turn"],
  ["asked", "being analysed"],
  ["canceled", "canceled"],
]);

export class Stage {
  /** @param {State} state */
  constructor(state) {
    this.state = state;
    this.area = byId("picture");
    this.frame = byId("frame");
    this.shown = /** @type {HTMLCanvasElement} */ (byId("shown"));
    this.areas = /** @type {HTMLCanvasElement} */ (byId("areas"));
    this.overlay = /** @type {SVGSVGElement} */ (/** @type {unknown} */ (byId("overlay")));
    this.placeholder = byId("placeholder");
    /** @type {HTMLCanvasElement | null} */
    this.drawn = null;
    /** @type {import("../sources/source.js").Answer | null} whose faces are drawn */
    this.drawnAnswer = null;
    this.size = { width: 0, height: 0 }; // of the frame, in CSS pixels

    state.on(["chosen"], () => this.#draw());
    state.on(["layers"], () => this.#drawFaces());
    state.on(["face"], () => this.#drawSelected());
    state.on(["description", "chosen"], () => this.#controls());
    new ResizeObserver(() => this.#draw()).observe(this.area);
    this.overlay.addEventListener("click", (event) => this.#click(event));
    this.overlay.addEventListener("keydown", (event) => this.#key(event));
    const opacity = /** @type {HTMLInputElement} */ (byId("opacity"));
    opacity.value = String(state.opacity);
    opacity.addEventListener("input", () => {
      state.opacity = Number(opacity.value);
      state.changed("layers");
    });
  }

  #draw() {
    const { chosen, picture } = this.state;
    const source = picture ?? chosen?.answer ?? null; // without pixels at least where the faces are
    this.frame.hidden = !source;
    this.placeholder.textContent = placeholder(chosen, picture !== null);
    this.placeholder.classList.toggle("over", Boolean(source));
    this.placeholder.classList.toggle("failed", chosen?.state === "failed");
    if (!source || !chosen) return;
    const { width, height } = chosen.answer ?? source;
    const room = { width: this.area.clientWidth, height: this.area.clientHeight };
    const scale = Math.min(room.width / width, room.height / height);
    this.size = { width: width * scale, height: height * scale };
    this.frame.style.setProperty("width", `${this.size.width}px`);
    this.frame.style.setProperty("height", `${this.size.height}px`);
    if (picture) {
      if (this.drawn !== picture || chosen.isLive) {
        this.shown.width = picture.width;
        this.shown.height = picture.height;
        this.shown.getContext("2d")?.drawImage(picture, 0, 0);
      }
    } else {
      this.shown.width = this.shown.height = 1;
    }
    this.drawn = picture;
    this.shown.setAttribute("aria-label", chosen.name);
    this.#drawFaces();
  }

  /** @returns {View | null} */
  #view() {
    const { chosen, opacity } = this.state;
    if (!chosen?.answer || !chosen.description) return null;
    return {
      tasks: chosen.description.tasks,
      answer: chosen.answer,
      selected: chosen.face,
      unit: chosen.answer.width / Math.max(1, this.size.width),
      isShown: (layer) => this.state.isShown(layer),
      opacity,
    };
  }

  #drawFaces() {
    const view = this.#view();
    const hadFocus = this.overlay.contains(document.activeElement);
    this.drawnAnswer = view?.answer ?? null;
    if (!view) {
      this.overlay.replaceChildren();
      this.areas.width = this.areas.height = 1;
      return;
    }
    const { width, height, faces } = view.answer;
    this.overlay.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.overlay.replaceChildren(...faces.map((_, index) => faceGroup(view, index)));
    if (hadFocus) this.#focus();
    const dense = window.devicePixelRatio || 1;
    this.areas.width = Math.round(this.size.width * dense);
    this.areas.height = Math.round(this.size.height * dense);
    const context = /** @type {CanvasRenderingContext2D} */ (this.areas.getContext("2d"));
    context.scale(this.areas.width / width, this.areas.height / height);
    paintAreas(context, view);
  }

  /** Draws the face that was selected and the one that is, of perhaps hundreds, anew. */
  #drawSelected() {
    const view = this.#view();
    const hadFocus = this.overlay.contains(document.activeElement);
    if (view?.answer !== this.drawnAnswer) return;
    for (const [index, group] of [...this.overlay.children].entries()) {
      const isSelected = index === view?.selected;
      const mayHaveFocus = isSelected || (index === 0 && (view?.selected ?? 0) < 0);
      const isRight = group.classList.contains("selected") === isSelected;
      if (view && !(isRight && (group.getAttribute("tabindex") === "0") === mayHaveFocus)) group.replaceWith(faceGroup(view, index));
    }
    if (hadFocus) this.#focus();
  }

  #controls() {
    const tasks = this.state.description?.tasks ?? this.state.chosen?.description?.tasks ?? [];
    const kinds = new Set(tasks.map((task) => task.kind));
    const layers = [BOXES, ...LAYERS.filter(({ kinds: of }) => of.some((kind) => kinds.has(kind))).map(({ name }) => name)];
    const group = byId("layers");
    if (group.dataset.layers !== layers.join()) {
      group.dataset.layers = layers.join();
      fill(group, layers.map((layer) => this.#toggle(layer)));
    }
    this.#legend();
  }

  /** @param {string} layer */
  #toggle(layer) {
    const button = h("button", { type: "button", class: "toggle", "aria-pressed": String(this.state.isShown(layer)) }, layer);
    button.addEventListener("click", () => {
      const isShown = !this.state.isShown(layer);
      this.state.layers.set(layer, isShown);
      button.setAttribute("aria-pressed", String(isShown));
      this.state.changed("layers");
      this.#legend();
    });
    return button;
  }

  /** What the colours of all the photo's areas mean. */
  #legend() {
    const { chosen } = this.state;
    const entries = new Map();
    let isPainted = false;
    for (const face of chosen?.answer?.faces ?? []) {
      for (const { task, kind, answer } of answersOf(chosen?.description?.tasks ?? [], face)) {
        if (!kind.legend || !kind.paint) continue;
        isPainted = true;
        if (!this.state.isShown(kind.layer ?? "")) continue;
        for (const { text, colour } of kind.legend(task, answer)) entries.set(text, colour);
      }
    }
    const legend = byId("legend");
    // Its place is kept while a photo is analysed, so that nothing below moves.
    const tasks = chosen?.description?.tasks ?? this.state.description?.tasks ?? [];
    const expected = tasks.map(kindOf).some((kind) => kind.legend && this.state.isShown(kind.layer ?? ""));
    legend.hidden = !expected && !entries.size;
    fill(legend, [...entries].map(([text, colour]) => h("li", {}, swatch(colour), text)));
    document.querySelector(".opacity")?.classList.toggle("off", !isPainted || !entries.size);
  }

  /** @param {MouseEvent} event */
  #click(event) {
    const group = /** @type {Element} */ (event.target).closest("[data-face]");
    if (!group) return;
    this.state.selectFace(Number(group.getAttribute("data-face")) - 1);
    requestAnimationFrame(() => this.#focus());
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return; // the browser's own
    const { chosen } = this.state;
    const last = (chosen?.answer?.faces.length ?? 0) - 1;
    const group = /** @type {Element} */ (event.target).closest("[data-face]");
    if (last < 0 || !group) return;
    const here = Number(group.getAttribute("data-face")) - 1;
    const step = STEPS.get(event.key);
    if (step) this.state.selectFace((here + step + last + 1) % (last + 1));
    else if (event.key === "Home") this.state.selectFace(0);
    else if (event.key === "End") this.state.selectFace(last);
    else if (event.key === "Enter" || event.key === " ") this.state.selectFace(here);
    else return;
    event.preventDefault();
  }

  #focus() {
    const target = this.overlay.querySelector('[tabindex="0"]');
    if (target instanceof SVGElement) target.focus({ preventScroll: true });
  }
}

/** @param {import("../photos/photo.js").Photo | null} photo @param {boolean} isSeen */
function placeholder(photo, isSeen) {
  if (!photo || photo.isLive) return "";
  if (photo.sentence) return photo.sentence;
  if (photo.state === "answered") return isSeen ? "" : "this browser can't show the file";
  return WORDS.get(photo.state) ?? "";
}
