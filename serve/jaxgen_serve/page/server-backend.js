// The backend of a page with a server: every call goes to the API.
//
// A backend has sample(request, {onFrame, signal}) -> {images: [{src, index, label}], used, milliseconds},
// decode(request, {signal}) -> {src}, walk({ends: [{seed, index, label}], ...}) -> [src], file("grid" | "zip" | "gif",
// {used, model, images, frames}) and walkFile("grid" | "gif", {request, model, frames}) -> the file, bytes or a Blob;
// and `reading`, `map` and `gallery`, null if it does not support them.

import { connect, whole } from "./api.js";

const png = (image) => `data:image/png;base64,${image}`;
const image = ({ image, ...rest }) => ({ src: png(image), ...rest });

/** The request that samples these images again. */
function several({ model, sha256, seed, label, sampler, steps, eta, guidance }, images) {
  return { model, sha256, seed, label, sampler, steps, eta, guidance, indices: images.map(({ index }) => index) };
}

function walkBody({ ends, ...request }) {
  const labels = ends.some((end) => end.label !== null) ? ends.map((end) => end.label) : null;
  return { ...request, seeds: ends.map((end) => end.seed), indices: ends.map((end) => end.index), labels };
}

export function serverBackend(base, logIn) {
  const api = connect(base, logIn);

  /** A class for queries and forms, by '#' and its number: a bare number may be the name of another class. */
  function numbered(label) {
    return label === null || label === undefined || label === "" ? null : `#${label}`;
  }

  function filled(fields) {
    const form = new FormData();
    for (const [key, value] of Object.entries({ ...fields, label: numbered(fields.label) })) {
      if (value !== null && value !== undefined) form.append(key, value);
    }
    return form;
  }

  /** A file from the server, which samples again and so gets the same images. */
  async function blob(path, format, body) {
    const response = await api.ask(path, { method: "POST", query: { format }, body, accept: "image/png" });
    return whole(response.blob());
  }

  async function stream(request, count, onFrame, signal) {
    const start = performance.now();
    let done = null;
    const onEvent = (name, data) => {
      if (name === "frame") onFrame?.(data.row, data.rows, data.images.map(png));
      if (name === "done") done = data;
    };
    const query = { ...request, label: numbered(request.label), num_images: count };
    await api.events("stream", query, onEvent, signal);
    const { images, ...used } = done;
    return { images: images.map(image), used, milliseconds: used.milliseconds ?? performance.now() - start };
  }

  return {
    static: false,

    async models() {
      const { models, ...rest } = await api.json("models");
      const file = ({ name: model }, query = {}) => api.url("model-file", { model, ...query });
      const served = models.map((model) => ({
        ...model,
        url: file(model, { inputs: "required" }),
        download: file(model),
        encoder_url: model.encoder ? file(model, { part: "encoder" }) : null,
        classifier_url: model.classifier ? file(model, { part: "classifier" }) : null,
      }));
      return { models: served, ...rest };
    },

    async upload(file) {
      const form = new FormData();
      form.append("file", file);
      return api.json("models", { method: "POST", form });
    },

    async sample({ count, quick, ...request }, { onFrame = null, signal } = {}) {
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

    async walk(request, { signal } = {}) {
      const { images } = await api.json("interpolate", { method: "POST", body: walkBody(request), signal });
      return images.map(({ image }) => png(image));
    },

    file: (format, { used, images }) => blob("generate-batch", format, several(used, images)),

    walkFile: (format, { request }) => blob("interpolate", format, walkBody(request)),

    reading: {
      /** what: "reconstruct" or "anomaly"; fields: `file` (a Blob), `model`, `label`. */
      async read(what, fields, signal) {
        const { original, reconstruction, heat = null, ...rest } = await api.json(what, {
          method: "POST",
          form: filled(fields),
          signal,
        });
        return { original: png(original), reconstruction: png(reconstruction), heat: heat && png(heat), ...rest };
      },
      scores: true,
      async classify({ file, model }, signal) {
        const { probabilities } = await api.json("classify", { method: "POST", form: filled({ file, model }), signal });
        return probabilities;
      },
      inpaint: async (fields, signal) => {
        const { images } = await api.json("inpaint", { method: "POST", form: filled(fields), signal });
        return images.map(({ image }) => png(image));
      },
    },

    async map(model, label) {
      const query = { model: model.name, size: 21, label: numbered(label) };
      const response = await api.ask("latent-map", { query, accept: "image/png" });
      return { src: URL.createObjectURL(await whole(response.blob())) };
    },

    gallery: {
      list: (query) => api.json("gallery", { query }),
      keep: (used, images) => api.json("gallery", { method: "POST", body: several(used, images) }),
      favourite: (id, favourite) => api.json(`gallery/${id}`, { method: "PATCH", body: { favourite } }),
      zip: async (ids) => {
        const sent = { method: "POST", body: { ids }, accept: "application/zip" };
        return whole((await api.ask("gallery/files/zip", sent)).blob());
      },
      remove: (id) => api.ask(`gallery/${id}`, { method: "DELETE" }),
      restore: (id) => api.ask(`gallery/${id}/restore`, { method: "POST" }),
      src: (row) => api.url(row.url.replace(/^\//, "")),
    },

    address: (path, query) => api.url(path, query),

    logIn: (token) => api.ask("login", { method: "POST", body: { token }, open: true }),
  };
}
