// Sampling on this device: wasm-runtime.js runs the model's file, and this module makes images of its outputs. It is
// the whole backend of a static site, and replaces the server's sampling when the device switch is on.

import { t } from "./i18n.js";
import { sources } from "./png.js";
import { className, newSeed } from "./state.js";

const opened = new Map(); // url and hash of a model -> the promise of its wasm-runtime.js session
const runtime = () => import("./wasm-runtime.js");

/** Whether this device can sample: onnxruntime's files are there, and the browser can run them. */
export async function localAvailable() {
  try {
    return await (await runtime()).available();
  } catch {
    return false;
  }
}

/** models: of GET /models or site.json; planOf(request): {rows, table} for a plan that the model does not list. */
export function localSampling(models, planOf = null) {
  const byName = (name) => models().find((model) => model.name === name);

  async function open(model, url = model.url) {
    const key = `${url} ${model.sha256}`; // a server's file may change
    if (!opened.has(key)) opened.set(key, runtime().then((device) => device.open({ ...model, url })));
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

  const decode = async ({ model: name, latent, label }, { signal = null } = {}) => {
    const model = byName(name);
    const { sample } = await open(model);
    const inputs = { seed: [0], index: [0], label: labelsFor(model, label, [0]), guidance: null, plan: null };
    const { images, milliseconds } = await sample({ ...inputs, latent: [latent], onFrame: null, signal });
    return { src: sources(images, [1, ...model.shape])[0], milliseconds };
  };

  const reading = {
    scores: false, // only the server scores

    async read(what, { file, model: name, label }, signal) {
      const model = byName(name);
      const number = label === null ? null : Number(label);
      const pixels = await pixelsOf(file, model.shape);
      const { read } = await open(model, model.encoder_url);
      const { mean } = await read({ images: [pixels], label: [number ?? -1], signal });
      const { src } = await decode({ model: name, latent: [...mean], label: number }, { signal });
      return { original: sources(pixels, [1, ...model.shape])[0], reconstruction: src };
    },

    async classify({ file, model: name }, signal) {
      const model = byName(name);
      const { read } = await open(model, model.classifier_url);
      const { logits } = await read({ images: [await pixelsOf(file, model.shape)], signal });
      const shares = [...logits].map((logit) => Math.exp(logit - Math.max(...logits)));
      const sum = shares.reduce((a, b) => a + b);
      return Object.fromEntries(model.classifier.map((one, i) => [one, shares[i] / sum]));
    },
  };

  return {
    reading,
    decode,

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
  const at = (file) => file && new URL(file, document.baseURI).href;
  const models = site.models.map((model) => {
    const { file, encoder_file: encoder, classifier_file: classifier } = model;
    return { ...model, url: at(file), download: at(file), encoder_url: at(encoder), classifier_url: at(classifier) };
  });
  return {
    static: true,
    ...localSampling(() => models),
    models: async () => ({ models, refused: {} }),
    map: async (model) => (model.map ? { src: new URL(model.map.file, document.baseURI).href } : null),
    file: async (...args) => (await import("./site-files.js")).fileOf(...args),
    walkFile: async (...args) => (await import("./site-files.js")).walkFileOf(...args),
    gallery: null,
  };
}

/** An image file at the model's size: [H*W*C] bytes. */
async function pixelsOf(file, [height, width, channels]) {
  const resized = { resizeWidth: width, resizeHeight: height, resizeQuality: "high" };
  const bitmap = await createImageBitmap(file, resized);
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0);
  const rgba = context.getImageData(0, 0, width, height).data;
  return Uint8Array.from({ length: height * width * channels }, (_, i) => {
    return rgba[Math.floor(i / channels) * 4 + (i % channels)];
  });
}

/** One label per image; -1: no class; null: the model has no classes. */
function labelsFor(model, label, index) {
  if (!model.classes.length) return null;
  if (label !== null && label !== undefined) return index.map(() => label);
  return index.map((i) => (model.label_optional ? -1 : i % model.classes.length));
}
