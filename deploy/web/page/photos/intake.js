/** Ways into the page for photos: chosen, a folder, dropped anywhere, pasted. */

import { byId } from "../dom.js";

const NOT_MEANT = /^(\..*|thumbs\.db|desktop\.ini)$/i; // what systems leave in folders

/** @typedef {{file: Blob, name: string}} Taken */

/**
 * @param {object} with_
 * @param {(taken: Taken[]) => void} with_.take
 * @param {(sentence: string) => void} with_.nothing  what was brought has no photo
 */
export function listen({ take, nothing }) {
  const photos = /** @type {HTMLInputElement} */ (byId("photos"));
  const folder = /** @type {HTMLInputElement} */ (byId("folder"));

  photos.addEventListener("change", () => {
    take([...(photos.files ?? [])].map(named));
    photos.value = ""; // so that the same file can be chosen again
  });

  folder.addEventListener("change", () => {
    const taken = meant([...(folder.files ?? [])].map(named));
    folder.value = "";
    if (taken.length) take(taken);
    else nothing("the folder is empty: choose one with photos in it");
  });

  let depth = 0; // of elements that the pointer has entered while it drags
  const drag = (/** @type {boolean} */ isOver) => document.body.classList.toggle("dragging", isOver);
  addEventListener("dragenter", (event) => {
    if (!hasFiles(event.dataTransfer)) return;
    depth += 1;
    drag(true);
  });
  addEventListener("dragleave", () => {
    depth = Math.max(0, depth - 1);
    if (!depth) drag(false);
  });
  addEventListener("dragover", (event) => {
    event.preventDefault();
    if (event.dataTransfer) event.dataTransfer.dropEffect = "copy";
  });
  addEventListener("drop", async (event) => {
    event.preventDefault();
    depth = 0;
    drag(false);
    const taken = await dropped(event.dataTransfer);
    if (taken.length) take(taken);
    else nothing("nothing of what was dropped is a file: save the picture first, and drop that");
  });

  addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length) {
      event.preventDefault();
      take(files.map(named));
    } else if (!isText(event.target)) {
      nothing("the clipboard has no picture: copy one, and paste it here");
    }
  });
}

/** @param {File} file @returns {Taken} */
function named(file) {
  return { file, name: file.webkitRelativePath || file.name || "picture" };
}

/** @param {Taken[]} taken */
function meant(taken) {
  return taken.filter(({ name }) => !NOT_MEANT.test(name.split("/").at(-1) ?? ""));
}

/** @param {DataTransfer | null} transfer */
function hasFiles(transfer) {
  return transfer?.types.includes("Files") ?? false;
}

/** @param {EventTarget | null} target */
function isText(target) {
  return target instanceof HTMLInputElement && !["checkbox", "radio", "range", "file"].includes(target.type);
}

/** All files of a drop, folders with what is below them. @param {DataTransfer | null} transfer @returns {Promise<Taken[]>} */
async function dropped(transfer) {
  if (!transfer) return [];
  const files = [...transfer.files].map(named); // both lists are gone once this function waits
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.() ?? null);
  if (!entries.some((entry) => entry?.isDirectory)) return files;
  /** @type {Taken[]} */
  const taken = [];
  for (const entry of entries) if (entry) await collect(entry, "", taken);
  return meant(taken);
}

/** @param {FileSystemEntry} entry @param {string} path @param {Taken[]} taken */
async function collect(entry, path, taken) {
  const name = `${path}${entry.name}`;
  if (entry.isFile) {
    const one = /** @type {FileSystemFileEntry} */ (entry);
    const file = await new Promise((resolve, reject) => one.file(resolve, reject)).catch(() => null);
    // What can't be read is an empty file, which is answered as one: nothing dropped is missing in the list.
    taken.push({ file: /** @type {File | null} */ (file) ?? new File([], entry.name), name });
    return;
  }
  const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
  for (;;) {
    /** @type {FileSystemEntry[]} */
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)).catch(() => []);
    if (!some.length) return; // it gives a hundred at a time
    for (const below of some.sort((a, b) => (a.name < b.name ? -1 : 1))) await collect(below, `${name}/`, taken);
  }
}
