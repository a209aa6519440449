/**
 * What the page knows, in one place. Views listen to the topics that they show; changes of one turn are told once.
 *
 * @import { Description } from "./sources/source.js"
 * @import { Photo } from "./photos/photo.js"
 *
 * @typedef {"photos" | "chosen" | "face" | "description" | "asking" | "layers"} Topic
 *   photos: the list, or a state in it; chosen: which photo, or its answer; face: which one is selected;
 *   description: of the source; asking: what is asked of photos; layers: what is drawn
 */

export class State {
  constructor() {
    /** @type {Photo[]} */
    this.photos = [];
    /** @type {Photo | null} */
    this.chosen = null;
    /** @type {HTMLCanvasElement | null} the chosen photo's pixels, reduced; null: not decoded (yet) */
    this.picture = null;
    /** @type {Description | null} */
    this.description = null;
    this.note = ""; // of the source, on how it computes
    /** @type {Map<string, boolean>} tasks that were switched by hand */
    this.switched = new Map();
    /** @type {Record<string, number>} */
    this.parameters = Object.create(null); // by names of the server's choice
    this.key = "";
    /** @type {Map<string, boolean>} by a layer's name */
    this.layers = new Map();
    this.opacity = 0.4;

    /** @type {Map<Topic, Set<() => void>>} */
    this.listeners = new Map();
    /** @type {Set<Topic>} */
    this.dirty = new Set();
  }

  /** @param {Topic[]} topics @param {() => void} listener  called once at the end of a turn in which any changed */
  on(topics, listener) {
    for (const topic of topics) {
      if (!this.listeners.has(topic)) this.listeners.set(topic, new Set());
      this.listeners.get(topic)?.add(listener);
    }
  }

  /** @param {...Topic} topics */
  changed(...topics) {
    if (!this.dirty.size) queueMicrotask(() => this.#notify());
    topics.forEach((topic) => this.dirty.add(topic));
  }

  /** Names of the tasks that are asked for; null: those that are answered by default. @returns {string[] | null} */
  tasks() {
    const all = this.description?.tasks ?? [];
    const isDefault = all.every((task) => this.isAsked(task) === (task.default !== false));
    return isDefault ? null : all.filter((task) => this.isAsked(task)).map((task) => task.name);
  }

  /** @param {import("./sources/source.js").Task} task */
  isAsked(task) {
    return this.switched.get(task.name) ?? task.default !== false;
  }

  /** @param {string} layer */
  isShown(layer) {
    return this.layers.get(layer) ?? true;
  }

  /** @param {number} index  of the chosen photo's faces; -1: none */
  selectFace(index) {
    if (!this.chosen || this.chosen.face === index) return;
    this.chosen.face = index;
    this.changed("face");
  }

  #notify() {
    const topics = [...this.dirty];
    this.dirty.clear();
    const listeners = new Set(topics.flatMap((topic) => [...(this.listeners.get(topic) ?? [])]));
    for (const listener of listeners) {
      try {
        listener();
      } catch (error) {
        reportError(error); // a view that fails takes no other with it
      }
    }
  }
}
