/**
 * Whether JSON is in the form that the page relies on: what answers may be something else than it seems. Answers of
 * tasks are not looked at: each kind bears those in another form.
 *
 * @import { Answer, Description } from "./source.js"
 */

/** @param {any} value @returns {value is Description} */
export function isDescription(value) {
  return (
    isObject(value) &&
    isListOf(value.tasks, isTask) &&
    (value.request_parameters === undefined || Object.values(value.request_parameters ?? [null]).every(isObject)) &&
    (value.models === undefined || isListOf(value.models, isText))
  );
}

/** @param {any} value @returns {value is Answer} */
export function isAnswer(value) {
  return isObject(value) && value.width > 0 && value.height > 0 && isListOf(value.faces, isFace);
}

/** @param {any} value */
function isTask(value) {
  return isObject(value) && isText(value.name) && isText(value.kind) && isListOf(value.labels, isText);
}

/** @param {any} value */
function isFace(value) {
  return isObject(value) && isListOf(value.box, Number.isFinite) && value.box.length === 4 && Number.isFinite(value.score);
}

/** @param {any} value @param {(each: any) => boolean} is */
function isListOf(value, is) {
  return Array.isArray(value) && value.every(is);
}

/** @param {any} value */
function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** @param {any} value */
function isText(value) {
  return typeof value === "string";
}
