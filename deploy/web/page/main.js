/** The page: what it knows, who answers, what is asked, and the views of it, put together. */

import { Answering } from "./answering.js";
import { byId } from "./dom.js";
import { knownNames } from "./kinds/index.js";
import { shown } from "./photos/decode.js";
import { listen } from "./photos/intake.js";
import { Photo } from "./photos/photo.js";
import { PhotoQueue } from "./photos/queue.js";
import { thumbnail, Thumbnails } from "./photos/thumbnails.js";
import { State } from "./state.js";
import { Asking } from "./view/asking.js";
import { Camera } from "./view/camera.js";
import { asCsv, asJson, copy, download } from "./view/export.js";
import { Faces } from "./view/faces.js";
import { List } from "./view/list.js";
import { say, settle, warn } from "./view/messages.js";
import { Stage } from "./view/stage.js";
import { Table } from "./view/table.js";
import { switchTheme } from "./view/theme.js";
import { showTime } from "./view/time.js";
import { counted } from "./words.js";

const PHOTO = "photo"; // what alerts about photos are about
const PROMISES = new Map([
  ["server", "Each one goes to this page's server and is kept nowhere: not there, and not in this browser."],
  ["browser", "The network runs in this browser. No photo leaves this machine."],
]);

const state = new State();

function asking() {
  const { description, parameters } = state;
  const { source } = answering;
  if (!source || !description) return null;
  const tasks = state.tasks();
  const text = JSON.stringify([answering.name, description.contract, tasks, parameters]);
  return { source, description, tasks, parameters: { ...parameters }, text };
}

const queue = new PhotoQueue({ asking, changed, away: () => answering.away() });
const answering = new Answering(state, { ready, closing: () => queue.takeBack(), without });
const thumbnails = new Thumbnails({ isListed: (photo) => state.photos.includes(photo), made: () => state.changed("photos") });
const list = new List(state, { choose, remove, retry });
const table = new Table(state, choose);
const camera = new Camera(state, { asking, take: (frame) => take([frame]), show });

/** Photos that were asked for together: those since nothing was under way. @type {Set<Photo>} */
const batch = new Set();

/** @param {Photo} photo @param {{first?: boolean}} [how] */
function ask(photo, how) {
  if (queue.isIdle) batch.clear();
  batch.add(photo);
  queue.add(photo, how);
}

/** @param {{file: Blob, name: string}[]} taken */
function take(taken) {
  if (!taken.length) return;
  camera.close();
  settle(PHOTO);
  const photos = taken.map(({ file, name }) => new Photo(file, name));
  state.photos.push(...photos);
  document.body.classList.remove("empty");
  if (photos.length > 1) say(`${counted(photos.length, "photo")} to analyse`);
  choose(photos[0]);
  for (const photo of photos) ask(photo);
}

/** @param {Photo} photo */
function choose(photo) {
  if (state.chosen === photo) return;
  camera.close();
  show(photo);
  if (photo.state === "answered" && photo.asked !== asking()?.text) ask(photo, { first: true });
}

/** Shows a photo with its pixels; null: none. @param {Photo | null} photo @param {HTMLCanvasElement | null} [picture] */
function show(photo, picture = null) {
  const isOther = state.chosen !== photo;
  state.chosen = photo;
  if (isOther || picture) state.picture = picture;
  state.changed("chosen");
  if (photo && !picture && isOther) void read(photo);
}

/** Decodes the chosen photo; one that is left meanwhile is not shown. @param {Photo} photo */
async function read(photo) {
  const picture = await shown(photo.file).catch(() => null);
  if (!picture) return;
  photo.thumbnail ??= thumbnail(picture);
  state.changed("photos");
  if (state.chosen !== photo) return;
  state.picture = picture;
  state.changed("chosen");
}

/** @param {Photo} photo  whose state is another one */
function changed(photo) {
  state.changed("photos");
  if (photo === state.chosen) state.changed("chosen");
  if (photo.state === "answered" || photo.state === "failed") ended(photo);
}

/** @param {Photo} photo */
function ended(photo) {
  if (!photo.thumbnail && photo !== state.chosen) thumbnails.add(photo);
  const names = photo.answer ? Object.keys(photo.answer.faces[0] ?? {}) : [];
  const known = knownNames(state.description?.tasks ?? []);
  if (names.some((name) => !known.has(name))) void answering.look(); // what is served is another network now
  const all = [...batch];
  const left = all.filter((each) => each.isUnderWay).length;
  const failed = state.photos.filter((each) => each.state === "failed");
  if (photo.state === "failed") {
    const others = failed.length > 1 ? ` (and ${counted(failed.length - 1, "more photo")}: the list has the reasons)` : "";
    warn(`${photo.name}: ${photo.sentence}${others}`, { action: { name: "Ask again", run: () => failed.forEach(retry) }, about: PHOTO });
  }
  if (left) say(`${all.length - left} of ${counted(all.length, "photo")} analysed`);
  else say(all.length > 1 ? summary(all) : found(photo));
}

/** @param {Photo} photo */
function found({ name, answer, state: how }) {
  if (how === "failed" || !answer) return `${name} was not analysed`;
  const faces = answer.faces.length;
  return faces ? `${counted(faces, "face")} found in ${name}` : `no face found in ${name}`;
}

