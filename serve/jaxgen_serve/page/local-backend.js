// Sampling on this device: wasm-runtime.js runs the model's file, and this module makes images of its outputs. It is
// the whole backend of a static site, and replaces the server's sampling when the device switch is on.

import { t } from "./i18n.js";
import { sources } from "./png.js";
import { className, newSeed } from "./state.js";

const opened = new Map(); // url and hash of a model -> the promise of its wasm-runtime.js session
let device = null;

/** Whether this device can sample: onnxruntime's files are there, and the browser can run them. */
export async function localAvailable() {
  try {
    device = await import("./wasm-runtime.js");
    return await device.available();
  } catch {
    return false;
  }
}

/** models: of GET /models or site.json; planOf(request): {rows, table} for a plan that the model does not list. */
export function localSampling(models, planOf = null) {
  const byName = (name) => models().find((model) => model.name === name);

  async function open(model) {
    const key = `${model.url} ${model.sha256}`; // a server's file may change
    if (!opened.has(key)) opened.set(key, device.open(model));
    try {
      return await opened.get(key);
    } catch (error) {
      opened.delete(key); // so that the next call tries again
      throw error;
    }
  }

  async function planFor(model, request) {
    if (!model.plan) return null;
    const { sampler, steps, eta = null } = request;
    const same = Object.values(model.plans ?? {}).filter((plan) => plan.sampler === sampler);
    const listed = same.find((plan) => plan.steps === steps && (eta === null || plan.eta === eta));
    const plan = listed ?? (await planOf?.(request)) ?? same[0] ?? Object.values(model.plans)[0];
    const bytes = Uint8Array.from(atob(plan.table), (letter) => letter.charCodeAt(0));
    return { rows: bytes.length / 36, table: new Float32Array(bytes.buffer) };
  }

  return {
    async sample({ count, quick, sha256 = null, ...request }, { onFrame = null, signal = null } = {}) {
      const model = byName(request.model);
      if (sha256 !== null && sha256 !== model.sha256) throw new Error(t("changed", { name: model.name }));
      const index = Array.from({ length: count }, (_, i) => (request.index ?? 0) + i);
      const seed = request.seed ?? newSeed();
      const labels = labelsFor(model, request.label, index);
      const shape = [count, ...model.shape];
      const shown = onFrame && ((row, rows, images) => onFrame(row, rows, sources(images, shape)));
      const plan = await planFor(model, request);
      const { sample } = await open(model);
      const inputs = { seed: index.map(() => seed), index, label: labels, guidance: request.guidance ?? null, plan };
      const { images, milliseconds } = await sample({ ...inputs, latent: null, onFrame: shown, signal });
      const used = { ...request, sha256: model.sha256, seed, index: index[0], untrained: model.untrained };
      const named = sources(images, shape).map((src, i) => {
        const label = labels && labels[i] >= 0 ? labels[i] : null;
        return { src, index: index[i], label, class_name: className(model, label) };
      });
      return { images: named, used, milliseconds, here: true };
    },

    async decode({ model: name, latent, label }, { signal = null } = {}) {
      const model = byName(name);
      const { sample } = await open(model);
      const inputs = { seed: [0], index: [0], label: labelsFor(model, label, [0]), guidance: null, plan: null };
      const { images, milliseconds } = await sample({ ...inputs, latent: [latent], onFrame: null, signal });
      return { src: sources(images, [1, ...model.shape])[0], milliseconds };
    },

    async walk({ ends, model: name, frames, path, ...request }) {
      const model = byName(name);
      const { interpolate } = await open(model);
      if (!interpolate) return null;
      const column = (key) => ends.map((end) => end[key]);
      const label = model.classes.length ? ends.map((end) => end.label ?? -1) : null;
      const guidance = request.guidance ?? null;
      const inputs = { seed: column("seed"), index: column("index"), label, frames, path, guidance };
      const { images, shape } = await interpolate({ ...inputs, plan: await planFor(model, request) });
      return sources(images, shape);
    },
  };
}

/** The backend of a static site: models and their plans from site.json. */
export async function siteBackend() {
  const site = await (await fetch("site.json")).json();
  const models = site.models.map((model) => ({ ...model, url: new URL(model.file, document.baseURI).href }));
  return {
    static: true,
    ...localSampling(() => models),
    models: async () => ({ models, refused: {} }),
    map: async (model) => (model.map ? { src: new URL(model.map.file, document.baseURI).href } : null),
    file: async (...args) => (await import("./site-files.js")).fileOf(...args),
    walkFile: async (...args) => (await import("./site-files.js")).walkFileOf(...args),
    reading: null,
    gallery: null,
  };
}

/** One label per image; -1: no class; null: the model has no classes. */
function labelsFor(model, label, index) {
  if (!model.classes.length) return null;
  if (label !== null && label !== undefined) return index.map(() => label);
  return index.map((i) => (model.label_optional ? -1 : i % model.classes.length));
}
