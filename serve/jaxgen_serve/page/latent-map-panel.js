// The Map panel: the latent plane of a VAE with two latents, and a decoded point of it.

import { $, ARROWS, save } from "./dom.js";
import { fillClasses } from "./controls.js";
import { elsewhere } from "./edit-panel.js";
import { latentName } from "./file-names.js";
import { decimal, onLanguage, t } from "./i18n.js";
import { quantile } from "./normal.js";
import { bytesOf } from "./png.js";
import { attempt, problem } from "./error-banner.js";
import { fitOne } from "./results.js";
import { state, watch } from "./state.js";

const EDGE = 0.004; // margin, as a share of the infinite plane

let backend = null;
let share = { x: 0.5, y: 0.5 }; // of the map's width and height, from the top left
let shown = ""; // the model and class of the shown map
let decoding = false; // one point at a time; the newest one waits
let waiting = false;

export function setUpMap(current) {
  backend = current;
  let held = false;
  const follow = (event) => {
    const box = $("plane").getBoundingClientRect();
    moveTo((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  };
  $("plane").addEventListener("pointerdown", (event) => {
    held = true;
    $("plane").setPointerCapture(event.pointerId);
    $("puck").focus({ focusVisible: false });
    event.preventDefault();
    follow(event);
  });
  $("plane").addEventListener("pointermove", (event) => held && follow(event));
  for (const name of ["pointerup", "pointercancel"]) $("plane").addEventListener(name, () => (held = false));
  $("puck").addEventListener("keydown", (event) => {
    if (!(event.key in ARROWS)) return;
    event.preventDefault();
    const [step, [x, y]] = [event.shiftKey ? 0.1 : 0.02, ARROWS[event.key]];
    moveTo(share.x + x * step, share.y + y * step);
  });
  $("map-class").addEventListener("change", openMap);
  $("map-png").addEventListener("click", saveImage);
  new ResizeObserver(arrange).observe($("map-stage"));
  watch((changed) => changed.has("model") && !$("panel-map").hidden && openMap());
  onLanguage(() => !$("panel-map").hidden && openMap());
}

/** Whether the model has a latent plane to show; a static site needs a prepared map image. */
export const hasMap = (model) => model.latent === 2 && !model.plan && !(backend().static && !model.map);

/** Shows the map of the chosen model, if it has one. */
export async function openMap() {
  const { model } = state;
  if (!model) return;
  const able = hasMap(model);
  $("map-some").hidden = !able;
  elsewhere("map-none", able, t("map.unable", { name: model.name }), state.models.filter(hasMap));
  if (!able) return;
  $("map-class-row").hidden = !model.classes.length;
  fillClasses($("map-class"), model, null);
  const key = `${model.sha256} ${$("map-class").value}`;
  if (key !== shown) {
    for (const id of ["map-image", "decoded"]) $(id).removeAttribute("src"); // of another model
    shown = "";
    await attempt(async () => {
      const { src } = await backend().map(model, $("map-class").value);
      $("map-image").src = src;
      shown = key;
      problem(null);
    });
  }
  arrange();
  moveTo(share.x, share.y);
}

function moveTo(x, y) {
  const clamp = (value) => Math.max(EDGE, Math.min(1 - EDGE, value));
  share = { x: clamp(x), y: clamp(y) };
  $("puck").style.setProperty("--x", `${share.x * 100}%`);
  $("puck").style.setProperty("--y", `${share.y * 100}%`);
  const [a, b] = latent();
  const text = t("map.where", { x: decimal(a), y: decimal(b) });
  $("where").textContent = text;
  for (const [key, value] of [["valuenow", a.toFixed(2)], ["valuemin", -2.7], ["valuemax", 2.7], ["valuetext", text]]) {
    $("puck").setAttribute(`aria-${key}`, value);
  }
  decode();
}

/** The latent of the point: the map's axes are quantiles of the standard normal, rows from the top. */
const latent = () => [quantile(share.x), quantile(1 - share.y)];

async function decode() {
  if (decoding) return void (waiting = true);
  decoding = true;
  const { model } = state;
  const label = model.classes.length ? Number($("map-class").value) : null;
  waiting = false;
  const [x, y] = latent(); // the point may move before the answer
  const decoded = await attempt(async () => {
    const { src } = await backend().decode({ model: model.name, latent: [x, y], label });
    $("decoded").src = src;
    $("decoded").alt = t("map.image", { x: decimal(x), y: decimal(y) });
  });
  decoding = false;
  if (waiting && decoded) decode();
}

function arrange() {
  if (!state.model) return;
  const padding = 2 * parseFloat(getComputedStyle($("map-stage")).paddingTop);
  const side = Math.min($("map-stage").clientWidth, $("map-stage").clientHeight) - padding;
  $("plane").style.setProperty("--side", `${Math.max(0, side)}px`);
  fitOne($("decoded"), state.model.shape, { width: 240, height: 240 });
}

async function saveImage() {
  if (!$("decoded").src) return;
  save(await bytesOf($("decoded").src), latentName(state.model, latent()), "image/png");
}
