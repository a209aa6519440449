/** One number in the contract's unit. Head: [1]. */

import { roundTo } from "../numbers.js";
import { ofValue } from "./errors.js";
import { largestDifference } from "./heads.js";

/** @import { Kind } from "./index.js" */

/** @type {Kind} */
export const value = {
  name: "value",
  tolerance: 0.5,
  error: ofValue,
  answer: ({ unit }, head) => ({ [unit]: roundTo(head[0], 2) }),
  difference: largestDifference,
};
