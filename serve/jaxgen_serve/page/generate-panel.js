// What the Draw panel does: draw, keep in the gallery, save as files.

import { $, announce, newest, save, toast } from "./dom.js";
import { onLanguage, t } from "./i18n.js";
import { bytesOf } from "./png.js";
import { problem } from "./error-banner.js";
import { abandon, addFrame, chosen, expect, fileName, onStage, present, stage } from "./results.js";
import { change, newSeed, settings, state, watch } from "./state.js";

const CHANGED = 409; // the model is no longer the one that drew the image
// Kind of file: what the backend calls it, its ending and its media type.
const FILES = {
  png: ["grid", "-sheet.png", "image/png"],
  zip: ["zip", ".zip", "application/zip"],
  gif: ["gif", "-denoise.gif", "image/gif"],
};
const run = newest();
let backend = null;
let readModels = null;

/** backend(): the one in use, the server's or this device's; reread(): learns what the models are by now. */
export function setUpStudio(current, reread) {
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
  const images = chosen();
  try {
    await backend().gallery.keep(stage.used, images);
    const text = t("kept", { n: images.length });
    toast(text);
    announce(text);
  } catch (error) {
    await failed(error);
  }
}

/** Saves the selected images, or all, as one file. */
async function saveAs(kind) {
  if (!stage.used) return;
  const { used, model, here } = stage;
  const [format, ending, type] = FILES[kind];
  const images = chosen();
  const single = kind === "png" && images.length === 1;
  const name = `${used.untrained ? "untrained-" : ""}${model.name}-seed${used.seed}${ending}`;
  const places = images.map((image) => stage.images.indexOf(image));
  const frames = stage.frames.map((frame) => places.map((i) => frame[i]));
  try {
    const shown = single && !here; // and says already how it was drawn
    const data = await (shown ? bytesOf(images[0].src) : backend().file(format, { used, model, images, frames }));
    save(data, single ? fileName(used, images[0]) : name, type);
  } catch (error) {
    await failed(error);
  }
}
