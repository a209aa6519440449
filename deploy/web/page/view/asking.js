/** What is asked of photos: tasks of the contract, limits, the key; and who answers. */

import { byId, fill, h } from "../dom.js";
import { plain } from "../words.js";

/** @import { State } from "../state.js" */
/** @import { RequestParameter } from "../sources/source.js" */

/** Plain names of limits that are well known; others show their own. */
const NAMES = new Map([
  ["min_score", "Lowest score of a face"],
  ["max_faces", "Most faces"],
  ["min_face", "Smallest face, share of the photo"],
  ["min_quality", "Lowest quality of a face"],
]);

export class Asking {
  /** @param {State} state @param {{changed: () => void, keyChanged: () => void}} actions */
  constructor(state, { changed, keyChanged }) {
    this.state = state;
    this.changed = changed;
    state.on(["description"], () => this.#draw());
    const key = /** @type {HTMLInputElement} */ (byId("key"));
    key.addEventListener("change", () => {
      state.key = key.value.trim();
      keyChanged();
    });
    const settings = /** @type {HTMLDetailsElement} */ (byId("settings"));
    const desk = matchMedia("(min-width: 1000px)");
    const open = () => (settings.open = desk.matches);
    desk.addEventListener("change", open);
    open();
  }

  #draw() {
    const { description } = this.state;
    if (!description) return;
    fill(byId("tasks"), description.tasks.map((task) => this.#task(task)));
    const parameters = Object.entries(description.request_parameters ?? {});
    fill(byId("parameters"), parameters.map(([name, parameter]) => this.#parameter(name, parameter)));
    byId("parameters").closest("fieldset")?.toggleAttribute("hidden", !parameters.length);
    about(description, this.state.note);
  }

  /** @param {import("../sources/source.js").Task} task */
  #task(task) {
    const input = h("input", { type: "checkbox", checked: this.state.isAsked(task) });
    input.addEventListener("change", () => {
      this.state.switched.set(task.name, input.checked);
      this.changed();
    });
    return h("label", { class: "check" }, input, h("span", {}, plain(task.name)));
  }

  /** @param {string} name @param {RequestParameter} parameter */
  #parameter(name, parameter) {
    const id = `parameter-${name}`;
    const isWhole = parameter.type === "integer";
    const input = h("input", {
      id,
      type: "number",
      inputmode: isWhole ? "numeric" : "decimal",
      step: isWhole ? 1 : "any",
      min: parameter.minimum,
      max: parameter.maximum,
      placeholder: parameter.default ?? "not set",
      value: this.state.parameters[name],
      "aria-describedby": `${id}-bounds`,
    });
    const bounds = `${parameter.minimum ?? "…"} to ${parameter.maximum ?? "…"}`;
    const hint = h("small", { id: `${id}-bounds` }, bounds);
    input.addEventListener("change", () => {
      const isEmpty = input.value === "" && !input.validity.badInput;
      input.setAttribute("aria-invalid", String(!input.validity.valid));
      hint.textContent = input.validity.valid ? bounds : `it is ${isWhole ? "a whole number" : "a number"} from ${bounds}`;
      if (!input.validity.valid) return;
      if (isEmpty) delete this.state.parameters[name];
      else this.state.parameters[name] = input.valueAsNumber;
      this.changed();
    });
    return h("div", { class: "field", title: parameter.description }, h("label", { for: id }, NAMES.get(name) ?? plain(name)), input, hint);
  }
}

/** @param {import("../sources/source.js").Description} description @param {string} note */
function about({ contract, version, models, precision, notice, input_size: side }, note) {
  const rows = [
    ["network", (models ?? []).join(", ") || "one without a name"],
    ["precision", precision || "not stated"],
    ["computed", note],
    ["contract", contract],
    ["form of the contract", version === undefined ? "" : `version ${version}`],
    ["crop of a face", side ? `${side} × ${side} pixels` : ""],
  ];
  fill(
    byId("about-text"),
    h("dl", { class: "pairs" }, rows.filter(([, text]) => text).map(([name, text]) => h("div", {}, h("dt", {}, name), h("dd", {}, text)))),
    notice ? h("p", { class: "notice" }, notice) : null,
  );
}