/** @param {Photo[]} photos */
function summary(photos) {
  const answered = photos.filter(({ state: how }) => how === "answered");
  const faces = answered.reduce((sum, { answer }) => sum + (answer?.faces.length ?? 0), 0);
  const failed = photos.filter(({ state: how }) => how === "failed").length;
  const without = failed ? `, ${failed} not analysed` : "";
  return `${counted(faces, "face")} found in ${counted(answered.length, "photo")}${without}`;
}

/** @param {Photo} photo */
function remove(photo) {
  queue.cancel(photo);
  batch.delete(photo);
  const place = state.photos.indexOf(photo);
  state.photos = state.photos.filter((other) => other !== photo);
  state.changed("photos");
  document.body.classList.toggle("empty", !state.photos.length && !camera.webcam.isOpen);
  if (photo === state.chosen) {
    const next = state.photos[Math.min(place, state.photos.length - 1)];
    if (next) choose(next);
    else show(null);
  }
  if (!state.photos.length) {
    settle(PHOTO);
    say("");
  }
}

/** All at once: one after the other, each neighbour would be shown before it goes. */
function clear() {
  state.photos = [];
  batch.clear();
  document.body.classList.toggle("empty", !camera.webcam.isOpen);
  show(null);
  state.changed("photos");
  settle(PHOTO);
  say("");
}

/** @param {Photo} photo */
function retry(photo) {
  settle(PHOTO);
  ask(photo, { first: true });
  if (queue.isPaused) void answering.look();
}

function ready() {
  queue.resume();
  changedAsking();
}

/** What is asked is something else: the chosen photo is asked anew, the others when they are looked at or all at once. */
function changedAsking() {
  const now = asking()?.text;
  const { chosen } = state;
  if (chosen && !chosen.isLive && now && chosen.asked !== now && (chosen.state === "answered" || chosen.state === "asked")) {
    ask(chosen, { first: true });
  }
  state.changed("asking", "photos");
}

function stale() {
  const now = asking()?.text;
  return now ? state.photos.filter((photo) => photo.state === "answered" && photo.asked !== now) : [];
}

function controls() {
  const again = byId("again");
  again.addEventListener("click", () => stale().forEach((photo) => ask(photo)));
  state.on(["photos", "asking"], () => {
    const others = stale().length;
    again.hidden = !others;
    again.textContent = `Ask ${others === 1 ? "1" : `all ${others}`} anew`;
  });
  byId("cancel").addEventListener("click", () => {
    queue.cancelAll();
    say("canceled: answers that there are stay");
  });
  byId("clear").addEventListener("click", () => {
    queue.cancelAll();
    clear();
    byId("photos").focus();
  });
  byId("webcam").addEventListener("click", () => void camera.open());
  byId("copy-json").addEventListener("click", () => {
    const photos = table.photos();
    void copied(photos.length === 1 ? `${JSON.stringify(photos[0].answer)}\n` : asJson(photos), "JSON");
  });
  byId("copy-csv").addEventListener("click", () => void copied(asCsv(table.photos()), "CSV"));
  byId("download").addEventListener("click", () => {
    const photos = state.photos.length ? state.photos : table.photos();
    download(asJson(photos), "faces.json", "application/json");
    say(`faces.json has the answers of ${counted(photos.filter(({ answer }) => answer).length, "photo")}`);
  });
}

/** @param {string} text @param {string} form */
async function copied(text, form) {
  try {
    await copy(text);
    say(`copied as ${form}`);
  } catch (error) {
    warn(error instanceof Error ? error.message : String(error), { about: PHOTO });
  }
}

/** @returns {HTMLInputElement[]} */
function sources() {
  return [.../** @type {NodeListOf<HTMLInputElement>} */ (document.querySelectorAll('input[name="source"]'))];
}

/** @param {string} name */
function use(name) {
  byId("promise").textContent = PROMISES.get(name) ?? "";
  byId("key-field").hidden = name !== "server";
  void answering.choose(name);
}

function without() {
  for (const input of sources()) {
    input.checked = input.value === "browser";
    input.disabled = input.value === "server";
  }
  use("browser");
}

function chooseSource() {
  for (const input of sources()) input.addEventListener("change", () => use(input.value));
  use(sources().find((input) => input.checked)?.value ?? "server"); // a browser may restore what was chosen before
}

/** What stays at the top may have an alert in it: the columns begin below. */
function measureTop() {
  const top = byId("top");
  new ResizeObserver(() => document.documentElement.style.setProperty("--top", `${top.offsetHeight}px`)).observe(top);
}

switchTheme();
measureTop();
new Stage(state);
new Faces(state);
new Asking(state, { changed: changedAsking, keyChanged: () => void answering.look() });
showTime(state);
controls();
listen({ take, nothing: (sentence) => warn(sentence, { about: PHOTO }) });
chooseSource();
addEventListener("pagehide", () => answering.source?.close());
addEventListener("pageshow", (event) => {
  if (event.persisted) void answering.choose(answering.name); // back from the browser's own cache
});
