// What the Draw panel does: draw, keep in the gallery, save as files.

import { $, announce, newest, save, toast } from "./dom.js";
import { onLanguage, t } from "./i18n.js";
import { bytesOf, fileName, gifOf, pixelsOf, provenance, sheetPng, zipOf } from "./pixels.js";
import { packedPng } from "./png.js";
import { problem } from "./error-banner.js";
import { abandon, addFrame, chosen, expect, onStage, present, stage } from "./results.js";
import { change, newSeed, settings, state, watch } from "./state.js";

const CHANGED = 409; // the model is no longer the one that drew the image
const run = newest();
let backend = null;
let readModels = null;

/** backend(): the one in use, the server's or this device's; reread(): learns what the models are by now. */
export function setUpStudio(current, reread) {
  [backend, readModels] = [current, reread];
  $("keep").addEventListener("click", keep);
  $("save-png").addEventListener("click", () => saving(savePng));
  $("save-zip").addEventListener("click", () => saving(saveZip));
  $("save-gif").addEventListener("click", () => saving(saveGif));
  $("go").addEventListener("click", (event) => {
    if (!run.busy()) return;
    event.preventDefault();
    run.stop();
  });
  onStage(showActions);
  showActions();
  onLanguage(showGo);
  watch((changed) => changed.has("model") && run.stop());
}

/** Draws with the settings as they are. `more` replaces or adds some: a seed, an index, a file's hash. */
export async function draw(more = {}) {
  if (!state.locked && more.seed === undefined) change({ seed: newSeed() });
  const { model, count } = state;
  const request = { ...settings(), seed: state.seed, index: 0, count, quick: model.quick, ...more };
  try {
    await run(async (signal) => {
      showGo();
      expect(request, model);
      const onFrame = (row, rows, sources) => signal.aborted || addFrame(row, rows, sources);
      const drawing = await backend().draw(request, { onFrame, signal });
      signal.throwIfAborted();
      problem(null);
      present(drawing, model);
    });
  } catch (error) {
    if (!run.busy()) abandon();
    await failed(error);
  } finally {
    showGo();
  }
}

async function failed(error) {
  if (error.status === CHANGED) await readModels().catch(() => {}); // what is said is the line below
  problem(error);
}

export const stopDrawing = () => run.stop();

function showGo() {
  $("go").classList.toggle("working", run.busy());
  $("go-text").textContent = t(run.busy() ? "stop" : "draw");
}

function showActions() {
  const { images, selected, frames, used } = stage;
  $("draw-actions").hidden = !used;
  $("keep").hidden = !backend().gallery;
  $("to-blend").hidden = selected.size !== 2;
  $("save-gif").hidden = frames.length < 2;
  $("save-zip").hidden = images.length < 2;
}

/** Keeps the selected images, or all, in the gallery: the server draws them again, which gives the same. */
export async function keep() {
  if (!stage.used || !backend().gallery) return;
  const { model, sha256, seed, sampler, steps, eta, guidance } = stage.used;
  const request = { model, sha256, seed, sampler, steps, eta, guidance };
  try {
    for (const { index, label, count } of runs(chosen())) await backend().gallery.keep({ ...request, index, label }, count);
    const text = t("kept", { n: chosen().length });
    toast(text);
    announce(text);
  } catch (error) {
    await failed(error);
  }
}

/** Neighbours of one class, asked for together. */
function runs(images) {
  const parts = [];
  for (const { index, label } of images) {
    const last = parts.at(-1);
    if (last && last.label === label && last.index + last.count === index) last.count += 1;
    else parts.push({ index, label, count: 1 });
  }
  return parts;
}

const mark = () => `${stage.used.untrained ? "untrained-" : ""}${stage.model.name}-seed${stage.used.seed}`;
const channels = () => stage.model.shape[2];

async function savePng() {
  const images = chosen();
  if (images.length === 1) return save(await single(images[0]), fileName(stage.used, images[0]), "image/png");
  const whole = images.length === stage.images.length;
  const labels = new Set(images.map(({ label }) => label));
  const label = labels.size === 1 ? [...labels][0] : "all";
  const text = whole ? provenance(stage.used, images[0].index, images.length, label) : null;
  return save(await sheetPng(images.map(({ src }) => src), channels(), text), `${mark()}-sheet.png`, "image/png");
}

/** The server's images say how they were drawn; of those drawn here, it is said now. */
async function single(image) {
  if (!stage.here) return bytesOf(image.src);
  return packedPng(await pixelsOf(image.src, channels()), provenance(stage.used, image.index, 1, image.label));
}

async function saveZip() {
  save(await zipOf(stage.used, chosen()), `${mark()}.zip`, "application/zip");
}

async function saveGif() {
  const places = chosen().map((image) => stage.images.indexOf(image));
  const frames = stage.frames.map((frame) => places.map((i) => frame[i]));
  save(await gifOf(frames, channels()), `${mark()}-denoise.gif`, "image/gif");
}

async function saving(work) {
  if (!stage.used) return;
  try {
    await work();
  } catch (error) {
    problem(error);
  }
}
