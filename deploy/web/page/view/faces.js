/** A card for each face of the chosen photo; that of the selected one is open. */

import { byId, fill, h } from "../dom.js";
import { answersOf } from "../kinds/index.js";
import { counted, percent, plain } from "../words.js";
import { closeUp } from "./close_up.js";

/** @import { State } from "../state.js" */
/** @import { Photo } from "../photos/photo.js" */

const HEADLINES = 3;

export class Faces {
  /** @param {State} state */
  constructor(state) {
    this.state = state;
    this.cards = byId("cards");
    /** @type {unknown} the answer whose cards these are */
    this.answer = null;
    /** @type {HTMLCanvasElement | null} */
    this.picture = null;
    state.on(["chosen"], () => this.#all());
    state.on(["face"], () => this.#select());
    state.on(["layers"], () => this.#closeUp());
  }

  #all() {
    const { chosen, picture } = this.state;
    const faces = chosen?.answer?.faces ?? [];
    byId("faces-note").textContent = note(chosen);
    byId("calibrated").hidden = !faces.length;
    byId("no-face").hidden = !chosen?.answer || faces.length > 0;
    byId("no-face").textContent = chosen?.answer ? noFace(chosen.answer) : "";
    if (this.answer === chosen?.answer && this.picture === picture) return;
    const focused = this.cards.contains(document.activeElement) ? chosen?.face : undefined;
    const scroll = this.cards.scrollTop;
    this.answer = chosen?.answer ?? null;
    this.picture = picture;
    fill(this.cards, chosen ? faces.map((_, index) => this.#card(chosen, index)) : []);
    this.cards.scrollTop = scroll;
    if (focused !== undefined) this.#button(focused)?.focus({ preventScroll: true });
  }

  /** @param {Photo} photo @param {number} index */
  #card(photo, index) {
    const isOpen = index === photo.face;
    const body = h("div", { class: "body", id: `face-${index + 1}`, hidden: !isOpen });
    const title = h("h3", { id: `face-${index + 1}-title` });
    const button = h(
      "button",
      { type: "button", class: "summary", "aria-expanded": String(isOpen), "aria-controls": body.id },
      h("span", { class: "name" }, `Face ${index + 1}`),
      h("span", { class: "brief" }, headlines(photo, index).join(" · ")),
    );
    button.addEventListener("click", () => this.state.selectFace(photo.face === index ? -1 : index));
    title.append(button);
    const card = h("article", { class: "card", "aria-label": `Face ${index + 1}`, "data-face": index + 1 }, title, body);
    if (isOpen) this.#open(photo, index, body);
    return card;
  }

  /** @param {Photo} photo @param {number} index @param {Element} body */
  #open(photo, index, body) {
    const { answer, description } = photo;
    if (!answer || !description) return;
    const face = answer.faces[index];
    const facts = answersOf(description.tasks, face)
      .filter(({ kind }) => kind.headline)
      .map(({ task, kind, answer: value, error }) => {
        return h("div", {}, h("dt", {}, plain(task.name)), h("dd", {}, kind.headline?.(task, value, error)));
      });
    const [x0, y0, x1, y1] = face.box;
    const quality = face.quality === undefined ? "" : `, quality ${percent(face.quality)}`;
    const about = `score ${percent(face.score)}${quality}, ${Math.round(x1 - x0)} × ${Math.round(y1 - y0)} pixels`;
    fill(
      body,
      h(
        "div",
        { class: "portrait" },
        closeUp(this.state, photo, index),
        h("div", {}, h("dl", { class: "facts" }, facts), h("p", { class: "small muted" }, about)),
      ),
      answersOf(description.tasks, face).map(({ task, kind, answer: value, error }) => {
        const shown = kind.show(task, value, error);
        return shown && h("section", { class: "answer" }, h("h4", {}, plain(task.name)), h("div", {}, shown));
      }),
    );
  }

  #select() {
    const photo = this.state.chosen;
    if (!photo) return;
    for (const [index, card] of [...this.cards.children].entries()) {
      const isOpen = index === photo.face;
      const body = /** @type {HTMLElement} */ (card.querySelector(".body"));
      if (!body.hidden === isOpen) continue;
      body.hidden = !isOpen;
      this.#button(index)?.setAttribute("aria-expanded", String(isOpen));
      if (isOpen) this.#open(photo, index, body);
      else body.replaceChildren();
    }
    const card = this.cards.children[photo.face];
    // Only within its own column: the page itself stays where the visitor has it.
    const column = byId("faces");
    if (card && column.scrollHeight > column.clientHeight) {
      const [low, high] = [column.getBoundingClientRect(), card.getBoundingClientRect()];
      if (high.top < low.top + 40 || high.top > low.bottom - 120) column.scrollTop += high.top - low.top - 48;
    }
  }

  #closeUp() {
    const photo = this.state.chosen;
    const old = this.cards.querySelector(".close-up");
    if (photo && old && photo.face >= 0) old.replaceWith(closeUp(this.state, photo, photo.face));
  }

  /** @param {number} index @returns {HTMLButtonElement | null} */
  #button(index) {
    return this.cards.children[index]?.querySelector("button") ?? null;
  }
}

/** @param {Photo | null} photo */
function note(photo) {
  const answer = photo?.answer;
  if (!answer) return "";
  const all = answer.faces.length;
  const below = answer.faces_below_quality ?? 0;
  const without = below ? `, ${below} left out by quality` : "";
  if (!all) return `none${without}`;
  const found = answer.faces_found > all + below;
  return `${found ? `the best ${all} of ${answer.faces_found}` : counted(all, "face")}${without}`;
}

/** @param {import("../sources/source.js").Answer} answer */
function noFace({ smallest_face: pixels, faces_below_quality: below = 0 }) {
  if (below) {
    const found = below === 1 ? "The face that was found" : `Each of the ${counted(below, "face")} that were found`;
    return `${found} is of too low a quality to be analysed: blurred, dark, covered, or no face. A lower limit shows it.`;
  }
  const size = pixels ? ` Faces below about ${Math.round(pixels)} pixels were not looked for.` : "";
  return `No face was found in this photo.${size}`;
}

/** @param {Photo} photo @param {number} index */
function headlines({ answer, description }, index) {
  if (!answer || !description) return [];
  return answersOf(description.tasks, answer.faces[index])
    .flatMap(({ task, kind, answer: value, error }) => kind.headline?.(task, value, error) ?? [])
    .slice(0, HEADLINES);
}
