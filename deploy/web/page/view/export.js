/** Answers to take along: JSON as it was answered, and CSV in the columns of `qface analyze --csv`. */

import { answersOf, kindOf } from "../kinds/index.js";

/** @import { Photo } from "../photos/photo.js" */

const OF_PHOTO = ["file", "photo", "width", "height", "faces_found", "contract", "error"];
const OF_FACE = ["face", "box.x0", "box.y0", "box.x1", "box.y1", "score"];

/** Photos with their answers, and those that failed with the reason. @param {Photo[]} photos */
export function asJson(photos) {
  const content = photos
    .filter(({ state, answer }) => answer || state === "failed")
    .map(({ name, answer, sentence }) => (answer ? { file: name, ...answer } : { file: name, error: sentence }));
  return `${JSON.stringify(content, null, 1)}\n`;
}

/** A row a face; photos without one, and those that failed, have a row too. @param {Photo[]} photos */
export function asCsv(photos) {
  /** @type {Map<string, import("../sources/source.js").Task>} */
  const tasks = new Map();
  for (const { answer, description } of photos) {
    for (const face of answer?.faces ?? []) {
      for (const { task } of answersOf(description?.tasks ?? [], face)) tasks.set(task.name, task);
    }
  }
  const columns = [...tasks.values()].flatMap((task) => kindOf(task).columns(task));
  const rows = photos.flatMap((photo, number) => rowsOf(photo, number, [...tasks.values()]));
  return [[...OF_PHOTO, ...OF_FACE, ...columns], ...rows].map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

/** @param {Photo} photo @param {number} number @param {import("../sources/source.js").Task[]} tasks */
function rowsOf({ name, answer, description, sentence }, number, tasks) {
  const about = answer
    ? [name, number, answer.width, answer.height, answer.faces_found, description?.contract ?? "", ""]
    : [name, number, "", "", "", "", sentence];
  const count = OF_FACE.length + tasks.flatMap((task) => kindOf(task).columns(task)).length;
  if (!answer?.faces.length) return [[...about, ...new Array(count).fill("")]];
  return answer.faces.map((face, index) => [
    ...about,
    index,
    ...face.box,
    face.score,
    ...tasks.flatMap((task) =>
      Object.hasOwn(face, task.name) ? kindOf(task).cells(task, face[task.name]) : kindOf(task).columns(task).map(() => ""),
    ),
  ]);
}

/** RFC 4180. @param {unknown} value */
function cell(value) {
  const text = String(value ?? "");
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** @param {string} text */
export async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Browsers give the clipboard to https and localhost only; the older way works on any page.
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  if (!isCopied) throw new Error("this browser gives no access to the clipboard: download the answers instead");
}

/** @param {string} text @param {string} name @param {string} type */
export function download(text, name, type) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000); // the browser reads it after this turn
}
