/** Affine maps of the plane, [a, b, c, d, e, f]: x' = a x + b y + c, y' = d x + e y + f. */

/** @typedef {[number, number, number, number, number, number]} Affine */

/**
 * @param {Affine} affine
 * @returns {Affine}
 */
export function inverted([a, b, c, d, e, f]) {
  const determinant = a * e - b * d;
  const scale = determinant === 0 ? 0 : 1 / determinant;
  const [ia, ib, id, ie] = [e * scale, -b * scale, -d * scale, a * scale];
  return [ia, ib, -ia * c - ib * f, id, ie, -id * c - ie * f];
}

/**
 * How many times longer a map without shear makes a length.
 * @param {Affine} affine
 */
export function scaleOf([a, b, , d, e]) {
  return Math.sqrt(Math.abs(a * e - b * d));
}

/**
 * `first`, then `second`.
 * @param {Affine} second
 * @param {Affine} first
 * @returns {Affine}
 */
export function composed([a, b, c, d, e, f], [ga, gb, gc, gd, ge, gf]) {
  return [a * ga + b * gd, a * gb + b * ge, a * gc + b * gf + c, d * ga + e * gd, d * gb + e * ge, d * gc + e * gf + f];
}

/**
 * @param {Affine} affine
 * @param {number} x
 * @param {number} y
 * @returns {[number, number]}
 */
export function moved([a, b, c, d, e, f], x, y) {
  return [a * x + b * y + c, d * x + e * y + f];
}

/**
 * The map in single precision, as a server's tensors have it.
 * @param {Affine} affine
 * @returns {Affine}
 */
export function single(affine) {
  return /** @type {Affine} */ (affine.map(Math.fround));
}
