// The stage: the pictures of the newest drawing, which of them are selected, and the way they came from noise.

import { $, announce, el, roving, setIcon } from "./dom.js";
import { onLanguage, t } from "./i18n.js";
import { className } from "./state.js";

const FRAME_TIME = 60; // milliseconds that a frame is shown when played
const LARGEST = 448; // CSS pixels a side: more makes tiny pictures no clearer

export const stage = {
  pictures: [], // {src, index, label}
  used: null, // what they were drawn from, as the API says it
  model: null,
  frames: [], // [[source of each picture]], from noise to the pictures
  selected: new Set(), // places in `pictures`
  here: false, // whether this device drew them
};

const listeners = new Set();
let columns = 1;
let settle = () => {};
let player = 0;

/** Calls `listener()` when the pictures or what is selected have changed. */
export function onStage(listener) {
  listeners.add(listener);
}

/** The selected pictures; all of them if none is. */
export function chosen() {
  const some = [...stage.selected].sort((a, b) => a - b).map((i) => stage.pictures[i]);
  return some.length ? some : stage.pictures;
}

export function setUpStage() {
  settle = roving($("tiles"), "button.tile", { columns: () => columns });
  $("tiles").addEventListener("click", (event) => {
    const tile = event.target.closest("button.tile");
    if (tile && stage.used) toggle([...$("tiles").children].indexOf(tile));
  });
  $("frame").addEventListener("input", () => {
    stop();
    showFrame(Number($("frame").value));
  });
  $("play").addEventListener("click", togglePlay);
  new ResizeObserver(() => arrange()).observe($("stage"));
  onLanguage(showText);
}

/** Empty places for pictures that are being drawn. */
export function expect(count, model) {
  stop();
  Object.assign(stage, { pictures: [], used: null, model, frames: [], selected: new Set() });
  $("stage-empty").hidden = true;
  $("scrub").hidden = true;
  $("tiles").classList.remove("live");
  if ($("tiles").children.length !== count) {
    const waiting = () => el("button", { class: "tile waiting", type: "button", "aria-label": t("picture.waiting") });
    $("tiles").replaceChildren(...Array.from({ length: count }, waiting));
  }
  for (const tile of $("tiles").children) tile.setAttribute("aria-pressed", "false");
  settle();
  arrange();
  tell();
}

/** A row of the plan is done: `sources` are the pictures as they are now. */
export function addFrame(row, rows, sources) {
  stage.frames.push(sources);
  $("tiles").classList.add("live");
  $("scrub").hidden = false;
  $("frame").max = rows - 1;
  $("frame").value = row - 1;
  stage.rows = [...(stage.frames.length > 1 ? stage.rows : []), row];
  stage.total = rows;
  fill(sources);
  showRow(row, rows);
}

/** The drawing is done. */
export function present({ pictures, used, milliseconds, here }, model) {
  Object.assign(stage, { pictures, used, model, here: Boolean(here), milliseconds, selected: new Set() });
  fill(pictures.map(({ src }) => src));
  if (stage.frames.length) {
    stage.frames[stage.frames.length - 1] = pictures.map(({ src }) => src);
    $("frame").max = stage.frames.length - 1;
    $("frame").value = stage.frames.length - 1;
    showRow(stage.rows.at(-1), stage.total);
  }
  $("scrub").hidden = stage.frames.length < 2;
  settle();
  showText();
  announce(t("drawn", { n: pictures.length }));
  tell();
}

/** The drawing was stopped or failed. */
export function abandon() {
  for (const tile of $("tiles").children) tile.classList.remove("waiting");
  $("tiles").replaceChildren();
  $("stage-empty").hidden = false;
  $("scrub").hidden = true;
  Object.assign(stage, { pictures: [], used: null, frames: [] });
  showText();
  tell();
}

function toggle(i) {
  if (!stage.selected.delete(i)) stage.selected.add(i);
  $("tiles").children[i].setAttribute("aria-pressed", stage.selected.has(i));
  showText();
  tell();
}

