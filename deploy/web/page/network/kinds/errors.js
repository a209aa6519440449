/**
 * How far an answer is expected to lie from the truth. Head: T_error [K], in the error's unit, of a task whose entry
 * in the contract has an `error`. `runtime.kinds.expected_error`.
 */

import { scaleOf } from "../image/affine.js";
import { roundTo } from "../numbers.js";
import { largestDifference, named } from "./heads.js";

/** @import { HeadKind } from "./index.js" */

/** Of numbers with labels: as the answer names them. @type {HeadKind} */
export const ofLabels = {
  tolerance: 0.5,
  answer: ({ labels }, head) => named(labels, head, 2),
  difference: largestDifference,
};

/** Of one number. @type {HeadKind} */
export const ofValue = { ...ofLabels, answer: ({ unit }, head) => ({ [unit]: roundTo(head[0], 2) }) };

/** Of points: distances in the crop's pixels, answered in the photo's. @type {HeadKind} */
export const ofPoints = {
  ...ofLabels,
  answer: (_task, head, { toPhoto }) =>
    Array.from(head, (distance) => roundTo(Math.fround(distance * scaleOf(toPhoto)), 2)),
};
