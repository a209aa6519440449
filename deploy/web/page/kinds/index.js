/** The kinds that the page can show. One that is added to the contract is added here. */

import { classes } from "./classes.js";
import { errorName } from "./errors.js";
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
  [classes, multilabel, value, points, mask, rotation].map((kind) => /** @type {const} */ ([kind.name, tolerant(kind)])),
);

/** What a face has beside its answers and their expected errors. */
const OF_EVERY_FACE = ["box", "score", "quality"];

/**
 * A kind that meets answers in another form than its own shows their JSON and draws nothing of them: one odd
 * answer hides no other.
 * @param {Kind} kind
 * @returns {Kind}
 */
function tolerant(kind) {
  /**
   * @template {unknown[]} Given
   * @template Result
   * @param {((...given: Given) => Result) | undefined} method
   * @param {(...given: Given) => Result} otherwise
   */
  const or = (method, otherwise) =>
    method &&
    ((/** @type {Given} */ ...given) => {
      try {
        return method(...given);
      } catch {
        return otherwise(...given);
      }
    });
  return {
    ...kind,
    show: (task, answer, error) => or(kind.show, unknown.show)?.(task, answer, error) ?? null,
    brief: (task, answer, error) => or(kind.brief, unknown.brief)?.(task, answer, error) ?? "",
    headline: or(kind.headline, unknown.brief),
    cells: (task, answer, error) => or(kind.cells, () => kind.columns(task).map(() => ""))?.(task, answer, error) ?? [],
    draw: or(kind.draw, () => []),
    paint: or(kind.paint, () => undefined),
    legend: or(kind.legend, () => []),
    hiddenPoints: or(kind.hiddenPoints, () => null),
  };
}

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
 * Names in a face's JSON that are no answer of a task that the contract lacks.
 * @param {Task[]} tasks
 * @returns {Set<string>}
 */
export function knownNames(tasks) {
  const ofTasks = tasks.flatMap((task) => (task.error ? [task.name, errorName(task.name)] : [task.name]));
  return new Set([...OF_EVERY_FACE, ...ofTasks]);
}

/**
 * The answers of a face in the contract's order, with their expected errors where these are stated; then those of
 * tasks that the contract does not have.
 * @param {Task[]} tasks
 * @param {Record<string, unknown>} face
 * @returns {{task: Task, kind: Kind, answer: any, error: any}[]}
 */
export function answersOf(tasks, face) {
  const known = tasks.filter((task) => Object.hasOwn(face, task.name));
  const names = knownNames(tasks);
  const others = Object.keys(face).filter((name) => !names.has(name));
  const all = [...known, ...others.map((name) => ({ name, kind: "", labels: [], unit: "" }))];
  return all.map((task) => ({
    task,
    kind: kindOf(task),
    answer: face[task.name],
    error: task.error && face[errorName(task.name)],
  }));
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
