/** All answers as a table, a row a face, of the chosen photo or of all. */

import { byId, fill, h } from "../dom.js";
import { answersOf, kindOf } from "../kinds/index.js";
import { counted, percent, plain } from "../words.js";

/** @import { State } from "../state.js" */
/** @import { Photo } from "../photos/photo.js" */

const MOST_ROWS = 500; // that a page shows well; files have all

export class Table {
  /** @param {State} state @param {(photo: Photo) => void} choose */
  constructor(state, choose) {
    this.state = state;
    this.choose = choose;
    /** @type {unknown[]} what the table shows, to compare */
    this.key = [];
    /** @type {{photo: Photo, index: number}[]} */
    this.rows = [];
    this.scope = /** @type {HTMLInputElement} */ (byId("scope").querySelector("input"));
    this.scope.addEventListener("change", () => this.#draw());
    state.on(["chosen", "photos", "description"], () => this.#draw());
    state.on(["face"], () => this.#mark());
  }

  /** The photos whose answers are shown. @returns {Photo[]} */
  photos() {
    const { chosen, photos } = this.state;
    const all = this.scope.checked && photos.length > 1 ? photos : chosen ? [chosen] : [];
    return all.filter((photo) => photo.answer);
  }

  #draw() {
    byId("scope").hidden = this.state.photos.length < 2;
    const photos = this.photos();
    const isOfAll = this.scope.checked && this.state.photos.length > 1;
    const rows = photos.flatMap((photo) => (photo.answer?.faces ?? []).map((_, index) => ({ photo, index })));
    const key = [isOfAll, this.state.chosen?.id, ...photos.map((photo) => photo.answer)];
    if (this.key.length === key.length && key.every((part, index) => part === this.key[index])) return;
    this.key = key;
    const shown = rows.slice(0, MOST_ROWS);
    const names = new Set(shown.flatMap(({ photo, index }) => Object.keys(photo.answer?.faces[index] ?? {})));
    const tasks = (photos[0]?.description ?? this.state.description)?.tasks.filter((task) => names.has(task.name)) ?? [];
    const note = rows.length > shown.length ? `the first ${MOST_ROWS} of ${counted(rows.length, "row")}` : "";
    byId("table-note").textContent = note;
    const hasQuality = names.has("quality");
    const head = ["face", ...(isOfAll ? ["photo"] : []), "score", ...(hasQuality ? ["quality"] : []), ...tasks.map((task) => plain(task.name))];
    this.rows = shown;
    fill(
      byId("table"),
      h(
        "table",
        { "aria-label": "Answers" },
        h("thead", {}, h("tr", {}, head.map((name) => h("th", { scope: "col" }, name)))),
        h("tbody", {}, shown.map((row) => this.#row(row, tasks, { isOfAll, hasQuality }))),
      ),
      rows.length ? null : h("p", { class: "line muted" }, photos.length ? "no face, no row" : this.state.chosen?.state === "failed" ? "no answer" : "no answer yet"),
    );
    this.#mark();
  }

  /** @param {{photo: Photo, index: number}} at @param {import("../sources/source.js").Task[]} tasks @param {{isOfAll: boolean, hasQuality: boolean}} columns */
  #row({ photo, index }, tasks, { isOfAll, hasQuality }) {
    /** @type {{score: number, quality?: number}} */
    const face = photo.answer?.faces[index] ?? { score: 0 };
    const byName = new Map(answersOf(photo.description?.tasks ?? [], face).map((each) => [each.task.name, each]));
    const select = () => {
      this.choose(photo);
      this.state.selectFace(index);
    };
    const name = isOfAll ? `Face ${index + 1} of ${photo.name}` : `Face ${index + 1}`;
    return h(
      "tr",
      { onclick: select },
      h("th", { scope: "row" }, h("button", { type: "button", class: "link", "aria-label": name }, String(index + 1))),
      isOfAll ? h("td", { class: "file", title: photo.name }, photo.name.split("/").at(-1)) : null,
      h("td", { class: "number" }, percent(face.score)),
      hasQuality ? h("td", { class: "number" }, face.quality === undefined ? "" : percent(face.quality)) : null,
      tasks.map((task) => {
        const found = byName.get(task.name);
        return h("td", {}, found ? kindOf(task).brief(task, found.answer, found.error) : "");
      }),
    );
  }

  #mark() {
    const { chosen } = this.state;
    const rows = byId("table").querySelectorAll("tbody tr");
    this.rows.forEach(({ photo, index }, place) => {
      const isSelected = photo === chosen && index === chosen?.face;
      rows[place]?.classList.toggle("selected", isSelected);
    });
  }
}
