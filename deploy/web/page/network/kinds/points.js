/** K points. Head: [K, 2], x and y in the crop's pixels; answered in the photo's. */

import { moved } from "../image/affine.js";
import { roundTo } from "../numbers.js";
import { ofPoints } from "./errors.js";
import { largestDifference } from "./heads.js";

/** @import { Kind } from "./index.js" */

/** @type {Kind} */
export const points = {
  name: "points",
  tolerance: 0.5,
  error: ofPoints,
  answer: ({ labels }, head, { toPhoto }) =>
    labels.map((_, i) => moved(toPhoto, head[2 * i], head[2 * i + 1]).map((place) => roundTo(Math.fround(place), 2))),
  difference: largestDifference,
};
