/** The contract of a network: what it answers, as its ONNX file states it. `runtime.contract`. */

import { SourceError } from "../sources/source.js";
import { readMetadata } from "./onnx_metadata.js";

/** @import { Description, RequestParameter, Task } from "../sources/source.js" */

const NEWEST = 1; // version of a contract's form

/**
 * @typedef {object} Contract
 * @property {number} version
 * @property {number} input_size
 * @property {Task[]} tasks
 * @property {string} [crop]
 * @property {{task: string, label: string, minimum: number}} [quality]  which answer is a face's quality
 * @property {string} hash
 */

/**
 * @param {Uint8Array} network  an ONNX file
 * @returns {Contract}
 * @throws {SourceError} where it states none that can be read here
 */
export function readContract(network) {
  let contract;
  try {
    contract = JSON.parse(readMetadata(network).get("contract") ?? "");
  } catch (error) {
    throw new SourceError("the network's file states no contract that can be read: make the bundle again", {
      reason: "bundle",
      cause: error,
    });
  }
  if (contract.version > NEWEST) {
    throw new SourceError(
      `the network's contract has version ${contract.version}, and this page reads up to ${NEWEST}: take a newer page`,
      { reason: "bundle" },
    );
  }
  return contract;
}

/**
 * The contract as `GET /v1/tasks` describes one.
 * @param {Contract} contract
 * @param {{name: string, precision: string, notice: string, request_parameters: Record<string, RequestParameter>}} about
 * @returns {Description & {crop: string}}
 */
export function described(contract, { name, precision, notice, request_parameters }) {
  return {
    version: contract.version,
    contract: contract.hash,
    input_size: contract.input_size,
    crop: contract.crop ?? "aligned",
    ...(contract.quality && { quality: contract.quality }),
    tasks: contract.tasks,
    models: [name],
    precision,
    notice,
    request_parameters,
  };
}

/**
 * The tasks of these names in the contract's order; null: those that are answered by default.
 * @param {Contract} contract
 * @param {string[] | null} names
 * @param {ReadonlyMap<string, unknown>} kinds  those that can be answered here
 * @returns {Task[]}
 * @throws {SourceError} for a name that there is not, and for a task of an unknown kind
 */
export function selectTasks(contract, names, kinds) {
  const known = contract.tasks.map((task) => task.name);
  const missing = names?.find((name) => !known.includes(name));
  if (missing !== undefined) {
    throw new SourceError(`there is no task ${JSON.stringify(missing)} here: ${known.join(", ")} are`, {
      reason: "parameter",
    });
  }
  if (names === null) return contract.tasks.filter((task) => task.default !== false && kinds.has(task.kind));
  const chosen = contract.tasks.filter((task) => names.includes(task.name));
  const unknown = chosen.find((task) => !kinds.has(task.kind));
  if (unknown) {
    throw new SourceError(
      `task ${JSON.stringify(unknown.name)} answers in kind ${JSON.stringify(unknown.kind)}, which this page does ` +
        `not know (it knows ${[...kinds.keys()].join(", ")}): take a newer page`,
      { reason: "parameter" },
    );
  }
  return chosen;
}
