// The names of saved files. Those of images and batches are as `Provenance` of jaxgen/inference/provenance.py has them.

const mark = ({ untrained }) => (untrained ? "untrained-" : "");

/** A PNG of one image. */
export function imageName(used, { index, label }) {
  const ofClass = label === null || label < 0 ? "" : `-class${label}`;
  return `${mark(used)}seed${used.seed}-${String(index).padStart(6, "0")}${ofClass}.png`;
}

/** One file of several images of a seed. */
export const batchName = (used, model, ending) => `${mark(used)}${model.name}-seed${used.seed}${ending}`;

/** A file of the images between two ends. */
export const walkName = (model, ends, kind) => `${model.name}-blend-${ends.map(({ seed }) => seed).join("-")}.${kind}`;

/** A PNG of a decoded point of the map. */
export const latentName = (model, latent) => `${model.name}-latent_${latent.map((x) => x.toFixed(2)).join("_")}.png`;
