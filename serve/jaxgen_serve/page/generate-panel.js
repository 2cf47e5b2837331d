// The actions of the Generate panel: sample images, keep them in the gallery, save them as files.

import { $, announce, newest, save, toast } from "./dom.js";
import { batchName, imageName } from "./file-names.js";
import { onLanguage, t } from "./i18n.js";
import { bytesOf } from "./png.js";
import { problem } from "./error-banner.js";
import { abandon, addFrame, chosen, clearStage, expect, onStage, present, stage } from "./results.js";
import { change, newSeed, settings, state, watch } from "./state.js";

const CHANGED = 409; // the model has changed since the image was sampled
// Kind of file: the backend's format, the ending and the media type.
const FILES = {
  png: ["grid", "-sheet.png", "image/png"],
  zip: ["zip", ".zip", "application/zip"],
  gif: ["gif", "-denoise.gif", "image/gif"],
};
const run = newest();
let backend = null;
let readModels = null;

/** current(): the backend in use, the server's or this device's; reread(): reads the list of models again. */
export function setUpGenerate(current, reread) {
  [backend, readModels] = [current, reread];
  $("keep").addEventListener("click", keep);
  for (const kind of Object.keys(FILES)) $(`save-${kind}`).addEventListener("click", () => saveAs(kind));
  $("go").addEventListener("click", (event) => {
    if (!run.busy()) return;
    event.preventDefault();
    run.stop();
  });
  onStage(showActions);
  showActions();
  onLanguage(showGo);
  let shown = null; // the model's name
  watch((changed) => {
    if (!changed.has("model")) return;
    run.stop();
    if (shown && shown !== state.model.name) clearStage();
    shown = state.model.name;
  });
}

/** Samples with the current settings. `more` replaces or adds some: a seed, an index, a file's hash. */
export async function sample(more = {}) {
  if (!state.locked && !state.fresh && more.seed === undefined) change({ seed: newSeed() });
  const { model, count, seed, index } = state;
  change({ fresh: false, index: 0 });
  const chosen = settings();
  const quick = model.quick && !(chosen.steps > 1); // of more steps, the denoising is shown
  const request = { ...chosen, seed, index, count, quick, ...more };
  try {
    await run(async (signal) => {
      showGo();
      expect(request, model);
      const onFrame = (row, rows, sources) => signal.aborted || addFrame(row, rows, sources);
      const result = await backend().sample(request, { onFrame, signal });
      signal.throwIfAborted();
      problem(null);
      present(result, model);
    });
  } catch (error) {
    if (!run.busy()) abandon();
    await failed(error);
  } finally {
    showGo();
  }
}

async function failed(error) {
  if (error.status === CHANGED) await readModels().catch(() => {}); // the error itself is shown below
  problem(error);
}

export const stopSampling = () => run.stop();

function showGo() {
  $("go").classList.toggle("working", run.busy());
  $("go-text").textContent = t(run.busy() ? "stop" : "generate");
}

function showActions() {
  const { images, selected, frames, used } = stage;
  $("generate-actions").hidden = !used;
  $("keep").hidden = !backend().gallery;
  $("to-blend").hidden = selected.size !== 2;
  $("save-gif").hidden = frames.length < 2;
  $("save-zip").hidden = images.length < 2;
}

/** Keeps the selected images, or all, in the gallery: the server samples them again, which gives the same images. */
export async function keep() {
  if (!stage.used || !backend().gallery || $("keep").disabled) return;
  const images = chosen();
  const words = $("keep").querySelector("span");
  [$("keep").disabled, words.textContent] = [true, t("keep.working")];
  try {
    const { added } = await backend().gallery.keep(stage.used, images);
    const key = added === images.length ? "kept" : added ? "kept.some" : "kept.none";
    toast(t(key, { n: added }));
    announce(t(key, { n: added }));
  } catch (error) {
    await failed(error);
  }
  [$("keep").disabled, words.textContent] = [false, t("keep")];
}

/** Saves the selected images, or all, as one file. */
async function saveAs(kind) {
  if (!stage.used) return;
  const { used, model, here } = stage;
  const [format, ending, type] = FILES[kind];
  const images = chosen();
  const single = kind === "png" && images.length === 1;
  const places = images.map((image) => stage.images.indexOf(image));
  const frames = stage.frames.map((frame) => places.map((i) => frame[i]));
  try {
    const complete = single && !here; // the server's PNG already carries its provenance
    const data = await (complete ? bytesOf(images[0].src) : backend().file(format, { used, model, images, frames }));
    save(data, single ? imageName(used, images[0]) : batchName(used, model, ending), type);
  } catch (error) {
    await failed(error);
  }
}
