/**
 * How far an answer may be off: its expected error, and what an interval makes of it. A network states for each
 * answer how large its absolute error is on average; how often the truth lies within so many of these stands in the
 * contract. As `qface_client.kinds` has it.
 *
 * @import { Task } from "../sources/source.js"
 */

const DRAWN_SHARE = 0.8; // of the true values that lie within what is drawn and printed

/** The name of a task's expected errors in a face's JSON. @param {string} task */
export function errorName(task) {
  return `${task}_error`;
}

/**
 * By how much an expected error is multiplied, so that four of five true values lie within; null: none is stated.
 *
 * Between two measured pairs it is linear in log(1 - share), before the first and beyond the last proportional to it.
 *
 * @param {Task} task
 * @param {number} [share]  of the true values
 * @returns {number | null}
 */
export function factorOf({ error }, share = DRAWN_SHARE) {
  if (!error?.within?.length) return null;
  const tail = (/** @type {number} */ p) => -Math.log1p(-p);
  const known = error.within.map(([p, factor]) => ({ at: tail(p), factor }));
  const wanted = tail(share);
  const next = known.findIndex(({ at }) => wanted <= at);
  if (next <= 0) {
    const nearest = known.at(next) ?? known[0]; // the first, or the last for a share beyond all
    return (nearest.factor * wanted) / nearest.at;
  }
  const [low, high] = [known[next - 1], known[next]];
  return low.factor + ((high.factor - low.factor) * (wanted - low.at)) / (high.at - low.at);
}

/**
 * How far from an answer's number four of five true ones lie at most; null where no error is stated.
 * @param {Task} task
 * @param {unknown} expected  the number's expected error
 * @returns {number | null}
 */
export function reachOf(task, expected) {
  const factor = factorOf(task);
  const isStated = typeof expected === "number" && Number.isFinite(expected) && expected >= 0;
  return factor === null || !isStated ? null : factor * expected;
}
