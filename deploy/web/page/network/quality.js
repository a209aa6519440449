/** Faces whose quality is too low to be answered. `runtime.answering.quality`. */

import { KINDS } from "./kinds/index.js";

/** @import { Contract } from "./contract.js" */
/** @import { Head } from "./kinds/index.js" */

export const MIN_QUALITY = "min_quality"; // the request's parameter

/**
 * How a face's quality is read of its heads; null: the network states none.
 * @param {Contract} contract
 * @returns {{head: string, of: (head: Head) => number} | null}  `head`: of which it is read
 */
export function qualityOf({ quality, tasks }) {
  const task = quality && tasks.find(({ name }) => name === quality.task);
  const probabilities = task && KINDS.get(task.kind)?.probabilities;
  if (!task || !probabilities) return null;
  const label = task.labels.indexOf(quality.label);
  return { head: task.name, of: (head) => probabilities(head)[label] };
}
