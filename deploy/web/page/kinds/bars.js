/** Probabilities as bars with numbers, the largest first, many of them folded. */

import { h } from "../dom.js";
import { percent, plain } from "../words.js";

/**
 * @typedef {object} Bar
 * @property {string} label  as the contract spells it
 * @property {number} share  in [0, 1]
 * @property {string} [colour]  what it is drawn in on the photo
 */

/**
 * @param {Bar[]} all  in any order
 * @param {object} how
 * @param {number} how.first  how many are seen at once
 * @param {number} [how.threshold]  marked on each bar
 * @returns {DocumentFragment}
 */
export function bars(all, { first, threshold }) {
  const sorted = all.toSorted((a, b) => b.share - a.share);
  // To fold one or two would save nothing.
  const seen = sorted.length - first <= 2 ? sorted.length : first;
  const fragment = document.createDocumentFragment();
  if (seen) fragment.append(list(sorted.slice(0, seen), threshold));
  if (seen < sorted.length) {
    const folded = h("details", { class: "fold" }, h("summary", {}, `all ${sorted.length}`));
    // Made when it is opened: a face has some hundred labels, and a photo may have hundreds of faces.
    folded.addEventListener("toggle", () => folded.append(list(sorted.slice(seen), threshold)), { once: true });
    fragment.append(folded);
  }
  return fragment;
}

/** @param {Bar[]} some @param {number} [threshold] */
function list(some, threshold) {
  return h("ol", { class: "bars" }, some.map((bar) => row(bar, threshold)));
}

/** @param {Bar} bar @param {number} [threshold] */
function row({ label, share, colour }, threshold) {
  const isAbsent = threshold !== undefined && share < threshold;
  const mark = threshold === undefined ? null : h("i", { class: "mark", style: { left: `${threshold * 100}%` } });
  const width = { width: `${Math.min(100, Math.max(0, share * 100)).toFixed(2)}%` };
  return h(
    "li",
    { class: isAbsent ? "bar absent" : "bar" },
    h("span", { class: "label" }, colour ? swatch(colour) : null, plain(label)),
    h(
      "span",
      { class: "track", "aria-hidden": "true" },
      h("b", { class: "fill", style: colour ? { ...width, background: colour } : width }),
      mark,
    ),
    h("span", { class: "number" }, percent(share)),
  );
}

/** @param {string} colour */
export function swatch(colour) {
  return h("i", { class: "swatch", "aria-hidden": "true", style: { background: colour } });
}
