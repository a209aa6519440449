/**
 * The kinds of answers, one module each: how a network's head becomes the JSON of `POST /v1/analyze`. What
 * `runtime.kinds` and `to_dict` of `qface_client.kinds` do together.
 */

import { classes } from "./classes.js";
import { mask } from "./mask.js";
import { multilabel } from "./multilabel.js";
import { points } from "./points.js";
import { rotation } from "./rotation.js";
import { value } from "./value.js";

/** @import { Task } from "../../sources/source.js" */
/** @import { Affine } from "../image/affine.js" */

/** @typedef {Float32Array | Uint8Array} Head  a network's output for one face */

/**
 * Where a face lies in its photo.
 *
 * @typedef {object} Geometry
 * @property {Affine} toPhoto  crop's pixels -> photo's pixels, in single precision
 * @property {{width: number, height: number}} photo
 * @property {number} size  the crop's side
 *
 * What a head is: of a task, or of its expected errors.
 *
 * @typedef {object} HeadKind
 * @property {number} tolerance  how far an engine's heads may lie from another's, by `difference`
 * @property {(task: Task, head: Head, geometry: Geometry) => unknown} answer  as JSON has it
 * @property {(a: Head, b: Head) => number} difference  of two heads, in the unit of people
 *
 * @typedef {object} OfTasks
 * @property {string} name  as a contract spells it
 * @property {HeadKind} [error]  of the head beside, of tasks that have an `error`; undefined: never one
 * @property {(head: Head) => Head} [probabilities]  of the labels, where a head states them
 *
 * @typedef {HeadKind & OfTasks} Kind
 */

/** @type {ReadonlyMap<string, Kind>} */
export const KINDS = new Map([classes, multilabel, value, rotation, points, mask].map((kind) => [kind.name, kind]));

/**
 * The network's outputs that answer these tasks, which are of known kinds; each with its task and what it is.
 * @param {Task[]} tasks
 * @returns {{name: string, task: Task, kind: HeadKind}[]}
 */
export function headsOf(tasks) {
  return tasks.flatMap((task) => {
    const kind = /** @type {Kind} */ (KINDS.get(task.kind));
    const own = { name: task.name, task, kind };
    return task.error && kind.error ? [own, { name: `${task.name}_error`, task, kind: kind.error }] : [own];
  });
}