export function togglePlay() {
  if (player) return stop();
  if (stage.frames.length < 2) return;
  let at = Number($("frame").value);
  if (at >= stage.frames.length - 1) at = -1;
  setIcon($("play"), "pause");
  $("play").dataset.tLabel = "pause";
  $("play").setAttribute("aria-label", t("pause"));
  player = setInterval(() => {
    at += 1;
    $("frame").value = at;
    showFrame(at);
    if (at >= stage.frames.length - 1) stop();
  }, FRAME_TIME);
}

function stop() {
  clearInterval(player);
  player = 0;
  setIcon($("play"), "play");
  $("play").dataset.tLabel = "play";
  $("play").setAttribute("aria-label", t("play"));
}

function showFrame(i) {
  if (!stage.used || !stage.frames[i]) return;
  $("tiles").classList.add("live");
  fill(stage.frames[i]);
  showRow(stage.rows[i], stage.total);
}

function showRow(row, rows) {
  const text = t("step", { row, rows });
  $("frame-text").textContent = text;
  $("frame").setAttribute("aria-valuetext", text);
}

/** Puts sources into the tiles, whose images stay, so that nothing flickers. */
function fill(sources) {
  sources.forEach((src, i) => {
    const tile = $("tiles").children[i];
    const image = tile.querySelector("img") ?? tile.appendChild(el("img", {}));
    tile.classList.remove("waiting");
    tile.removeAttribute("aria-label");
    image.src = src;
    image.alt = altOf(stage.pictures[i], i);
  });
}

function altOf(picture, i) {
  const name = picture && stage.model ? className(stage.model, picture.label) : null;
  return name === null ? t("picture", { n: i + 1 }) : t("picture.of", { n: i + 1, name });
}

function showText() {
  const { used, pictures, milliseconds, model } = stage;
  [...$("tiles").querySelectorAll("img")].forEach((image, i) => (image.alt = altOf(pictures[i], i)));
  if (stage.frames.length && stage.rows) showRow(stage.rows[Math.min(Number($("frame").value), stage.rows.length - 1)], stage.total);
  if (!used) return void ($("used").textContent = "");
  const labels = new Set(pictures.map(({ label }) => label));
  const name = labels.size === 1 ? className(model, [...labels][0]) : null;
  const time = stage.here ? t("time.here", { ms: milliseconds / pictures.length }) : t("time", { ms: milliseconds });
  const plan = used.sampler ? `${t(`sampler.${used.sampler}`)}, ${t("facts.steps", { n: used.steps })}` : null;
  const some = stage.selected.size ? t("selected", { n: stage.selected.size }) : null;
  const parts = [some, name === null ? null : t("facts.class", { name }), t("facts.seed", { seed: String(used.seed) }), plan, time];
  $("used").textContent = parts.filter(Boolean).join(" · ");
}

const GAPS = { 1: 0, 9: 12, 25: 8, 4096: 4 };

/** As large as the stage allows, each pixel a whole number of the screen's. */
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

/** The columns that make pictures of [height, width] large and leave few places empty; CSS pixels a pixel. */
export function fit(count, [height, width], room, gap) {
  const device = window.devicePixelRatio || 1;
  let best = { columns: 1, scale: 0, worth: 0 };
  for (let n = 1; n <= count; n++) {
    const rows = Math.ceil(count / n);
    const size = Math.min((room.width - gap * (n - 1)) / n / width, (room.height - gap * (rows - 1)) / rows / height);
    const most = Math.min(size, LARGEST / Math.max(height, width));
    const scale = most * device >= 1 ? Math.floor(most * device) / device : most;
    const worth = scale * (1 - (2 * (rows * n - count)) / (rows * n)); // tidy is worth some size
    if (worth > best.worth + 1e-6) best = { columns: n, scale, worth };
  }
  return best;
}

const tell = () => listeners.forEach((listener) => listener());
