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
 * @typedef {object} Kind
 * @property {string} name  as a contract spells it
 * @property {number} tolerance  how far an engine's heads may lie from another's, by `difference`
 * @property {(task: Task, head: Head, geometry: Geometry) => unknown} answer  as JSON has it
 * @property {(a: Head, b: Head) => number} difference  of two heads, in the unit of people
 */

/** @type {ReadonlyMap<string, Kind>} */
export const KINDS = new Map([classes, multilabel, value, rotation, points, mask].map((kind) => [kind.name, kind]));
