/** The photos that were brought, each with its state; arrow keys move, Delete takes one away. */

import { byId, fill, h, icon } from "../dom.js";
import { counted } from "../words.js";

/** @import { State } from "../state.js" */
/** @import { Photo } from "../photos/photo.js" */

/** Of states that have no sentence. @type {Map<string, string>} */
const WORDS = new Map([
  ["waiting", "waits"],
  ["asked", "is analysed"],
  ["canceled", "canceled"],
]);

export class List {
  /**
   * @param {State} state
   * @param {{choose: (photo: Photo) => void, remove: (photo: Photo) => void, retry: (photo: Photo) => void}} actions
   */
  constructor(state, { choose, remove, retry }) {
    this.state = state;
    this.actions = { choose, remove, retry };
    this.list = byId("list");
    /** @type {Map<string, {item: HTMLElement, update: () => void}>} */
    this.items = new Map();
    state.on(["photos", "chosen"], () => this.#draw());
    this.list.addEventListener("keydown", (event) => this.#key(event));
  }

  #draw() {
    const { photos } = this.state;
    const here = new Set(photos.map((photo) => photo.id));
    for (const [id, { item }] of this.items) {
      if (here.has(id)) continue;
      item.remove();
      this.items.delete(id);
    }
    for (const photo of photos) {
      let known = this.items.get(photo.id);
      if (!known) {
        known = this.#item(photo);
        this.items.set(photo.id, known);
        this.list.append(known.item);
      }
      known.update();
    }
    const answered = photos.filter((photo) => !photo.isUnderWay).length;
    byId("progress").textContent = answered < photos.length ? `${answered} of ${photos.length}` : String(photos.length || "");
    byId("cancel").hidden = answered === photos.length;
    byId("clear").hidden = !byId("cancel").hidden || !photos.length;
  }

  /** @param {Photo} photo */
  #item(photo) {
    const thumb = h("span", { class: "thumb", "aria-hidden": "true" });
    const words = h("span", { class: "said" });
    const name = photo.name.split("/").at(-1) ?? photo.name;
    const button = h("button", { type: "button", class: "pick", title: photo.name }, thumb, h("span", { class: "what" }, h("span", { class: "file" }, name), words));
    button.addEventListener("click", () => this.actions.choose(photo));
    const remove = h("button", { type: "button", class: "quiet small icon-only", "aria-label": `Remove ${name}` }, icon("close"));
    remove.addEventListener("click", () => this.actions.remove(photo));
    const retry = h("button", { type: "button", class: "small retry", "aria-label": `Ask again: ${name}` }, "Ask again");
    retry.addEventListener("click", () => this.actions.retry(photo));
    const item = h("li", { "data-photo": photo.id }, button, remove, retry);
    let shown = ""; // what `update` has last shown: a list may be long, and each change of a photo updates all
    const update = () => {
      const isChosen = photo === this.state.chosen;
      const isFirst = !this.state.chosen?.id && photo === this.state.photos[0];
      const now = [isChosen, isFirst, photo.state, said(photo), photo.thumbnail !== null].join("\n");
      if (now === shown) return;
      shown = now;
      item.classList.toggle("chosen", isChosen);
      button.setAttribute("aria-current", String(isChosen));
      button.tabIndex = remove.tabIndex = isChosen || isFirst ? 0 : -1;
      item.dataset.state = photo.state;
      words.textContent = said(photo);
      retry.hidden = photo.state !== "failed" && photo.state !== "canceled" && photo.state !== "away";
      retry.tabIndex = isChosen ? 0 : -1;
      if (photo.thumbnail && thumb.firstChild !== photo.thumbnail) fill(thumb, photo.thumbnail);
    };
    return { item, update };
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return; // the browser's own
    const item = /** @type {HTMLElement} */ (event.target).closest("li");
    const { photos } = this.state;
    const here = photos.findIndex((photo) => photo.id === item?.dataset.photo);
    if (here < 0) return;
    const places = new Map([
      ["ArrowDown", here + 1],
      ["ArrowRight", here + 1],
      ["ArrowUp", here - 1],
      ["ArrowLeft", here - 1],
      ["Home", 0],
      ["End", photos.length - 1],
    ]);
    const place = places.get(event.key);
    if (event.key === "Delete") {
      this.actions.remove(photos[here]);
      queueMicrotask(() => this.focus());
    } else if (place !== undefined && photos[place]) {
      this.actions.choose(photos[place]);
      queueMicrotask(() => this.focus());
    } else if (place === undefined) return;
    event.preventDefault();
  }

  /** Puts the focus on the chosen photo. */
  focus() {
    const chosen = this.state.chosen;
    const button = chosen && this.items.get(chosen.id)?.item.querySelector("button");
    if (button) button.focus();
    else byId("photos").focus();
  }
}

/** @param {Photo} photo */
function said(photo) {
  if (photo.sentence) return photo.sentence;
  if (photo.answer && photo.state === "answered") return photo.answer.faces.length ? counted(photo.answer.faces.length, "face") : "no face";
  return WORDS.get(photo.state) ?? "";
}
