/** The kinds that the page can show. One that is added to the contract is added here. */

import { classes } from "./classes.js";
import { mask } from "./mask.js";
import { multilabel } from "./multilabel.js";
import { points } from "./points.js";
import { rotation } from "./rotation.js";
import { unknown } from "./unknown.js";
import { value } from "./value.js";

/** @import { Task } from "../sources/source.js" */
/** @import { Kind } from "./kind.js" */

/** @type {ReadonlyMap<string, Kind>} */
const KINDS = new Map(
  [classes, multilabel, value, points, mask, rotation].map((kind) => /** @type {const} */ ([kind.name, kind])),
);

const OF_EVERY_FACE = new Set(["box", "score"]);

/** @param {Task} task @returns {Kind} */
export function kindOf(task) {
  return KINDS.get(task.kind) ?? unknown;
}

/** The toggles under which kinds draw, each with the names of those kinds. */
export const LAYERS = [...new Set([...KINDS.values()].flatMap((kind) => kind.layer ?? []))].map((name) => ({
  name,
  kinds: [...KINDS.values()].filter((kind) => kind.layer === name).map((kind) => kind.name),
}));

/**
 * The answers of a face in the contract's order, then those of tasks that the contract does not have.
 * @param {Task[]} tasks
 * @param {Record<string, unknown>} face
 * @returns {{task: Task, kind: Kind, answer: any}[]}
 */
export function answersOf(tasks, face) {
  const known = tasks.filter((task) => task.name in face);
  const names = new Set(known.map((task) => task.name));
  const others = Object.keys(face).filter((name) => !names.has(name) && !OF_EVERY_FACE.has(name));
  const all = [...known, ...others.map((name) => ({ name, kind: "", labels: [], unit: "" }))];
  return all.map((task) => ({ task, kind: kindOf(task), answer: face[task.name] }));
}

/**
 * By the name of a task of points, which of them can't be seen, where another task says so.
 * @param {Task[]} tasks
 * @param {Record<string, unknown>} face
 * @returns {Map<string, Set<number>>}
 */
export function hiddenPoints(tasks, face) {
  const found = new Map();
  for (const { task, kind, answer } of answersOf(tasks, face)) {
    const about = kind.hiddenPoints?.(task, answer);
    if (about) found.set(about.task, about.hidden);
  }
  return found;
}
