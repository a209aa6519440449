/** Rounding as Python and NumPy do it: halves go to the even neighbour. */

/**
 * @param {number} value
 * @returns {number} a whole number
 */
export function rint(value) {
  const up = Math.round(value);
  return Math.abs(value % 1) === 0.5 && up % 2 !== 0 ? up - 1 : up;
}

/**
 * Python's `round(value, digits)`: of the two nearest decimals the nearer one, by the exact binary value.
 * @param {number} value
 * @param {number} digits  0 to 20
 * @returns {number}
 */
export function roundTo(value, digits) {
  // `toFixed` is exact too, but takes a half away from zero: seen where all that follows the digits is 5000...
  const exact = value.toFixed(digits + 40);
  if (!/^50*$/.test(exact.slice(exact.indexOf(".") + 1 + digits))) return Number(value.toFixed(digits));
  const down = exact.slice(0, exact.length - 40); // cut off, toward zero
  const last = Number(down.at(-1) === "." ? down.at(-2) : down.at(-1));
  return last % 2 === 0 ? Number(down) : Number(value.toFixed(digits));
}
