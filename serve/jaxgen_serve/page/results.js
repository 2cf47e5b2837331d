// The stage: the images of the newest request, the selection, and the frames from noise to image.

import { $, announce, el, roving } from "./dom.js";
import { duration, onLanguage, samplerWords, t } from "./i18n.js";
import { player } from "./player.js";
import { className } from "./state.js";

const FRAME_TIME = 60; // milliseconds that a frame is shown when played
const LARGEST = 448; // CSS pixels a side: larger does not make tiny images clearer

export const stage = {
  images: [], // {src, index, label}
  used: null, // the settings of a finished request, as in the API
  request: null, // the settings of an unfinished request
  running: false, // whether it is still running
  model: null,
  frames: [], // [[source of each image]], from noise to the images
  rows: [], // of the plan, one per frame
  total: 0, // of the plan's rows
  selected: new Set(), // indices into `images`
  here: false, // whether this device sampled them
  milliseconds: 0,
};

let finished = null; // the newest finished request

const listeners = new Set();
let columns = 1;
let settle = () => {};
let plays = null;

/** Calls `listener()` when the images or the selection have changed. */
export function onStage(listener) {
  listeners.add(listener);
}

/** The selected images; all of them if none is. */
export function chosen() {
  const some = [...stage.selected].sort((a, b) => a - b).map((i) => stage.images[i]);
  return some.length ? some : stage.images;
}

export function setUpStage() {
  settle = roving($("tiles"), "button.tile", { columns: () => columns });
  $("tiles").addEventListener("click", (event) => {
    const tile = event.target.closest("button.tile");
    if (tile && stage.used) toggle([...$("tiles").children].indexOf(tile));
  });
  plays = player({ slider: $("frame"), button: $("play"), show: showFrame, time: FRAME_TIME, once: true });
  new ResizeObserver(() => arrange()).observe($("stage"));
  onLanguage(() => {
    showScrub();
    showText();
  });
}

/** Shows empty tiles for the images of a request that starts. */
export function expect(request, model) {
  plays.stop();
  set({ request, running: true, model });
  $("tiles").classList.remove("live");
  $("tiles").classList.toggle("stale", !request.quick); // earlier images, if they are still shown
  place(request.count);
  showAll();
}

/** Shows a frame: `row` of `rows` of the plan are done, and `sources` are the images by then. */
export function addFrame(row, rows, sources) {
  stage.frames.push(sources);
  stage.rows.push(row);
  stage.total = rows;
  $("tiles").classList.add("live");
  fill(sources);
  showScrub();
}

/** Shows the result of a finished request. */
export function present({ images, used, milliseconds, here = false }, model) {
  const { frames, rows, total } = stage;
  const last = images.map(({ src }) => src);
  if (frames.length) frames[frames.length - 1] = last;
  finished = { images, used, milliseconds, here, model, frames, rows, total };
  showFinished();
  announce(t("generated", { n: images.length }));
}

/** After a stop or failure: keeps the last frame; without one, shows the finished request before it. */
export function abandon() {
  stage.running = false;
  if (stage.frames.length) {
    announce(stopped());
    showAll();
  } else if (finished) {
    showFinished();
  } else {
    clearStage();
  }
}

/** Empties the stage: its images are of another model. */
export function clearStage() {
  finished = null;
  plays.stop();
  set({});
  $("tiles").replaceChildren();
  showAll();
}

function showFinished() {
  set(finished);
  place(finished.images.length);
  fill(finished.images.map(({ src }) => src));
  showAll();
}

function set(values) {
  const blank = { images: [], used: null, request: null, running: false, frames: [], rows: [], total: 0 };
  Object.assign(stage, blank, { selected: new Set() }, values);
}

/** Makes `count` tiles; keeps the tiles if there are as many already, so that nothing flickers. */
function place(count) {
  if ($("tiles").children.length !== count) {
    const waiting = () => el("button", { class: "tile waiting", type: "button", "aria-label": t("image.waiting") });
    $("tiles").replaceChildren(...Array.from({ length: count }, waiting));
  }
  for (const tile of $("tiles").children) tile.setAttribute("aria-pressed", "false");
  settle();
  arrange();
}

function showAll() {
  $("stage-empty").hidden = $("tiles").children.length > 0;
  $("frame").max = Math.max(0, stage.frames.length - 1);
  $("frame").value = $("frame").max;
  showScrub();
  showText();
  notify();
}

function toggle(i) {
  if (!stage.selected.delete(i)) stage.selected.add(i);
  $("tiles").children[i].setAttribute("aria-pressed", stage.selected.has(i));
  showText();
  notify();
}

export const togglePlay = () => stage.running || stage.frames.length < 2 || plays.toggle();

function showFrame(i) {
  if (!stage.frames[i]) return;
  $("tiles").classList.add("live");
  fill(stage.frames[i]);
  showRow(i);
}

