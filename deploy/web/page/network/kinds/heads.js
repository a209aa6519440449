/** What kinds share: labels with numbers, and how far two heads lie apart. */

import { roundTo } from "../numbers.js";

/** @import { Head } from "./index.js" */

/**
 * @param {string[]} labels
 * @param {ArrayLike<number>} numbers
 * @param {number} digits
 * @returns {Record<string, number>}
 */
export function named(labels, numbers, digits) {
  return Object.fromEntries(labels.map((label, i) => [label, roundTo(numbers[i], digits)]));
}

/**
 * The largest difference of two heads; infinite where one is no number.
 * @param {Head} a
 * @param {Head} b
 */
export function largestDifference(a, b) {
  let largest = 0;
  for (let i = 0; i < a.length; i++) {
    const apart = Math.abs(a[i] - b[i]);
    if (!(apart <= largest)) largest = Number.isNaN(apart) ? Infinity : apart;
  }
  return largest;
}
