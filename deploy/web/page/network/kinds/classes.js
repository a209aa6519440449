/** One label of K. Head: probabilities [K] that sum to 1. */

import { largestDifference, named } from "./heads.js";

/** @import { Kind } from "./index.js" */

/** @type {Kind} */
export const classes = {
  name: "classes",
  tolerance: 0.02,
  answer: ({ labels }, head) => ({
    label: labels[head.indexOf(Math.max(...head))],
    probabilities: named(labels, head, 4),
  }),
  difference: largestDifference,
};