/** Shows a progress bar while a request runs, then a slider and its button. */
function showScrub() {
  const { running, frames, rows, total } = stage;
  $("scrub").hidden = frames.length < (running ? 1 : 2);
  $("progress").hidden = !running;
  $("play").hidden = $("frame").hidden = running;
  if (!frames.length) return;
  $("progress").max = total;
  $("progress").value = rows.at(-1);
  showRow(running ? frames.length - 1 : Number($("frame").value));
}

function showRow(i) {
  const text = t("step", { row: stage.rows[i], rows: stage.total });
  $("frame-text").textContent = text;
  $("frame").setAttribute("aria-valuetext", text);
}

/** Puts sources into the tiles, and reuses their <img> elements so that nothing flickers. */
function fill(sources) {
  $("tiles").classList.remove("stale");
  sources.forEach((src, i) => {
    const tile = $("tiles").children[i];
    const image = tile.querySelector("img") ?? tile.appendChild(el("img", {}));
    tile.classList.remove("waiting");
    tile.removeAttribute("aria-label");
    image.src = src;
    image.alt = altOf(stage.images[i], i);
  });
}

function altOf(image, i) {
  const name = image && stage.model ? className(stage.model, image.label) : null;
  return name === null ? t("image", { n: i + 1 }) : t("image.of", { n: i + 1, name });
}

function showText() {
  [...$("tiles").querySelectorAll("img")].forEach((image, i) => (image.alt = altOf(stage.images[i], i)));
  $("used").textContent = caption().filter(Boolean).join(" · ");
}

function caption() {
  const { used, request, images, milliseconds, model } = stage;
  const from = used ?? request;
  if (!from || !model) return [];
  const labels = new Set(used ? images.map(({ label }) => label) : [request.label ?? null]);
  const name = labels.size === 1 ? className(model, [...labels][0]) : null;
  const plan = from.sampler ? `${samplerWords(from.sampler)}, ${t("facts.steps", { n: from.steps })}` : null;
  const time = stage.here ? t("time.here", { time: duration(milliseconds / images.length) }) : duration(milliseconds);
  const some = stage.selected.size ? t("selected", { n: stage.selected.size }) : null;
  const facts = [name === null ? null : t("facts.class", { name }), t("facts.seed", { seed: String(from.seed) }), plan];
  return [request && !stage.running ? stopped() : some, ...facts, used ? time : null];
}

const stopped = () => t("stopped", { row: stage.rows.at(-1), rows: stage.total });

const FEW = 8; // images, of which one may stand in a row of its own
const GAPS = { 1: 0, 9: 12, 25: 8, 4096: 4 };

/** Makes the images as large as the stage allows, with whole screen pixels per image pixel. */
function arrange() {
  const count = $("tiles").children.length;
  if (!count || !stage.model) return;
  const style = getComputedStyle($("stage"));
  const room = {
    width: $("stage").clientWidth - parseFloat(style.paddingLeft) * 2,
    height: $("stage").clientHeight - parseFloat(style.paddingTop) * 2,
  };
  const gap = Object.entries(GAPS).find(([most]) => count <= Number(most))[1];
  const best = fit(count, stage.model.shape, room, gap);
  columns = best.columns;
  const set = (name, value) => $("tiles").style.setProperty(name, value);
  set("--columns", columns);
  set("--tile-gap", `${gap}px`);
  set("--tile-width", `${best.scale * stage.model.shape[1]}px`);
  set("--tile-height", `${best.scale * stage.model.shape[0]}px`);
}

/** The columns that make images of [height, width] large; many fill a whole rectangle. scale: CSS pixels per pixel. */
function fit(count, [height, width], room, gap) {
  const device = window.devicePixelRatio || 1;
  let best = { columns: 1, scale: 0, worth: 0 };
  for (let n = 1; n <= count; n++) {
    if (count > FEW && count % n) continue;
    const rows = Math.ceil(count / n);
    const size = Math.min((room.width - gap * (n - 1)) / n / width, (room.height - gap * (rows - 1)) / rows / height);
    const most = Math.min(size, LARGEST / Math.max(height, width));
    const scale = most * device >= 1 ? Math.floor(most * device) / device : most;
    const worth = scale * (1 - (2 * (rows * n - count)) / (rows * n)); // trades size for fewer empty cells
    if (worth > best.worth + 1e-6) best = { columns: n, scale, worth };
  }
  return best;
}

/** Makes a single <img> as large as `room` allows. */
export function fitOne(image, [height, width], room) {
  const { scale } = fit(1, [height, width], room, 0);
  image.style.setProperty("--side", `${scale * width}px`);
  image.style.setProperty("--tall", `${scale * height}px`);
}

const notify = () => listeners.forEach((listener) => listener());
