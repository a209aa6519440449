/**
 * A rotation. Head: its matrix [3, 3] in the crop's frame; answered as yaw, pitch and roll in degrees in the photo.
 * `runtime.pose` has the conventions.
 */

import { ofLabels } from "./errors.js";
import { named } from "./heads.js";

/** @import { Head, Kind } from "./index.js" */

const DEGREES = 180 / Math.PI;
const LOCKED = 1e-6;

/** @type {Kind} */
export const rotation = {
  name: "rotation",
  tolerance: 0.5,
  error: ofLabels,
  answer: ({ labels }, head, { toPhoto }) => {
    const angles = anglesOf(turned(head, Math.atan2(toPhoto[3], toPhoto[0])));
    return named(labels, angles.map(Math.fround), 2);
  },
  difference,
};

/**
 * The rotation after the picture is turned clockwise by an angle in radians.
 * @param {Head} r
 * @param {number} angle
 */
function turned(r, angle) {
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const upper = [0, 1, 2].map((i) => cos * r[i] - sin * r[3 + i]);
  const middle = [0, 1, 2].map((i) => sin * r[i] + cos * r[3 + i]);
  return [...upper, ...middle, r[6], r[7], r[8]];
}

/**
 * Yaw, pitch and roll in degrees. At yaw = +-90 pitch and roll turn about the same axis: roll is then 0.
 * @param {number[]} r
 */
function anglesOf(r) {
  const yaw = Math.asin(Math.min(Math.max(r[6], -1), 1));
  const isLocked = Math.hypot(r[0], r[3]) < LOCKED;
  const pitch = isLocked ? Math.atan2(r[5], r[4]) : Math.atan2(-r[7], r[8]);
  const roll = isLocked ? 0 : Math.atan2(r[3], r[0]);
  return [yaw * DEGREES, pitch * DEGREES, roll * DEGREES];
}

/**
 * The angle between two rotations, in degrees.
 * @param {Head} a
 * @param {Head} b
 */
function difference(a, b) {
  const apart = Math.hypot(...a.map((entry, i) => entry - b[i]));
  // Two rotations an angle x apart differ by 2 sqrt(2) sin(x / 2) in Frobenius' norm.
  return Number.isFinite(apart) ? 2 * Math.asin(Math.min(apart / (2 * Math.SQRT2), 1)) * DEGREES : Infinity;
}
