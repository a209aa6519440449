/** K independent labels. Head: a probability for each, [K]. A list where the labels say which points are seen. */

import { roundTo } from "../numbers.js";
import { largestDifference, named } from "./heads.js";

/** @import { Kind } from "./index.js" */

/** @type {Kind} */
export const multilabel = {
  name: "multilabel",
  tolerance: 0.02,
  answer: ({ labels, visible_points }, head) =>
    visible_points ? Array.from(head, (probability) => roundTo(probability, 4)) : named(labels, head, 4),
  difference: largestDifference,
  probabilities: (head) => head,
};
