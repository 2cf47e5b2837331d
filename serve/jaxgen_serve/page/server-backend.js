// The backend of a page that has a server: everything is asked of the API.
//
// A backend draws: draw(request, {onFrame, signal}) -> {images: [{src, index, label}], used, milliseconds},
// decode(request, {signal}) -> {src}, walk(request) -> [src]; and has `reading`, `map` and `gallery`, null where it cannot.

import { connect, whole } from "./api.js";

const png = (image) => `data:image/png;base64,${image}`;
const image = ({ image, ...rest }) => ({ src: png(image), ...rest });

export function serverBackend(base, logIn) {
  const api = connect(base, logIn);
  let served = []; // the models

  /** A class where all is text: by its name, which a number may be, too, and then comes first. */
  function named(name, label) {
    const model = served.find((one) => one.name === name);
    return label === null || label === undefined || label === "" ? null : (model?.classes[label] ?? label);
  }

  function filled(fields) {
    const form = new FormData();
    for (const [key, value] of Object.entries({ ...fields, label: named(fields.model, fields.label) })) {
      if (value !== null && value !== undefined) form.append(key, value);
    }
    return form;
  }

  async function stream(request, count, onFrame, signal) {
    const start = performance.now();
    let done = null;
    const hear = (name, data) => {
      if (name === "frame") onFrame?.(data.row, data.rows, data.images.map(png));
      if (name === "done") done = data;
    };
    const query = { ...request, label: named(request.model, request.label), num_images: count };
    await api.events("stream", query, hear, signal);
    const { images, ...used } = done;
    return { images: images.map(image), used, milliseconds: used.milliseconds ?? performance.now() - start };
  }

  return {
    static: false,

    async models() {
      const { models, refused } = await api.json("models");
      served = models.map((model) => ({ ...model, url: api.url("model-file", { model: model.name, inputs: "required" }) }));
      return { models: served, refused };
    },

    async draw({ count, quick, ...request }, { onFrame = null, signal } = {}) {
      if (!quick) return stream(request, count, onFrame, signal);
      const query = { num_images: count, format: "list" };
      const { images, ...used } = await api.json("generate-batch", { method: "POST", query, body: request, signal });
      return { images: images.map(image), used, milliseconds: used.milliseconds };
    },

    async decode(request, { signal } = {}) {
      const { image, milliseconds } = await api.json("generate", { method: "POST", body: request, signal });
      return { src: png(image), milliseconds };
    },

    async plan({ model, sampler, steps, eta }) {
      return api.json("plan", { query: { model, sampler, steps, eta } });
    },

    /** ends: [{seed, index, label}] -> the sources of a walk from each to the next. */
    async walk({ ends, ...request }, { signal } = {}) {
      const body = { ...request, seeds: ends.map((end) => end.seed), indices: ends.map((end) => end.index) };
      const told = ends.some((end) => end.label !== null) ? { labels: ends.map((end) => end.label) } : {};
      const query = { format: "list" };
      const { images } = await api.json("interpolate", { method: "POST", query, body: { ...body, ...told }, signal });
      return images.map(({ image }) => png(image));
    },

    reading: {
      /** what: "reconstruct" or "anomaly"; fields: `file` (a Blob), `model`, `label`. */
      read: (what, fields, signal) => api.json(what, { method: "POST", form: filled(fields), signal }),
      inpaint: async (fields, signal) => {
        const { images } = await api.json("inpaint", { method: "POST", form: filled(fields), signal });
        return images.map(({ image }) => png(image));
      },
      png,
    },

    async map(model, label) {
      const response = await api.ask("latent-map", { query: { model: model.name, size: 21, label: named(model.name, label) }, accept: "image/png" });
      return { src: URL.createObjectURL(await whole(response.blob())) };
    },

    gallery: {
      list: (query) => api.json("gallery", { query }),
      keep: (request, count) => api.json("gallery", { method: "POST", query: { num_images: count }, body: request }),
      favourite: (id, favourite) => api.json(`gallery/${id}`, { method: "PATCH", body: { favourite } }),
      remove: (id) => api.ask(`gallery/${id}`, { method: "DELETE" }),
      restore: (id) => api.ask(`gallery/${id}/restore`, { method: "POST" }),
      src: (row) => api.url(row.url.replace(/^\//, "")),
    },

    logIn: (token) => api.ask("login", { method: "POST", body: { token }, open: true }),
  };
}
