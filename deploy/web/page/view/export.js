/** Answers to take along: JSON as it was answered, and CSV in the columns of `qface analyze --csv`. */

import { answersOf, kindOf } from "../kinds/index.js";

/** @import { Photo } from "../photos/photo.js" */

const OF_BOX = ["box.x0", "box.y0", "box.x1", "box.y1"];

/**
 * The columns before those of tasks: of the photo and of the face.
 * @param {boolean} isRated  whether the quality of faces is stated
 */
function aboutColumns(isRated) {
  const [ofPhoto, ofFace] = isRated ? [["faces_below_quality"], ["quality"]] : [[], []];
  return {
    ofPhoto: ["file", "photo", "width", "height", "faces_found", ...ofPhoto, "contract", "error"],
    ofFace: ["face", ...OF_BOX, "score", ...ofFace],
  };
}

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
  const { ofPhoto, ofFace } = aboutColumns(photos.some(({ answer }) => answer?.faces_below_quality !== undefined));
  const columns = [...tasks.values()].flatMap((task) => kindOf(task).columns(task));
  const names = [...ofPhoto, ...ofFace, ...columns];
  const rows = photos.flatMap((photo, number) => rowsOf(photo, number, { tasks: [...tasks.values()], names }));
  return [names, ...rows].map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

/**
 * Rows of the columns of these names: one a face, and one for a photo without any.
 * @param {Photo} photo
 * @param {number} number
 * @param {{tasks: import("../sources/source.js").Task[], names: string[]}} columns
 */
function rowsOf({ name, answer, description, sentence }, number, { tasks, names }) {
  /** @type {Record<string, unknown>} */
  const about = {
    file: name,
    photo: number,
    width: answer?.width,
    height: answer?.height,
    faces_found: answer?.faces_found,
    faces_below_quality: answer?.faces_below_quality,
    contract: answer && description?.contract,
    error: answer ? "" : sentence,
  };
  const rows = (answer?.faces ?? []).map((face, index) => {
    const box = OF_BOX.map((column, place) => [column, face.box[place]]);
    const cells = answersOf(tasks, face).flatMap(({ task, kind, answer: value, error }) => {
      const values = kind.cells(task, value, error);
      return kind.columns(task).map((column, place) => [column, values[place]]);
    });
    const { score, quality } = face;
    return { ...about, face: index, ...Object.fromEntries(box), score, quality, ...Object.fromEntries(cells) };
  });
  return (rows.length ? rows : [about]).map((row) => names.map((column) => row[column]));
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
